//! Gives every request an id.

use edge::REQUEST_ID_HEADER;
use shared::RequestId;
use wasm_bindgen::prelude::*;
use web_sys::Request;

/// Answers the request with its id. One that has an id already is handed on as it is, which is the fast path and, in
/// production, the only one; any other is copied, its body left alone, with a new id in `X-Request-Id`.
pub fn ensure(request: Request) -> (Request, RequestId) {
    if let Some(id) = edge::request_id(&request) {
        return (request, id);
    }
    let uuid = random_uuid();
    let id = RequestId::parse(&uuid).expect("a UUID is a well-formed id");
    let copy = Request::new_with_request(&request).expect("a request that has not been read can be copied");
    copy.headers().set(REQUEST_ID_HEADER, &uuid).expect("a UUID is a valid header");
    (copy, id)
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = randomUUID)]
    fn random_uuid() -> String;
}
