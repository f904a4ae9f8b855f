//! What the Workers do alike where Wasm meets the runtime: running, telling requests apart, making objects, replying, and
//! logging.

#[cfg(feature = "faults")]
pub mod faults;
pub mod header;
pub mod name;
pub mod task;

use js_sys::{Object, Reflect};
use shared::{JsonObject, PROBLEM_MEDIA_TYPE, Problem, RequestId};
use wasm_bindgen::prelude::*;
use web_sys::{Headers, Response, ResponseInit};

/// The standard library's allocator is larger and slower.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

/// Called by the customer Worker's `entry.js` before `fetch`, whose texts JavaScript hands over before it looks whether a panic has
/// left this instance useless, and would put them into that one: at a call without any, it makes the new one first.
#[wasm_bindgen]
pub fn ready() {}

/// The header that carries the id which the dispatcher gives to a request that comes without one.
pub const REQUEST_ID_HEADER: &str = "X-Request-Id";

/// A request's id as it stands in its headers: Cloudflare's own where there is one, and in production there always is.
#[must_use]
pub fn request_id(headers: &Headers) -> Option<RequestId> {
    let id = |name| header::get(headers, name).and_then(RequestId::parse);
    id("CF-Ray").or_else(|| id(REQUEST_ID_HEADER))
}

/// A new id, for a request that has none.
#[must_use]
pub fn new_request_id() -> RequestId {
    RequestId::parse(bindings::random_uuid()).expect("a UUID is a well-formed id")
}

/// A 200 with a JSON body.
#[must_use]
pub fn json_reply(body: &JsValue) -> Response {
    thread_local! {
        // The same for all of them, and made once.
        static HEAD: ResponseInit = head(200, "application/json", None);
    }
    HEAD.with(|head| new_response(body, head))
}

/// The reply that tells the client of a problem.
#[must_use]
pub fn problem_reply(problem: &Problem, request_id: &str) -> Response {
    let body = problem.to_json(request_id).into();
    new_response(&body, &head(problem.code().status(), PROBLEM_MEDIA_TYPE, problem.header()))
}

/// What a reply of the platform's own begins with.
fn head(status: u16, content_type: &'static str, header: Option<(&'static str, &str)>) -> ResponseInit {
    let headers = header::all([("Content-Type", content_type), ("Cache-Control", "no-store"), ("Vary", VARY)]);
    if let Some((name, value)) = header {
        header::set(&headers, name, &value.into());
    }
    let init = ResponseInit::new();
    init.set_status(status);
    init.set_headers(&headers);
    init
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
pub fn object(properties: &[(&'static str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in properties {
        set(&object, name, value);
    }
    object
}

/// Sets a property of a plain object.
pub fn set(object: &Object, name: &'static str, value: &JsValue) {
    let object: &bindings::PlainObject = object.unchecked_ref();
    object.set(name::of(name), value);
}

/// A count as JavaScript has it, exact up to 2^53 - 1, where it is cut off.
#[expect(clippy::cast_precision_loss, reason = "cut to what a double counts exactly")]
#[must_use]
pub fn number(count: u64) -> f64 {
    count.min((1 << 53) - 1) as f64
}

/// Lets the runtime wait for something after the reply, for up to 30 seconds, even when the client has gone
/// (<https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil>).
pub fn wait_until(act: impl Future<Output = ()> + 'static) {
    bindings::wait_until(&task::spawn(async {
        act.await;
        Ok(JsValue::UNDEFINED)
    }));
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
    let mut line = JsonObject::begin();
    line.text("level", "error").text("requestId", request_id).number("status", problem.status().into());
    line.text("code", problem.code().name()).text("cause", cause);
    web_sys::console::error_1(&line.end().into());
}

mod bindings {
    //! What `web_sys` does not have, or not so: it has one constructor for each type of body, and this one takes them all.

    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        /// `Reflect.set`, which `js_sys` has, is a call out of the engine.
        pub type PlainObject;

        #[wasm_bindgen(method, indexing_setter)]
        pub fn set(this: &PlainObject, name: &js_sys::JsString, value: &JsValue);

        #[wasm_bindgen(extends = web_sys::Response)]
        pub type Response;

        #[wasm_bindgen(constructor, catch)]
        pub fn new(body: &JsValue, init: &web_sys::ResponseInit) -> Result<Response, JsValue>;

        #[wasm_bindgen(js_namespace = crypto, js_name = randomUUID)]
        pub fn random_uuid() -> String;
    }

    #[wasm_bindgen(module = "cloudflare:workers")]
    extern "C" {
        #[wasm_bindgen(js_name = waitUntil)]
        pub fn wait_until(promise: &js_sys::Promise);
    }
}
