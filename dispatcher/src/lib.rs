//! The dispatch Worker of the platform. A request's way through it:
//!
//! ```text
//! fetch -> /healthz?           answered here
//!       -> request_id::ensure   who the request is, for replies and logs
//!       -> user_id              who it is for: X-User-ID
//!       -> DispatchNamespace    that customer's own Worker
//!       -> its reply, as it is  the body is never read here
//! ```

mod namespace;
mod request_id;

use shared::{Problem, Target, UserId, reply};
use wasm_bindgen::JsCast;
use web_sys::{Request, Response};
use worker::{Context, Env, Result, event};

use crate::namespace::Bindings;

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let is_health_check = Target::of(&request.url()).path == "/healthz";
    if is_health_check && matches!(&*request.method(), "GET" | "HEAD") {
        return Ok(health());
    }
    let (request, request_id) = request_id::ensure(request);
    let reply = if is_health_check {
        Err(Problem::method_not_allowed("GET, HEAD"))
    } else {
        dispatch(&request, env.unchecked_ref()).await
    };
    Ok(reply.unwrap_or_else(|problem| edge::problem_reply(&problem, Some(&request_id))))
}

/// Forwards the request to its customer's Worker.
async fn dispatch(request: &Request, bindings: &Bindings) -> Result<Response, Problem> {
    let user_id = user_id(request)?;
    let script = bindings.script_prefix().unwrap_or_default() + user_id.as_str();
    bindings.dispatcher().get(&script)?.fetch(request).await
}

/// Two `X-User-ID` headers reach this as one value with a comma in it, which no user id has.
fn user_id(request: &Request) -> Result<UserId, Problem> {
    let header = request.headers().get("X-User-ID").ok().flatten();
    Ok(UserId::parse(&header.ok_or_else(Problem::missing_user_id)?)?)
}

fn health() -> Response {
    let health = reply::Health { status: "ok", worker: Some("dispatcher"), version: env!("CARGO_PKG_VERSION") };
    edge::json_reply(&reply::to_json(&health).into())
}
