//! Codes of problems, by which programs distinguish them.

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $name:literal,)*) => {
        /// The code of a problem, for programs. A released code never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProblemCode {
            $($(#[$doc])* $variant,)*
        }

        impl ProblemCode {
            /// All codes.
            pub const ALL: &'static [ProblemCode] = &[$(ProblemCode::$variant,)*];

            /// Returns the value of a problem's `code`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(ProblemCode::$variant => $name,)* }
            }

            /// Returns the HTTP status of the code.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(ProblemCode::$variant => $status,)* }
            }
        }
    };
}

codes! {
    // From the dispatcher.
    /// `X-User-ID` is missing.
    MissingUserId = 400 "missing_user_id",
    /// `X-User-ID` is not a user id.
    InvalidUserId = 400 "invalid_user_id",
    /// `Sec-WebSocket-Protocol` names a user id or a token in a way that is not valid.
    InvalidWebsocketProtocol = 400 "invalid_websocket_protocol",
    /// The token is missing.
    MissingToken = 401 "missing_token",
    /// The token is rejected.
    InvalidToken = 401 "invalid_token",
    /// The token is for another customer.
    UserMismatch = 403 "user_mismatch",
    /// The token does not have the required scope.
    InsufficientScope = 403 "insufficient_scope",
    /// The customer is suspended.
    CustomerSuspended = 403 "customer_suspended",
    /// Pages of this origin may not open a `WebSocket`.
    OriginNotAllowed = 403 "origin_not_allowed",
    /// The customer does not exist.
    UnknownUser = 404 "unknown_user",
    /// The customer has sent more requests than its plan allows.
    RateLimited = 429 "rate_limited",
    /// The customer's Worker threw an exception.
    CustomerWorkerFailed = 502 "customer_worker_failed",
    /// The customer's Worker exceeded its limits.
    CustomerWorkerLimit = 503 "customer_worker_limit",
    /// No request can be authenticated, because no valid keys are configured.
    AuthNotConfigured = 503 "auth_not_configured",
    /// No request can be authenticated at the moment, because the keys cannot be fetched.
    AuthUnavailable = 503 "auth_unavailable",

    // From the customer Worker.
    /// `key` is missing.
    MissingKey = 400 "missing_key",
    /// `key` is empty, too long, or not UTF-8.
    InvalidKey = 400 "invalid_key",
    /// A query parameter or a header is invalid.
    InvalidParameter = 400 "invalid_parameter",
    /// The cursor was not returned by the same listing.
    InvalidCursor = 400 "invalid_cursor",
    /// The body is not JSON.
    InvalidJson = 400 "invalid_json",
    /// The body is JSON, but does not have the form that the route requires.
    InvalidBody = 400 "invalid_body",
    /// The form is malformed, or does not have the fields that the route requires.
    InvalidForm = 400 "invalid_form",
    /// A large form has its `key` after its `file`.
    KeyAfterFile = 400 "key_after_file",
    /// R2 rejects a part of a multipart upload, or the list of parts.
    InvalidPart = 400 "invalid_part",
    /// The request has conditions, but R2 cannot check them for this operation.
    ConditionNotSupported = 400 "condition_not_supported",
    /// The database rejects the statement.
    SqlError = 400 "sql_error",
    /// The route does not exist.
    NotFound = 404 "not_found",
    /// No file has this key.
    FileNotFound = 404 "file_not_found",
    /// No value has this key.
    DataNotFound = 404 "data_not_found",
    /// The multipart upload does not exist, or has been completed or aborted.
    UploadNotFound = 404 "upload_not_found",
    /// The route does not have this method.
    MethodNotAllowed = 405 "method_not_allowed",
    /// The body has no `Content-Length`.
    LengthRequired = 411 "length_required",
    /// The stored file does not meet the request's conditions.
    PreconditionFailed = 412 "precondition_failed",
    /// The body is larger than the route allows.
    TooLarge = 413 "too_large",
    /// The body has a media type or a coding that the route does not support.
    UnsupportedMediaType = 415 "unsupported_media_type",
    /// The range is outside the file.
    RangeNotSatisfiable = 416 "range_not_satisfiable",
    /// The Worker failed.
    InternalError = 500 "internal_error",
    /// The customer does not have this storage.
    BindingNotAttached = 501 "binding_not_attached",
    /// The storage failed.
    StorageUnavailable = 503 "storage_unavailable",
    /// Too many large bodies are being stored at once.
    Busy = 503 "busy",

    // From the outbound Worker to customers' Workers.
    /// Customers' Workers may not call this host.
    HostNotAllowed = 403 "host_not_allowed",
    /// The host does not reply.
    HostUnreachable = 502 "host_unreachable",

    // From the local platform.
    /// The local platform's dispatcher does not reply.
    RuntimeUnavailable = 503 "runtime_unavailable",
}
