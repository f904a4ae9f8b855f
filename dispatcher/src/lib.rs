//! The dispatch Worker of the platform. A request's way through it:
//!
//! ```text
//! fetch -> request_id              which request it is, for replies and logs
//!       -> /healthz?               answered here
//!       -> /openapi.json?          answered here
//!       -> finish::preflight?      answered here
//!       -> user_id                 whom it is for: X-User-ID              400
//!       -> auth::check             who is asking: the token           401 403
//!       -> customer::find          the customer's record              403 404
//!       -> rate_limit::check       the plan's rate                        429
//!       -> namespace::forward      the customer's own Worker
//!       -> finish::finish          its reply, with what it lacks; the body is never read here
//!       -> telemetry::record       what happened
//! ```

mod auth;
mod bindings;
mod customer;
mod finish;
mod forwarded;
mod json;
mod namespace;
mod rate_limit;
mod telemetry;

use edge::task::Holds;
use shared::{Plan, Problem, Target, UserId, reply};
use wasm_bindgen::handler;
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

use crate::bindings::{Bindings, Env};
use crate::forwarded::Identified;

/// Not workers-rs's `#[event(start)]`, which does the same: its streams and classes, of which nothing here has any use, would
/// be an eighth of what is uploaded.
#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
    // A panic leaves the instance useless: the next request gets a new one.
    handler::set_on_abort(handler::schedule_reinit);
}

/// Not an `#[event(fetch)]`, whose executor costs more than all that happens here: see [`edge::task`]. What follows the first two
/// arguments was made of them in `entry.js`: `request_id` is `CF-Ray` or else `X-Request-Id`, `started` the moment in milliseconds.
#[expect(clippy::too_many_arguments, reason = "each spares a call into JavaScript")]
#[wasm_bindgen]
#[must_use]
pub fn fetch(
    request: Request,
    env: Env,
    started: f64,
    method: String,
    url: String,
    request_id: Option<String>,
    user_id: Option<String>,
    is_from_worker: bool,
) -> JsValue {
    edge::task::run(Holds::Little, async move {
        let request = Identified::new(&request, request_id, is_from_worker);
        let asked = Asked { target: Target::of(&url), method: &method, request };
        Ok(reply(&asked, user_id, &Bindings::new(&env), started).await.into())
    })
}

async fn reply(asked: &Asked<'_>, user_id_header: Option<String>, bindings: &Bindings<'_>, started: f64) -> Response {
    let mut whom = Whom::default();

    let finish = |reply| finish::finish(bindings, &asked.request, reply);
    let answer = answer(asked, user_id_header, bindings, &mut whom).await.and_then(finish);
    let (reply, problem) = match answer {
        Ok(reply) => (reply, None),
        Err(problem) => {
            let reply = edge::problem_reply(&problem, asked.request.id());
            let Ok(reply) = finish(reply) else { unreachable!("a reply of our own can be copied") };
            (reply, Some(problem))
        }
    };
    telemetry::record(bindings, asked, &whom, &reply, problem.as_ref(), started);
    reply
}

/// A request, and what was read of it once.
struct Asked<'request> {
    target: Target<'request>,
    method: &'request str,
    request: Identified<'request>,
}

/// Whom the request turned out to be for, as far as it got.
#[derive(Default)]
struct Whom {
    user_id: Option<UserId>,
    plan: Option<Plan>,
}

async fn answer(
    asked: &Asked<'_>,
    user_id_header: Option<String>,
    bindings: &Bindings<'_>,
    whom: &mut Whom,
) -> Result<Response, Problem> {
    match asked.target.path {
        "/healthz" => return health(asked.method, bindings),
        "/openapi.json" => return document(asked.method),
        _ => {}
    }
    #[cfg(feature = "faults")]
    if let Some(fault) = asked.target.path.strip_prefix("/dispatcher/faults/") {
        return edge::faults::act(fault).await;
    }
    let request = &asked.request;
    if let Some(reply) = finish::preflight(bindings, request, asked.method) {
        return Ok(reply);
    }
    let user_id = whom.user_id.insert(user_id(user_id_header)?);
    let identity = auth::check(bindings, request, asked.method, user_id).await?;
    let customer = customer::find(bindings, user_id).await?;
    let plan = whom.plan.insert(customer.plan);
    rate_limit::check(bindings, user_id, plan).await?;

    let outbound = bindings.has_outbound().then_some((&*user_id, &*plan));
    namespace::forward(bindings, &customer.script, customer.limits, outbound, &request.forwarded(identity)).await
}

/// Two `X-User-ID` headers reach this as one value with a comma in it, which no user id has.
fn user_id(header: Option<String>) -> Result<UserId, Problem> {
    Ok(UserId::parse(header.ok_or_else(Problem::missing_user_id)?)?)
}

fn health(method: &str, bindings: &Bindings<'_>) -> Result<Response, Problem> {
    only_read(method)?;
    let health = reply::Health {
        status: "ok",
        worker: Some("dispatcher"),
        version: env!("CARGO_PKG_VERSION"),
        deployment: bindings.deployment(),
    };
    Ok(edge::json_reply(&health.to_json().into()))
}

/// `docs/openapi.json`, which stays outside Wasm.
fn document(method: &str) -> Result<Response, Problem> {
    only_read(method)?;
    Ok(DOCUMENT.with(edge::json_reply))
}

#[wasm_bindgen(raw_module = "./openapi.txt")]
extern "C" {
    /// A module of its own, of plain text: `cargo xtask build` makes it.
    #[wasm_bindgen(thread_local_v2, js_name = default)]
    static DOCUMENT: JsValue;
}

fn only_read(method: &str) -> Result<(), Problem> {
    if matches!(method, "GET" | "HEAD") { Ok(()) } else { Err(Problem::method_not_allowed("GET, HEAD")) }
}
