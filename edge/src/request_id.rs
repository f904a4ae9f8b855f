//! Request ids in headers.

use shared::http::RequestId;
use web_sys::Headers;

/// The header that contains the request id. A client may send it, and the dispatcher adds it to requests without an id.
pub const REQUEST_ID_HEADER: &str = "X-Request-Id";

/// Returns the id in a request's headers: Cloudflare's `CF-Ray`, which every deployed request has, else `X-Request-Id`.
#[must_use]
pub fn request_id(headers: &Headers) -> Option<RequestId> {
    let id = |name| headers.get(name).ok().flatten().and_then(RequestId::parse);
    id("CF-Ray").or_else(|| id(REQUEST_ID_HEADER))
}

/// Creates an id for a request that has none.
#[must_use]
pub fn new_request_id() -> RequestId {
    let crypto = crate::global().crypto().expect("every Worker has crypto");
    RequestId::parse(crypto.random_uuid()).expect("a UUID is a well-formed id")
}
