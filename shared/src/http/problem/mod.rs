//! Problem details (RFC 9457): the replies to failed requests.

mod code;
mod constructors;

use std::borrow::Cow;

use serde::Serialize;

use crate::json;

pub use code::ProblemCode;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The reason why a request failed: a code and a detail for the client, and a cause for the log only.
#[derive(Debug)]
pub struct Problem {
    code: ProblemCode,
    detail: Cow<'static, str>,
    header: Option<(&'static str, Cow<'static, str>)>,
    cause: Option<String>,
}

impl Problem {
    fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), header: None, cause: None }
    }

    /// Returns the code.
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        self.code
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// Returns the text for the client: what was wrong, and what to do.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the header that the reply has besides `Content-Type`, if any.
    #[must_use]
    pub fn header(&self) -> Option<(&'static str, &str)> {
        self.header.as_ref().map(|(name, value)| (*name, &**value))
    }

    /// Returns the cause for the log. A problem with a cause is the platform's fault and not the client's.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Returns the reply's body.
    #[must_use]
    pub fn to_json(&self, request_id: &str) -> String {
        let status = self.code.status();
        json::to_text(&ProblemDetails {
            kind: "about:blank",
            title: reason_phrase(status),
            status,
            detail: &self.detail,
            code: self.code.name(),
            request_id,
        })
    }
}

/// A problem's JSON: the members of RFC 9457, 3.1, and the platform's `code` and `requestId`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProblemDetails<'a> {
    /// Always `about:blank`, which means that the title is the status's reason phrase (RFC 9457, 4.2.1). Clients
    /// distinguish problems by their code.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    request_id: &'a str,
}

/// Returns the reason phrase of a status (RFC 9110, 15).
fn reason_phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => unreachable!("no code has this status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_phrase_and_a_unique_name() {
        for (at, code) in ProblemCode::ALL.iter().enumerate() {
            assert!(!reason_phrase(code.status()).is_empty());
            assert!(ProblemCode::ALL[..at].iter().all(|other| other.name() != code.name()), "{code:?}");
        }
    }

    #[test]
    fn the_json_does_not_contain_the_cause() {
        let problem = Problem::customer_worker_failed("secret".to_owned());
        assert_eq!(problem.cause(), Some("secret"));
        insta::assert_snapshot!(
            problem.to_json("ray"),
            @r#"{"type":"about:blank","title":"Bad Gateway","status":502,"detail":"this customer's Worker failed; try again, or report the requestId","code":"customer_worker_failed","requestId":"ray"}"#
        );
    }
}
