//! What goes wrong when Cloudflare is asked.

use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;

/// An error as the API tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ApiError {
    /// Cloudflare's number for it.
    pub code: u64,
    /// What it says.
    pub message: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} [code: {}]", self.message, self.code)
    }
}

/// A request to the API that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The account is not said.
    #[error("{0} is not set: set CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID")]
    NotConfigured(&'static str),
    /// The address of the API is none.
    #[error("CLOUDFLARE_API_BASE_URL is not a URL: {0}")]
    BaseUrl(url::ParseError),
    /// The address of the API is not one that can be asked.
    #[error("CLOUDFLARE_API_BASE_URL does not begin with http:// or https://: {0}")]
    BaseUrlScheme(url::Url),
    /// A name that no address has.
    #[error("{0:?} cannot be a name")]
    Name(String),
    /// The API refuses.
    #[error("{request}: {}", api_errors(.errors, *.status))]
    Refused {
        /// What was asked: method and path.
        request: String,
        /// The reply's status.
        status: StatusCode,
        /// What the API says.
        errors: Vec<ApiError>,
    },
    /// The API does not answer, or not as it should.
    #[error("{request}: no answer from the API")]
    NoAnswer {
        /// What was asked: method and path.
        request: String,
        /// What happened instead.
        source: reqwest::Error,
    },
    /// The API answers something else than it is documented to.
    #[error("{request}: the API answers what it should not ({status})")]
    Unexpected {
        /// What was asked: method and path.
        request: String,
        /// The reply's status.
        status: StatusCode,
        /// Where the reply is not as it should be.
        source: serde_json::Error,
    },
}

impl Error {
    /// Whether what was asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, .. })
    }

    /// What the API says, without what was asked.
    #[must_use]
    pub fn reasons(&self) -> String {
        match self {
            Self::Refused { status, errors, .. } => api_errors(errors, *status),
            other => other.to_string(),
        }
    }

    /// Whether it is an API that does not have this, as that of the local platform.
    #[must_use]
    pub fn is_not_implemented(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_IMPLEMENTED, .. })
    }

    /// Whether the API gives one of these numbers for it.
    #[must_use]
    pub fn has_code(&self, codes: &[u64]) -> bool {
        matches!(self, Self::Refused { errors, .. } if errors.iter().any(|error| codes.contains(&error.code)))
    }

    /// Whether the account has as many of these as it may. Not all of the API's numbers for it are documented, so that what it
    /// says decides as well.
    #[must_use]
    pub fn is_over_limit(&self) -> bool {
        /// "You've reached the maximum number of databases".
        const TOO_MANY_DATABASES: u64 = 7406;
        let Self::Refused { status, errors, .. } = self else { return false };
        let says_so = |error: &ApiError| {
            let message = error.message.to_lowercase();
            ["limit", "maximum number", "too many"].iter().any(|words| message.contains(words))
        };
        *status != StatusCode::TOO_MANY_REQUESTS && (self.has_code(&[TOO_MANY_DATABASES]) || errors.iter().any(says_so))
    }
}

fn api_errors(errors: &[ApiError], status: StatusCode) -> String {
    if errors.is_empty() {
        return status.to_string();
    }
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
