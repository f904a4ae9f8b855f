//! Lets pages in browsers call the platform, those of the origins in `ALLOWED_ORIGINS`; without it, nothing is done here.

use shared::cors::{ALLOWED_HEADERS, ALLOWED_METHODS, AllowedOrigins, EXPOSED_HEADERS, MAX_AGE};
use wasm_bindgen::prelude::*;
use web_sys::{Headers, Response, ResponseInit};

use crate::bindings::Bindings;
use crate::forwarded::Identified;

const VALID: &str = "an origin that a header held is a valid header, and the rest is constant";

/// Answers a browser that asks whether a page may send its request. A page that may not gets a reply that does not say that
/// it may, which is how the protocol refuses.
pub fn preflight(bindings: &Bindings, request: &Identified<'_>, method: &str) -> Option<Response> {
    if method != "OPTIONS" {
        return None;
    }
    let list = bindings.allowed_origins()?;
    request.header("Access-Control-Request-Method")?;
    let origin = request.header("Origin")?;
    let headers = Headers::new().expect(VALID);
    let set = |name, value| headers.set(name, value).expect(VALID);
    set("Cache-Control", "no-store");
    set("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    if AllowedOrigins::new(&list).allow(&origin).is_some() {
        set("Access-Control-Allow-Methods", ALLOWED_METHODS);
        set("Access-Control-Allow-Headers", ALLOWED_HEADERS);
        set("Access-Control-Max-Age", MAX_AGE);
    }
    let init = ResponseInit::new();
    init.set_status(204);
    init.set_headers(&headers);
    Some(edge::new_response(&JsValue::NULL, &init))
}

/// Gives a reply what a page needs to read it. Its body is handed on as it is.
pub fn permit(bindings: &Bindings, request: &Identified<'_>, reply: Response) -> Response {
    let Some(list) = bindings.allowed_origins() else { return reply };
    let origins = AllowedOrigins::new(&list);
    let origin = request.header("Origin");
    let allowed = origin.as_deref().and_then(|origin| origins.allow(origin));
    let is_upgrade = reply.status() == 101;
    if is_upgrade || (allowed.is_none() && origins.any()) {
        return reply;
    }
    // What a Worker's `fetch` answers cannot be changed.
    let copy = js::Response::new(&reply.body().into(), &reply).expect("a reply can be copied");
    let headers = copy.headers();
    if !origins.any() {
        headers.append("Vary", "Origin").expect(VALID);
    }
    if let Some(allowed) = allowed {
        headers.set("Access-Control-Allow-Origin", allowed).expect(VALID);
        headers.set("Access-Control-Expose-Headers", EXPOSED_HEADERS).expect(VALID);
    }
    copy.into()
}

mod js {
    //! `web_sys` has no constructor that takes a response for its second argument.

    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(extends = web_sys::Response)]
        pub type Response;

        #[wasm_bindgen(constructor, catch)]
        pub fn new(body: &JsValue, like: &web_sys::Response) -> Result<Response, JsValue>;
    }
}
