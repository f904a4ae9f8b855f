//! The codes that programs tell problems apart by.

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $name:literal,)*) => {
        /// What went wrong, in a form that programs can rely on. It never changes once released.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProblemCode {
            $($(#[$doc])* $variant,)*
        }

        impl ProblemCode {
            /// Every code there is.
            pub const ALL: &'static [ProblemCode] = &[$(ProblemCode::$variant,)*];

            /// The code as it stands in a problem's `code`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(ProblemCode::$variant => $name,)* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(ProblemCode::$variant => $status,)* }
            }
        }
    };
}

codes! {
    // The dispatcher's.
    /// No `X-User-ID`.
    MissingUserId = 400 "missing_user_id",
    /// `X-User-ID` is not a user id.
    InvalidUserId = 400 "invalid_user_id",
    /// No token.
    MissingToken = 401 "missing_token",
    /// The token is not taken.
    InvalidToken = 401 "invalid_token",
    /// The token is another customer's.
    UserMismatch = 403 "user_mismatch",
    /// The token does not allow that.
    InsufficientScope = 403 "insufficient_scope",
    /// The customer is suspended.
    CustomerSuspended = 403 "customer_suspended",
    /// There is no such customer.
    UnknownUser = 404 "unknown_user",
    /// The customer has sent more requests than its plan allows.
    RateLimited = 429 "rate_limited",
    /// The customer's Worker threw.
    CustomerWorkerFailed = 502 "customer_worker_failed",
    /// The customer's Worker took more than its limits allow.
    CustomerWorkerLimit = 503 "customer_worker_limit",
    /// No request can be authenticated, because no key is configured.
    AuthNotConfigured = 503 "auth_not_configured",
    /// No request can be authenticated at the moment, because the keys cannot be fetched.
    AuthUnavailable = 503 "auth_unavailable",

    // The customer Worker's.
    /// No `key`.
    MissingKey = 400 "missing_key",
    /// `key` is empty, too long, or not text.
    InvalidKey = 400 "invalid_key",
    /// A parameter of the query makes no sense.
    InvalidParameter = 400 "invalid_parameter",
    /// The cursor is not one that a listing gave.
    InvalidCursor = 400 "invalid_cursor",
    /// The body is not JSON.
    InvalidJson = 400 "invalid_json",
    /// The body is JSON, but not what the route takes.
    InvalidBody = 400 "invalid_body",
    /// The form is broken, or its fields are not what the route takes.
    InvalidForm = 400 "invalid_form",
    /// A large form has its `key` after its `file`.
    KeyAfterFile = 400 "key_after_file",
    /// A part of an upload is not as R2 wants parts.
    InvalidPart = 400 "invalid_part",
    /// An upload in parts cannot be conditional.
    ConditionNotSupported = 400 "condition_not_supported",
    /// The database does not take the statement.
    SqlError = 400 "sql_error",
    /// No such route.
    NotFound = 404 "not_found",
    /// No file under that key.
    FileNotFound = 404 "file_not_found",
    /// No value under that key.
    DataNotFound = 404 "data_not_found",
    /// No such upload, or no longer.
    UploadNotFound = 404 "upload_not_found",
    /// The route does not have that method.
    MethodNotAllowed = 405 "method_not_allowed",
    /// The body does not say how long it is.
    LengthRequired = 411 "length_required",
    /// What is there is not what the request's conditions want.
    PreconditionFailed = 412 "precondition_failed",
    /// The body is larger than the route takes.
    TooLarge = 413 "too_large",
    /// The body is not of a type that the route takes.
    UnsupportedMediaType = 415 "unsupported_media_type",
    /// The file has no such range.
    RangeNotSatisfiable = 416 "range_not_satisfiable",
    /// The Worker failed.
    InternalError = 500 "internal_error",
    /// The customer has no such storage.
    BindingNotAttached = 501 "binding_not_attached",
    /// The storage failed.
    StorageUnavailable = 503 "storage_unavailable",
    /// Too many large bodies at once.
    Busy = 503 "busy",

    // The outbound Worker's, which customers' Workers get.
    /// Customers' Workers may not reach that host.
    HostNotAllowed = 403 "host_not_allowed",
    /// The host does not answer.
    HostUnreachable = 502 "host_unreachable",

    // The local platform's.
    /// The local runtime is restarting, and took too long.
    RuntimeUnavailable = 503 "runtime_unavailable",
}
