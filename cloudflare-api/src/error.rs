//! The errors of API requests.

use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;

/// An error in a reply of the API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ApiError {
    /// Cloudflare's error code.
    pub code: u64,
    /// The error message.
    pub message: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} [code: {}]", self.message, self.code)
    }
}

/// A failed request to the API.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A required environment variable is not set.
    #[error("{0} is not set: set CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID")]
    NotConfigured(&'static str),
    /// The API's base URL cannot be parsed.
    #[error("CLOUDFLARE_API_BASE_URL is not a URL: {0}")]
    BaseUrl(url::ParseError),
    /// The API's base URL is not an HTTP URL.
    #[error("CLOUDFLARE_API_BASE_URL does not begin with http:// or https://: {0}")]
    BaseUrlScheme(url::Url),
    /// A name cannot be a segment of a URL's path: it is empty, `.` or `..`.
    #[error("{0:?} cannot be a name")]
    InvalidName(String),
    /// The API refused the request.
    #[error("{request}: {}", join_api_errors(.errors, *.status))]
    Refused {
        /// The request's method and path.
        request: String,
        /// The reply's status.
        status: StatusCode,
        /// The errors in the reply.
        errors: Vec<ApiError>,
    },
    /// No reply was received, or it broke off.
    #[error("{request}: no reply from the API")]
    NoReply {
        /// The request's method and path.
        request: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The reply is not of the documented form.
    #[error("{request}: unexpected reply from the API ({status})")]
    Unexpected {
        /// The request's method and path.
        request: String,
        /// The reply's status.
        status: StatusCode,
        /// Why the reply cannot be parsed.
        source: serde_json::Error,
    },
}

impl Error {
    /// Whether the reply was a 404.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, .. })
    }

    /// The API's error messages, without the request's method and path.
    #[must_use]
    pub fn reasons(&self) -> String {
        match self {
            Self::Refused { status, errors, .. } => join_api_errors(errors, *status),
            other => other.to_string(),
        }
    }

    /// Whether this API lacks the endpoint. The local platform's API has only some of Cloudflare's.
    #[must_use]
    pub fn is_not_implemented(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_IMPLEMENTED, .. })
    }

    /// Whether one of the API's errors has one of these codes.
    #[must_use]
    pub fn has_code(&self, codes: &[u64]) -> bool {
        matches!(self, Self::Refused { errors, .. } if errors.iter().any(|error| codes.contains(&error.code)))
    }

    /// Whether the account has reached a limit. Not all of the API's codes for this are documented, so the messages are
    /// searched as well.
    #[must_use]
    pub fn is_over_limit(&self) -> bool {
        /// "You've reached the maximum number of databases".
        const TOO_MANY_DATABASES: u64 = 7406;
        let Self::Refused { status, errors, .. } = self else { return false };
        let mentions_limit = |error: &ApiError| {
            let message = error.message.to_lowercase();
            ["limit", "maximum number", "too many"].iter().any(|words| message.contains(words))
        };
        *status != StatusCode::TOO_MANY_REQUESTS
            && (self.has_code(&[TOO_MANY_DATABASES]) || errors.iter().any(mentions_limit))
    }
}

fn join_api_errors(errors: &[ApiError], status: StatusCode) -> String {
    if errors.is_empty() {
        return status.to_string();
    }
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
