//! What the Workers do alike where Wasm meets the runtime: telling requests apart, making objects, replying, and logging.

use js_sys::{Object, Reflect};
use shared::{PROBLEM_MEDIA_TYPE, Problem, RequestId};
use wasm_bindgen::JsValue;
use web_sys::{Headers, Response, ResponseInit};

/// The header that carries the id which the dispatcher gives to a request that comes without one.
pub const REQUEST_ID_HEADER: &str = "X-Request-Id";

/// A request's id as it stands in its headers: Cloudflare's own where there is one, and in production there always is.
#[must_use]
pub fn request_id(headers: &Headers) -> Option<RequestId> {
    let id = |name| headers.get(name).ok().flatten().and_then(|id| RequestId::parse(&id));
    id("CF-Ray").or_else(|| id(REQUEST_ID_HEADER))
}

/// A new id, for a request that has none.
#[must_use]
pub fn new_request_id() -> RequestId {
    RequestId::parse(&bindings::random_uuid()).expect("a UUID is a well-formed id")
}

/// A 200 with a JSON body.
#[must_use]
pub fn json_reply(body: &JsValue) -> Response {
    reply(200, "application/json", body, None)
}

/// The reply that tells the client of a problem.
#[must_use]
pub fn problem_reply(problem: &Problem, request_id: &str) -> Response {
    let body = problem.to_json(request_id).into();
    reply(problem.code().status(), PROBLEM_MEDIA_TYPE, &body, problem.header())
}

fn reply(status: u16, content_type: &str, body: &JsValue, header: Option<(&str, &str)>) -> Response {
    const CONSTANT: &str = "the headers are constants, and valid";
    let headers = Headers::new().expect(CONSTANT);
    let common = [("Content-Type", content_type), ("Cache-Control", "no-store"), ("Vary", VARY)];
    for (name, value) in common.into_iter().chain(header) {
        headers.set(name, value).expect(CONSTANT);
    }
    let init = ResponseInit::new();
    init.set_status(status);
    init.set_headers(&headers);
    new_response(body, &init)
}

/// All customers share the same URLs: no cache may hand one the reply that another got.
pub const VARY: &str = "X-User-ID, Authorization";

/// A response with any body that the runtime takes: a stream is handed on as it is, and never enters Wasm.
#[must_use]
pub fn new_response(body: &JsValue, init: &ResponseInit) -> Response {
    bindings::Response::new(body, init).expect("a valid status and valid headers").into()
}

/// A plain object with these properties.
#[must_use]
pub fn object(properties: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in properties {
        set(&object, name, value);
    }
    object
}

/// Sets a property of a plain object.
pub fn set(object: &Object, name: &str, value: &JsValue) {
    Reflect::set(object, &name.into(), value).expect("a plain object takes any property");
}

/// What a thrown value says.
#[must_use]
pub fn thrown_message(thrown: &JsValue) -> String {
    let message = Reflect::get(thrown, &"message".into()).ok().and_then(|message| message.as_string());
    message.or_else(|| thrown.as_string()).unwrap_or_else(|| format!("{thrown:?}"))
}

/// Logs a problem that has a cause, which is to say one that the client is not to blame for: one line of JSON, for the
/// operator alone.
pub fn log_problem(problem: &Problem, request_id: &str) {
    let Some(cause) = problem.cause() else { return };
    let line = serde_json::json!({
        "level": "error",
        "requestId": request_id,
        "status": problem.status(),
        "code": problem.code().name(),
        "cause": cause,
    });
    web_sys::console::error_1(&line.to_string().into());
}

mod bindings {
    //! What `web_sys` does not have, or not so: it has one constructor for each type of body, and this one takes them all.

    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(extends = web_sys::Response)]
        pub type Response;

        #[wasm_bindgen(constructor, catch)]
        pub fn new(body: &JsValue, init: &web_sys::ResponseInit) -> Result<Response, JsValue>;

        #[wasm_bindgen(js_namespace = crypto, js_name = randomUUID)]
        pub fn random_uuid() -> String;
    }
}
