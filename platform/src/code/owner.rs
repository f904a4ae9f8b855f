//! The owner of a script's code.

/// The owner of a script's code. Each has a tag that marks its scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOwner {
    /// The platform: the script is its customer Worker.
    Platform,
    /// The customer: the script is the customer's own.
    Customer,
}

impl CodeOwner {
    /// Returns the tag of scripts whose code has this owner.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Platform => "customer-worker",
            Self::Customer => "own-script",
        }
    }

    /// Returns the owner that a script's tags name.
    #[must_use]
    pub fn from_tags(tags: &[String]) -> Option<Self> {
        // If both tags are set, the customer comes first, so that its code is not replaced.
        [Self::Customer, Self::Platform].into_iter().find(|owner| tags.iter().any(|tag| tag == owner.tag()))
    }
}
