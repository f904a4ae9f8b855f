//! Constructors of all problems, with their texts.

use super::{Problem, ProblemCode};

impl Problem {
    /// The request has no `X-User-ID`.
    #[must_use]
    pub fn missing_user_id() -> Self {
        Self::new(ProblemCode::MissingUserId, "the request does not name a customer; send the header X-User-ID")
    }

    /// `X-User-ID` is not a user id. The runtime joins two such headers with a comma, so this also rejects two headers.
    #[must_use]
    pub fn invalid_user_id() -> Self {
        Self::new(
            ProblemCode::InvalidUserId,
            "X-User-ID must be one user id: 1 to 48 of a-z, 0-9 and -, starting and ending with a letter or digit",
        )
    }

    /// `Sec-WebSocket-Protocol` names a user id or a token in a way that is not valid. The client receives `detail`.
    #[must_use]
    pub fn invalid_websocket_protocol(detail: &'static str) -> Self {
        Self::new(ProblemCode::InvalidWebsocketProtocol, detail)
    }

    /// A page of another origin opens a WebSocket, and the platform trusts the user id that it sends.
    #[must_use]
    pub fn origin_not_allowed() -> Self {
        Self::new(
            ProblemCode::OriginNotAllowed,
            "pages of this Origin may not open WebSockets here; ask the platform's operator to add it to ALLOWED_ORIGINS",
        )
    }

