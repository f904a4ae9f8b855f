//! Reasons to reject a token.

use std::fmt;

use crate::http::Problem;

/// The reason why a token is rejected. For a token that cannot be verified, one variant covers all reasons, so that a
/// client learns neither which keys exist nor how far the check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The token is malformed, or not signed with any of the configured keys.
    Unverifiable,
    /// Required claims are missing, or claims are malformed.
    InvalidClaims,
    /// The token has expired.
    Expired,
    /// The token is not valid yet.
    NotYetValid,
    /// The token is for another audience.
    WrongAudience,
    /// The token is from another issuer.
    WrongIssuer,
}

impl TokenError {
    /// Returns the reason as text for the client.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unverifiable => "the token is malformed, or not signed with a key of this platform",
            Self::InvalidClaims => {
                "the token must have `sub` (the user id) and `exp`, and its `nbf`, `aud`, `iss` and `scope` must be \
                 well-formed"
            }
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::WrongAudience => "the token is for another audience",
            Self::WrongIssuer => "the token is from another issuer",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason())
    }
}

impl std::error::Error for TokenError {}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        Problem::invalid_token(error.reason())
    }
}
