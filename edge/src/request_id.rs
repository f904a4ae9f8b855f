//! The id that ties a request's replies and log lines together.

use shared::http::RequestId;
use web_sys::Headers;

/// The header with the id that the dispatcher gives to a request that comes without one.
pub const REQUEST_ID_HEADER: &str = "X-Request-Id";

/// The id in a request's headers: Cloudflare's own (`CF-Ray`) where there is one, as there always is in production.
#[must_use]
pub fn request_id(headers: &Headers) -> Option<RequestId> {
    let id = |name| headers.get(name).ok().flatten().and_then(RequestId::parse);
    id("CF-Ray").or_else(|| id(REQUEST_ID_HEADER))
}

/// A new id, for a request that has none.
#[must_use]
pub fn new_request_id() -> RequestId {
    let crypto = crate::global().crypto().expect("every Worker has crypto");
    RequestId::parse(crypto.random_uuid()).expect("a UUID is a well-formed id")
}
