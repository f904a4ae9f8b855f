//! Replies that the Workers create.

use serde::Serialize;
use shared::http::{PROBLEM_MEDIA_TYPE, Problem};
use shared::json::to_text;
use wasm_bindgen::prelude::*;
use web_sys::{Headers, Response, ResponseInit};

/// The `Vary` of every reply. All customers share the same URLs, so a cache must not send one customer's reply to
/// another.
pub const VARY: &str = "X-User-ID, Authorization";

/// Creates a 200 with `body` as JSON.
#[must_use]
pub fn json_reply(body: &impl Serialize) -> Response {
    json_text_reply(&to_text(body).into())
}

/// Creates the reply for a problem.
#[must_use]
pub fn problem_reply(problem: &Problem, request_id: &str) -> Response {
    let init = init(problem.status(), PROBLEM_MEDIA_TYPE, problem.header());
    new_response(&problem.to_json(request_id).into(), &init)
}

fn init(status: u16, content_type: &str, header: Option<(&str, &str)>) -> ResponseInit {
    let common = [("Content-Type", content_type), ("Cache-Control", "no-store"), ("Vary", VARY)];
    let init = ResponseInit::new();
    init.set_status(status);
    init.set_headers(&headers(common.into_iter().chain(header)));
    init
}

/// Creates a reply with any type of body that the runtime accepts. A stream never enters Wasm.
#[must_use]
pub fn new_response(body: &JsValue, init: &ResponseInit) -> Response {
    AnyBodyResponse::new(body, init).expect("a valid status and valid headers").into()
}

/// Creates headers with these names and values, which must be valid.
#[must_use]
pub fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Headers {
    let headers = Headers::new().expect("empty headers");
    for (name, value) in pairs {
        set_header(&headers, name, value);
    }
    headers
}

/// Sets a header. The name and the value must be valid.
pub fn set_header(headers: &Headers, name: &str, value: &str) {
    headers.set(name, value).expect("a valid name and a valid value");
}

#[wasm_bindgen]
extern "C" {
    /// A `Response` with a constructor for any type of body. `web_sys::Response` has one constructor for each type, and
    /// none for `JsString`, which keeps text outside Wasm.
    #[wasm_bindgen(extends = Response, js_name = Response)]
    type AnyBodyResponse;

    #[wasm_bindgen(constructor, catch, js_class = "Response")]
    fn new(body: &JsValue, init: &ResponseInit) -> Result<AnyBodyResponse, JsValue>;
}

/// Creates a 200 with a body that is already JSON text. The text may be outside Wasm.
#[must_use]
pub fn json_text_reply(json: &JsValue) -> Response {
    thread_local! {
        // All of these replies have the same headers, and `new Response` copies them.
        static INIT: ResponseInit = init(200, "application/json", None);
    }
    INIT.with(|init| new_response(json, init))
}