    /// The request has no bearer token. The challenge contains no error code (RFC 6750, 3.1).
    #[must_use]
    pub fn missing_token() -> Self {
        Self {
            header: Some(("WWW-Authenticate", r#"Bearer realm="platform""#.into())),
            ..Self::new(
                ProblemCode::MissingToken,
                "the request has no token; send the header Authorization: Bearer <token>",
            )
        }
    }

    /// The token is rejected. The client receives `reason`.
    #[must_use]
    pub fn invalid_token(reason: &'static str) -> Self {
        let challenge = format!(r#"Bearer realm="platform", error="invalid_token", error_description="{reason}""#);
        Self {
            header: Some(("WWW-Authenticate", challenge.into())),
            ..Self::new(ProblemCode::InvalidToken, format!("{reason}; get a new one"))
        }
    }

    /// The token is for another customer.
    #[must_use]
    pub fn user_mismatch() -> Self {
        Self::new(ProblemCode::UserMismatch, "the token is for another customer: its `sub` must be equal to X-User-ID")
    }

    /// The token does not have the scope that the request's method needs.
    #[must_use]
    pub fn insufficient_scope(needed: &str) -> Self {
        let challenge = format!(r#"Bearer realm="platform", error="insufficient_scope", scope="{needed}""#);
        Self {
            header: Some(("WWW-Authenticate", challenge.into())),
            ..Self::new(
                ProblemCode::InsufficientScope,
                format!("the token does not allow this request: it needs the scope `{needed}`"),
            )
        }
    }

    /// The operator has suspended the customer.
    #[must_use]
    pub fn customer_suspended() -> Self {
        Self::new(ProblemCode::CustomerSuspended, "this customer is suspended; ask the platform's operator")
    }

    /// The customer has sent more requests than its plan allows. The count starts again after `period` seconds.
    #[must_use]
    pub fn rate_limited(period: u32) -> Self {
        Self {
            header: Some(("Retry-After", period.to_string().into())),
            ..Self::new(
                ProblemCode::RateLimited,
                format!("this customer has sent too many requests; try again in {period} seconds"),
            )
        }
    }

    /// The customer's Worker exceeded its limits of CPU time, memory or subrequests. `cause` is for the log only.
    #[must_use]
    pub fn customer_worker_limit(cause: String) -> Self {
        Self {
            cause: Some(cause),
            ..Self::new(
                ProblemCode::CustomerWorkerLimit,
                "this customer's Worker exceeded its limits; do less in one request",
            )
        }
    }

    /// The operator has not configured valid keys to verify tokens with. `cause` is for the log only.
    #[must_use]
    pub fn auth_not_configured(cause: String) -> Self {
        Self {
            cause: Some(cause),
            ..Self::new(
                ProblemCode::AuthNotConfigured,
                "the platform cannot authenticate requests: its operator has not configured authentication",
            )
        }
    }

    /// The keys to verify tokens with cannot be fetched. `cause` is for the log only.
    #[must_use]
    pub fn auth_unavailable(cause: String) -> Self {
        Self {
            header: Some(("Retry-After", "5".into())),
            cause: Some(cause),
            ..Self::new(
                ProblemCode::AuthUnavailable,
                "the platform cannot authenticate requests at the moment; try again",
            )
        }
    }

    /// The customer does not exist.
    #[must_use]
    pub fn unknown_user() -> Self {
        Self::new(ProblemCode::UnknownUser, "there is no customer with this X-User-ID; check its spelling")
    }

    /// The customer's Worker threw an exception. `cause` is for the log only.
    #[must_use]
    pub fn customer_worker_failed(cause: String) -> Self {
        Self {
            cause: Some(cause),
            ..Self::new(
                ProblemCode::CustomerWorkerFailed,
                "this customer's Worker failed; try again, or report the requestId",
            )
        }
    }

    /// The request has no `key`, and the route requires one.
    #[must_use]
    pub fn missing_key() -> Self {
        Self::new(ProblemCode::MissingKey, "a `key` is required")
    }

    /// The key is empty or too long.
    #[must_use]
    pub fn invalid_key_length(max_length: usize) -> Self {
        Self::new(ProblemCode::InvalidKey, format!("`key` must be 1 to {max_length} bytes long"))
    }

    /// The key is not UTF-8.
    #[must_use]
    pub fn invalid_key_encoding() -> Self {
        Self::new(ProblemCode::InvalidKey, "`key` must be UTF-8, percent-encoded in a URL")
    }

    /// The query contains a parameter more than once.
    #[must_use]
    pub fn repeated_parameter(name: &str) -> Self {
        Self::new(ProblemCode::InvalidParameter, format!("`{name}` is in the query more than once; send it once"))
    }

    /// A query parameter or a header is invalid, for this reason.
    #[must_use]
    pub fn invalid_parameter(reason: &str) -> Self {
        Self::new(ProblemCode::InvalidParameter, reason.to_owned())
    }

    /// The cursor was not returned by the same listing.
    #[must_use]
    pub fn invalid_cursor() -> Self {
        Self::new(ProblemCode::InvalidCursor, "`cursor` must be the `cursor` of the previous page of the same listing")
    }

    /// The body is not valid JSON. `error` describes the syntax error.
    #[must_use]
    pub fn invalid_json(error: &str) -> Self {
        Self::new(ProblemCode::InvalidJson, format!("the body is not valid JSON: {error}"))
    }

    /// The body is JSON, but does not have the form that the route requires, for this reason.
    #[must_use]
    pub fn invalid_body(reason: &str) -> Self {
        Self::new(ProblemCode::InvalidBody, format!("the body is not valid for this route: {reason}"))
    }

    /// The form is malformed or incomplete, for this reason.
    #[must_use]
    pub fn invalid_form(reason: &str) -> Self {
        Self::new(ProblemCode::InvalidForm, format!("the form is not valid for this route: {reason}"))
    }

    /// The form is too large to buffer, and its `key` does not come before its `file`.
    #[must_use]
    pub fn key_after_file() -> Self {
        Self::new(ProblemCode::KeyAfterFile, "in a form this large, `key` must come before `file`: send it first")
    }

    /// R2 rejects a part or the list of parts, for this reason.
    #[must_use]
    pub fn invalid_part(reason: &str) -> Self {
        Self::new(
            ProblemCode::InvalidPart,
            format!(
                "{reason}; parts are numbered from 1 to 10000, and all but the last have the same size of at least 5 MiB"
            ),
        )
    }

    /// The request has conditions, but R2 cannot check them when it deletes a file or completes a multipart upload.
    #[must_use]
    pub fn condition_not_supported() -> Self {
        Self::new(
            ProblemCode::ConditionNotSupported,
            "conditions are not supported when a file is deleted, uploaded in parts, or sent in a large form; to store a \
             file conditionally, use PUT /files?key=",
        )
    }

    /// The database rejects a statement. `message` is the database's own message.
    #[must_use]
    pub fn sql_error(message: &str) -> Self {
        Self::new(ProblemCode::SqlError, message.to_owned())
    }

    /// The route does not exist. `paths` are the existing routes.
    #[must_use]
    pub fn not_found(paths: &[&str]) -> Self {
        let routes = match paths {
            [] => String::new(),
            [path] => format!("; the route is {path}"),
            [paths @ .., last] => format!("; the routes are {} and {last}", paths.join(", ")),
        };
        Self::new(ProblemCode::NotFound, format!("there is no such route{routes}"))
    }

    /// No file has this key.
    #[must_use]
    pub fn file_not_found() -> Self {
        Self::new(ProblemCode::FileNotFound, "there is no file with this key")
    }

    /// No value has this key.
    #[must_use]
    pub fn data_not_found() -> Self {
        Self::new(ProblemCode::DataNotFound, "there is no value with this key")
    }

    /// The route does not have the method. `allow` is the value of the header `Allow` (RFC 9110, 10.2.1).
    #[must_use]
    pub fn method_not_allowed(allow: &str) -> Self {
        Self {
            header: Some(("Allow", allow.to_owned().into())),
            ..Self::new(ProblemCode::MethodNotAllowed, format!("this route has only the methods {allow}"))
        }
    }

    /// The multipart upload does not exist.
    #[must_use]
    pub fn upload_not_found() -> Self {
        Self::new(
            ProblemCode::UploadNotFound,
            "there is no such upload of this key, or it was completed or aborted; use HEAD /files?key= to check whether the \
             file exists",
        )
    }

    /// The body has no length, and R2 needs one.
    #[must_use]
    pub fn length_required() -> Self {
        Self::new(ProblemCode::LengthRequired, "the body has no length; send it with a Content-Length")
    }

    /// The stored file does not meet the request's conditions.
    #[must_use]
    pub fn precondition_failed() -> Self {
        Self::new(
            ProblemCode::PreconditionFailed,
            "the stored file does not meet the request's conditions (If-Match and others)",
        )
    }

    /// The range is outside the file, which has `size` bytes.
    #[must_use]
    pub fn range_not_satisfiable(size: u64) -> Self {
        Self {
            header: Some(("Content-Range", format!("bytes */{size}").into())),
            ..Self::new(
                ProblemCode::RangeNotSatisfiable,
                format!("the range is outside the file, which has {size} bytes"),
            )
        }
    }

    /// `subject`, for example "the body", is larger than `limit` bytes.
    #[must_use]
    pub fn too_large(subject: &str, limit: u64) -> Self {
        Self::new(ProblemCode::TooLarge, format!("{subject} may have at most {limit} bytes"))
    }

    /// The body's `Content-Type` is not `expected`.
    #[must_use]
    pub fn unsupported_media_type(expected: &'static str) -> Self {
        Self::new(ProblemCode::UnsupportedMediaType, format!("send the body as Content-Type: {expected}"))
    }

    /// The body has a coding that the route does not decode (RFC 9110, 15.5.16).
    #[must_use]
    pub fn unsupported_coding(coding: &str) -> Self {
        Self {
            header: Some(("Accept-Encoding", "identity".into())),
            ..Self::new(
                ProblemCode::UnsupportedMediaType,
                format!("this route does not decode `{coding}`: send the body as it is, without Content-Encoding"),
            )
        }
    }

    /// The customer does not have this storage.
    #[must_use]
    pub fn binding_not_attached(storage: &'static str) -> Self {
        Self::new(ProblemCode::BindingNotAttached, format!("this customer has no {storage}"))
    }

    /// The storage failed. `cause` is for the log only.
    #[must_use]
    pub fn storage_unavailable(cause: String) -> Self {
        Self {
            header: Some(("Retry-After", "1".into())),
            cause: Some(cause),
            ..Self::new(ProblemCode::StorageUnavailable, "the storage failed; try again")
        }
    }

    /// Too many large bodies are being stored at once.
    #[must_use]
    pub fn busy() -> Self {
        Self {
            header: Some(("Retry-After", "1".into())),
            ..Self::new(ProblemCode::Busy, "too many large values are being stored at once; try again")
        }
    }

    /// The Worker itself failed. `cause` is for the log only.
    #[must_use]
    pub fn internal_error(cause: String) -> Self {
        Self { cause: Some(cause), ..Self::new(ProblemCode::InternalError, "the request failed; report the requestId") }
    }

    /// Customers' Workers may not call the host.
    #[must_use]
    pub fn host_not_allowed(host: &str) -> Self {
        Self::new(
            ProblemCode::HostNotAllowed,
            format!("Workers of this platform may not call {host}; ask its operator"),
        )
    }

    /// The host is allowed but does not reply, for this reason.
    #[must_use]
    pub fn host_unreachable(reason: &str) -> Self {
        Self::new(ProblemCode::HostUnreachable, format!("the host does not reply: {reason}"))
    }

    /// The local runtime does not reply.
    #[must_use]
    pub fn runtime_unavailable() -> Self {
        Self {
            header: Some(("Retry-After", "1".into())),
            ..Self::new(
                ProblemCode::RuntimeUnavailable,
                "the local runtime does not reply; see the local platform's output",
            )
        }
    }
}
