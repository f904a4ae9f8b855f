//! A constructor for each thing that can go wrong, with what the client is told.

use super::{Problem, ProblemCode};
use ProblemCode as Code;

impl Problem {
    /// A request without `X-User-ID`.
    #[must_use]
    pub fn missing_user_id() -> Self {
        Self::new(Code::MissingUserId, "say which customer the request is for: send the header X-User-ID")
    }

    /// An `X-User-ID` that is no user id; two such headers count as one with a comma in it.
    #[must_use]
    pub fn invalid_user_id() -> Self {
        Self::new(
            Code::InvalidUserId,
            "X-User-ID must be one user id: 1 to 48 of a-z, 0-9 and -, starting and ending with a letter or digit",
        )
    }

    /// A request without a bearer token. The challenge says no more than what is missing (RFC 6750, 3.1).
    #[must_use]
    pub fn missing_token() -> Self {
        Self {
            header: Some(("WWW-Authenticate", r#"Bearer realm="platform""#.into())),
            ..Self::new(Code::MissingToken, "send a token: the header Authorization: Bearer <token>")
        }
    }

    /// A token that is not taken; `reason` says as much of why as the client may know.
    #[must_use]
    pub fn invalid_token(reason: &'static str) -> Self {
        let challenge = format!(r#"Bearer realm="platform", error="invalid_token", error_description="{reason}""#);
        Self {
            header: Some(("WWW-Authenticate", challenge.into())),
            ..Self::new(Code::InvalidToken, format!("{reason}; get a new one"))
        }
    }

    /// A token of another customer.
    #[must_use]
    pub fn user_mismatch() -> Self {
        Self::new(Code::UserMismatch, "the token is not this X-User-ID's: they must be the same customer")
    }

    /// A token without the scope that the request's method needs.
    #[must_use]
    pub fn insufficient_scope(needed: &str) -> Self {
        let challenge = format!(r#"Bearer realm="platform", error="insufficient_scope", scope="{needed}""#);
        Self {
            header: Some(("WWW-Authenticate", challenge.into())),
            ..Self::new(
                Code::InsufficientScope,
                format!("the token does not allow this: it needs the scope `{needed}`"),
            )
        }
    }

    /// A customer whom the operator has suspended.
    #[must_use]
    pub fn customer_suspended() -> Self {
        Self::new(Code::CustomerSuspended, "this customer is suspended; ask the platform's operator")
    }

    /// A customer that has sent more requests than its plan allows; the limit counts anew after `period` seconds.
    #[must_use]
    pub fn rate_limited(period: u32) -> Self {
        Self {
            header: Some(("Retry-After", period.to_string().into())),
            ..Self::new(
                Code::RateLimited,
                format!("this customer has sent too many requests; try again in {period} seconds"),
            )
        }
    }

    /// The customer's Worker took more CPU time, memory or subrequests than it may. What it took is for the log alone.
    #[must_use]
    pub fn customer_worker_limit(cause: String) -> Self {
        Self {
            cause: Some(cause),
            ..Self::new(
                Code::CustomerWorkerLimit,
                "this customer's Worker took more than its limits allow; do less in one request",
            )
        }
    }

    /// There is no key to check tokens with, or none that makes sense; `cause` is for the log alone.
    #[must_use]
    pub fn auth_not_configured(cause: String) -> Self {
        Self {
            cause: Some(cause),
            ..Self::new(
                Code::AuthNotConfigured,
                "the platform cannot tell who is asking: its operator has not configured how",
            )
        }
    }

    /// The keys to check tokens with cannot be fetched; `cause` is for the log alone.
    #[must_use]
    pub fn auth_unavailable(cause: String) -> Self {
        Self {
            header: Some(("Retry-After", "5".into())),
            cause: Some(cause),
            ..Self::new(Code::AuthUnavailable, "the platform cannot tell who is asking at the moment; try again")
        }
    }

    /// There is no such customer.
    #[must_use]
    pub fn unknown_user() -> Self {
        Self::new(Code::UnknownUser, "there is no customer with this X-User-ID; check its spelling")
    }

    /// The customer's Worker threw. The client is not told what it said, the log is.
    #[must_use]
    pub fn customer_worker_failed(cause: String) -> Self {
        Self {
            cause: Some(cause),
            ..Self::new(Code::CustomerWorkerFailed, "this customer's Worker failed; try again, or report the requestId")
        }
    }

    /// A route that needs a `key` was called without one.
    #[must_use]
    pub fn missing_key() -> Self {
        Self::new(Code::MissingKey, "a `key` is required")
    }

    /// A key that is empty or too long.
    #[must_use]
    pub fn invalid_key_length(max_length: usize) -> Self {
        Self::new(Code::InvalidKey, format!("`key` must be 1 to {max_length} bytes long"))
    }

    /// A key that is not text.
    #[must_use]
    pub fn invalid_key_encoding() -> Self {
        Self::new(Code::InvalidKey, "`key` must be UTF-8, percent-encoded in a URL")
    }

    /// A parameter that is in the query twice.
    #[must_use]
    pub fn repeated_parameter(name: &str) -> Self {
        Self::new(Code::InvalidParameter, format!("`{name}` is in the query more than once; send it once"))
    }

    /// A parameter of the query, or a header, that makes no sense; `reason` says why.
    #[must_use]
    pub fn invalid_parameter(reason: &str) -> Self {
        Self::new(Code::InvalidParameter, reason.to_owned())
    }

    /// A cursor that no listing gave.
    #[must_use]
    pub fn invalid_cursor() -> Self {
        Self::new(Code::InvalidCursor, "`cursor` must be the `cursor` of the page before, from the same listing")
    }

    /// A body that is not JSON; `error` is the parser's.
    #[must_use]
    pub fn invalid_json(error: &str) -> Self {
        Self::new(Code::InvalidJson, format!("the body is not valid JSON: {error}"))
    }

    /// A body that is JSON of another shape than the route takes; `reason` says what is wrong with it.
    #[must_use]
    pub fn invalid_body(reason: &str) -> Self {
        Self::new(Code::InvalidBody, format!("the body is not what this route takes: {reason}"))
    }

    /// A form that is broken or lacks something; `reason` says what.
    #[must_use]
    pub fn invalid_form(reason: &str) -> Self {
        Self::new(Code::InvalidForm, format!("the form is not what this route takes: {reason}"))
    }

    /// A form too large to hold, whose `key` does not come before its `file`.
    #[must_use]
    pub fn key_after_file() -> Self {
        Self::new(Code::KeyAfterFile, "in a form this large, `key` must come before `file`: send it first")
    }

    /// R2 does not take a part, or the list of parts; `reason` is what it says.
    #[must_use]
    pub fn invalid_part(reason: &str) -> Self {
        Self::new(
            Code::InvalidPart,
            format!(
                "{reason}; parts are numbered from 1 to 10000, and all but the last have the same size of at least 5 MiB"
            ),
        )
    }

    /// A condition on what is stored in parts, or deleted.
    #[must_use]
    pub fn condition_not_supported() -> Self {
        Self::new(
            Code::ConditionNotSupported,
            "a file this large, or one uploaded in parts, cannot be stored conditionally, nor any be deleted so; use PUT /files?key=",
        )
    }

    /// The database's own words about a statement.
    #[must_use]
    pub fn sql_error(message: &str) -> Self {
        Self::new(Code::SqlError, message.to_owned())
    }

    /// No such route; `paths` are those that there are.
    #[must_use]
    pub fn not_found(paths: &[&str]) -> Self {
        let routes = match paths {
            [] => String::new(),
            [path] => format!("; the route is {path}"),
            [others @ .., last] => format!("; the routes are {} and {last}", others.join(", ")),
        };
        Self::new(Code::NotFound, format!("there is no such route{routes}"))
    }

    /// No file under the key.
    #[must_use]
    pub fn file_not_found() -> Self {
        Self::new(Code::FileNotFound, "there is no file with this key")
    }

    /// No value under the key.
    #[must_use]
    pub fn data_not_found() -> Self {
        Self::new(Code::DataNotFound, "there is no value with this key")
    }

    /// The route does not have the method; `allow` lists those it has, as the header `Allow` does (RFC 9110, 10.2.1).
    #[must_use]
    pub fn method_not_allowed(allow: &str) -> Self {
        Self {
            header: Some(("Allow", allow.to_owned().into())),
            ..Self::new(Code::MethodNotAllowed, format!("this route takes {allow}"))
        }
    }

    /// No such upload in parts.
    #[must_use]
    pub fn upload_not_found() -> Self {
        Self::new(
            Code::UploadNotFound,
            "there is no such upload of this key, or it was completed or aborted; HEAD /files?key= tells whether its file is \
             there",
        )
    }

    /// A body without a length, where R2 needs one.
    #[must_use]
    pub fn length_required() -> Self {
        Self::new(Code::LengthRequired, "send the body with a Content-Length")
    }

    /// What is there is not what the request's conditions want.
    #[must_use]
    pub fn precondition_failed() -> Self {
        Self::new(Code::PreconditionFailed, "the file is not as the request's conditions (If-Match and others) want it")
    }

    /// A range that a file of `size` bytes does not have.
    #[must_use]
    pub fn range_not_satisfiable(size: u64) -> Self {
        Self {
            header: Some(("Content-Range", format!("bytes */{size}").into())),
            ..Self::new(Code::RangeNotSatisfiable, format!("the file has {size} bytes; the range is not among them"))
        }
    }

    /// Something (`what`) is larger than `limit` bytes.
    #[must_use]
    pub fn too_large(what: &str, limit: u64) -> Self {
        Self::new(Code::TooLarge, format!("{what} may have {limit} bytes at most"))
    }

    /// The body's `Content-Type` is not `wanted`.
    #[must_use]
    pub fn unsupported_media_type(wanted: &'static str) -> Self {
        Self::new(Code::UnsupportedMediaType, format!("send the body as Content-Type: {wanted}"))
    }

    /// The body is in a coding that the route does not decode (RFC 9110, 15.5.16).
    #[must_use]
    pub fn unsupported_coding(coding: &str) -> Self {
        Self {
            header: Some(("Accept-Encoding", "identity".into())),
            ..Self::new(
                Code::UnsupportedMediaType,
                format!("this route does not decode `{coding}`: send the body as it is, without Content-Encoding"),
            )
        }
    }

    /// The customer has no such storage (`what`).
    #[must_use]
    pub fn binding_not_attached(what: &'static str) -> Self {
        Self::new(Code::BindingNotAttached, format!("this customer has no {what}"))
    }

    /// The storage failed; `cause` is for the log alone.
    #[must_use]
    pub fn storage_unavailable(cause: String) -> Self {
        Self {
            header: Some(("Retry-After", "1".into())),
            cause: Some(cause),
            ..Self::new(Code::StorageUnavailable, "the storage did not answer as it should; try again")
        }
    }

    /// Too many large bodies are being taken at once.
    #[must_use]
    pub fn busy() -> Self {
        Self {
            header: Some(("Retry-After", "1".into())),
            ..Self::new(Code::Busy, "too many large values are being stored at once; try again")
        }
    }

    /// The Worker failed in a way that is nobody else's fault; `cause` is for the log alone.
    #[must_use]
    pub fn internal_error(cause: String) -> Self {
        Self { cause: Some(cause), ..Self::new(Code::InternalError, "the request failed; report the requestId") }
    }

    /// A host that customers' Workers may not reach.
    #[must_use]
    pub fn host_not_allowed(host: &str) -> Self {
        Self::new(Code::HostNotAllowed, format!("Workers of this platform may not reach {host}; ask its operator"))
    }

    /// A host that may be reached, and does not answer.
    #[must_use]
    pub fn host_unreachable(reason: &str) -> Self {
        Self::new(Code::HostUnreachable, format!("the host does not answer: {reason}"))
    }

    /// The local runtime does not answer.
    #[must_use]
    pub fn runtime_unavailable() -> Self {
        Self {
            header: Some(("Retry-After", "1".into())),
            ..Self::new(Code::RuntimeUnavailable, "the local runtime does not answer; see what the platform printed")
        }
    }
}
