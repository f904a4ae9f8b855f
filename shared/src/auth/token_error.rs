//! Why a token is not taken.

use std::fmt;

use crate::http::Problem;

/// Why a token is not taken. Of one that no key of ours has signed, nothing more is said than that: neither whether there
/// is such a key, nor what was wrong first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is not a token, or none of the keys has signed it.
    NotOurs,
    /// What it says is not what a token says.
    Claims,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It was made for somebody else.
    Audience,
    /// It was made by somebody else.
    Issuer,
}

impl TokenError {
    /// The reason, for the client.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotOurs => "the token is malformed, or not signed with a key of this platform",
            Self::Claims => {
                "the token needs `sub` (the user id) and `exp`, and `nbf`, `aud`, `iss` and `scope` as RFC 7519 has them"
            }
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::Audience => "the token is for another audience",
            Self::Issuer => "the token is of another issuer",
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
