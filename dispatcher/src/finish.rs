//! What every reply gets before it goes out: what keeps caches from mixing customers up, and, where `ALLOWED_ORIGINS` says
//! so, what lets pages in browsers read it.

use edge::{VARY, header, name};
use shared::Problem;
use shared::cors::{ALLOWED_HEADERS, ALLOWED_METHODS, AllowedOrigins, EXPOSED_HEADERS, MAX_AGE};
use wasm_bindgen::prelude::*;
use web_sys::{Headers, Response, ResponseInit};

use crate::bindings::Bindings;
use crate::forwarded::Identified;

const VALID: &str = "an origin that a header held is a valid header, and the rest is constant";

/// Answers a browser that asks whether a page may send its request (a CORS preflight), where pages may at all. What says
/// that this one may is put on by [`finish`]; without it, the browser does not send the request.
pub fn preflight(bindings: &Bindings<'_>, request: &Identified<'_>, method: &str) -> Option<Response> {
    if method != "OPTIONS" {
        return None;
    }
    let list = bindings.settings.allowed_origins.as_deref()?;
    request.header("Access-Control-Request-Method")?;
    let origin = request.header("Origin")?;
    let headers = header::all([("Cache-Control", "no-store"), ("Vary", VARY)]);
    if AllowedOrigins::new(list).allow(&origin).is_some() {
        header::set(&headers, "Access-Control-Allow-Methods", &ALLOWED_METHODS.into());
        header::set(&headers, "Access-Control-Allow-Headers", &ALLOWED_HEADERS.into());
        header::set(&headers, "Access-Control-Max-Age", &MAX_AGE.into());
    }
    let init = ResponseInit::new();
    init.set_status(204);
    init.set_headers(&headers);
    Some(edge::new_response(&JsValue::NULL, &init))
}

/// A reply with what it lacks; if that is nothing, as with the platform's own Workers and no `ALLOWED_ORIGINS`, the reply
/// itself. Its body is handed on as it is.
///
/// A customer's own Worker may hand on what it got from elsewhere, with a status that nobody may make a reply with.
pub fn finish(bindings: &Bindings<'_>, request: &Identified<'_>, reply: Response) -> Result<Response, Problem> {
    let origins = bindings.settings.allowed_origins.as_deref();
    if origins.is_none() && js::varies(&reply, name::of(VARY)) {
        return Ok(reply);
    }
    let (status, varies) = (reply.status(), varies(&reply));
    // Handing a connection on to another protocol cannot be copied, and cannot be cached.
    if (origins.is_none() && varies) || status == 101 {
        return Ok(reply);
    }
    let copy = js::Response::new(&reply.body().into(), &reply).map_err(|thrown| {
        Problem::customer_worker_failed(format!("it replied with status {status}: {}", edge::thrown_message(&thrown)))
    })?;
    let headers = copy.headers();
    if !varies {
        headers.append("Vary", VARY).expect(VALID);
    }
    if let Some(list) = origins {
        permit(AllowedOrigins::new(list), request.header("Origin").as_deref(), &headers);
    }
    Ok(copy.into())
}

/// Whether caches are told to tell customers apart.
fn varies(reply: &Response) -> bool {
    let vary = header::get(&reply.headers(), "Vary").unwrap_or_default();
    let names = |wanted: &str| vary.split(',').any(|name| name.trim().eq_ignore_ascii_case(wanted));
    names("*") || VARY.split(", ").all(names)
}

/// Says whether a page may read the reply, whatever a customer's own Worker says of that.
fn permit(origins: AllowedOrigins<'_>, origin: Option<&str>, headers: &Headers) {
    for name in ["Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"] {
        headers.delete(name).expect(VALID);
    }
    let allowed = if origins.any() { Some("*") } else { origin.and_then(|origin| origins.allow(origin)) };
    if !origins.any() {
        headers.append("Vary", "Origin").expect(VALID);
    }
    if let Some(allowed) = allowed {
        header::set(headers, "Access-Control-Allow-Origin", &allowed.into());
        header::set(headers, "Access-Control-Expose-Headers", &EXPOSED_HEADERS.into());
    }
}

mod js {
    use js_sys::JsString;
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen(module = "/src/finish.js")]
    extern "C" {
        pub fn varies(reply: &web_sys::Response, vary: &JsString) -> bool;
    }

    #[wasm_bindgen]
    extern "C" {
        /// `web_sys` has no constructor that takes a response for its second argument.
        #[wasm_bindgen(extends = web_sys::Response)]
        pub type Response;

        #[wasm_bindgen(constructor, catch)]
        pub fn new(body: &JsValue, like: &web_sys::Response) -> Result<Response, JsValue>;
    }
}
