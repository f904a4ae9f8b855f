//! Whose code a script is.

/// Whose code a script is: what its tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOwner {
    /// The platform's own customer Worker.
    Platform,
    /// The customer's own.
    Customer,
}

impl CodeOwner {
    /// The tag of scripts with such code.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Platform => "customer-worker",
            Self::Customer => "own-script",
        }
    }

    /// What a script's tags say.
    #[must_use]
    pub fn of_tags(tags: &[String]) -> Option<Self> {
        // If both are there, nobody's own code is taken for the platform's.
        [Self::Customer, Self::Platform].into_iter().find(|whose| tags.iter().any(|tag| tag == whose.tag()))
    }
}
