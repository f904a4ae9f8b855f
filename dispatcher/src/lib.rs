//! The dispatch Worker of the platform. A request's way through it:
//!
//! ```text
//! fetch -> RequestContext          the request, its id, path and method
//!       -> Cors                    which pages in browsers may call  500
//!       -> /healthz, /openapi.json answered here
//!       -> Cors::preflight         answered here
//!       -> X-User-ID               which customer it is for             400
//!       -> auth::check             who is asking: the token         401 403
//!       -> customer::find          the customer's record            403 404
//!       -> rate_limit::check       the plan's rate limit                429
//!       -> namespace::forward      the customer's own Worker        502 503
//!       -> cors::finish            adds Vary and CORS headers; the body is never read
//!       -> telemetry::record       a log line and a data point
//! ```

mod auth;
mod bindings;
mod caller;
mod cors;
mod customer;
mod json;
mod namespace;
mod rate_limit;
mod request;
mod telemetry;

use shared::customer::{Plan, UserId};
use shared::http::{DISPATCHER_ROUTES, DispatcherEndpoint, Health, Problem, Route};
use wasm_bindgen::handler;
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};
use worker::{Context, Env, event};

use crate::bindings::Bindings;
use crate::cors::Cors;
use crate::request::RequestContext;

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
    // A panic leaves the Wasm instance unusable: the next request gets a new one.
    handler::set_on_abort(handler::schedule_reinit);
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> worker::Result<Response> {
    let (request, bindings) = (RequestContext::new(request), Bindings::new(env));
    Ok(edge::run_to_completion(&ctx, respond(&request, &bindings, &ctx)).await)
}

/// The customer that a request is for, as far as it has been found out.
#[derive(Default)]
struct ResolvedCustomer {
    user_id: Option<UserId>,
    plan: Option<Plan>,
}

async fn respond(request: &RequestContext, bindings: &Bindings, ctx: &Context) -> Response {
    let mut customer = ResolvedCustomer::default();
    let (cors, reply) = match Cors::from_bindings(bindings) {
        Ok(cors) => {
            let reply = answer(request, bindings, cors.as_ref(), ctx, &mut customer).await;
            (cors, reply)
        }
        Err(problem) => (None, Err(problem)),
    };
    let reply = reply.and_then(|reply| cors::finish(cors.as_ref(), request, reply));
    let (reply, problem) = match reply {
        Ok(reply) => (reply, None),
        Err(problem) => {
            let reply = edge::problem_reply(&problem, request.id());
            let reply = cors::finish(cors.as_ref(), request, reply).expect("a reply of our own has a valid status");
            (reply, Some(problem))
        }
    };
    telemetry::record(bindings, request, &customer, &reply, problem.as_ref());
    reply
}

async fn answer(
    request: &RequestContext,
    bindings: &Bindings,
    cors: Option<&Cors>,
    ctx: &Context,
    customer: &mut ResolvedCustomer,
) -> Result<Response, Problem> {
    if let Some(route) = Route::find(DISPATCHER_ROUTES, request.path()) {
        return match route.endpoint(request.method())? {
            DispatcherEndpoint::Healthz => Ok(health(bindings)),
            DispatcherEndpoint::OpenApi => Ok(API_DESCRIPTION.with(edge::json_text_reply)),
        };
    }
    #[cfg(feature = "faults")]
    if let Some(fault) = request.path().strip_prefix("/dispatcher/faults/") {
        return edge::faults::run(fault).await;
    }
    if let Some(reply) = cors.and_then(|cors| cors.preflight(request)) {
        return Ok(reply);
    }
    let user_id = customer.user_id.insert(user_id(request.header("X-User-ID"))?);
    let caller = auth::check(bindings, request, user_id, ctx).await?;
    let active = customer::find(bindings, user_id).await?;
    let plan = customer.plan.insert(active.plan);
    rate_limit::check(bindings, user_id, plan).await?;

    let outbound = bindings.has_outbound().then_some((&*user_id, &*plan));
    let options = namespace::options(active.limits, outbound);
    namespace::forward(bindings, &active.script, options, &request.forwarded(caller)).await
}

/// Two `X-User-ID` headers arrive as one value with a comma in it, which no user id contains.
fn user_id(header: Option<String>) -> Result<UserId, Problem> {
    Ok(UserId::parse(header.ok_or_else(Problem::missing_user_id)?)?)
}

fn health(bindings: &Bindings) -> Response {
    edge::json_reply(&Health {
        status: "ok",
        worker: Some("dispatcher".to_owned()),
        version: env!("CARGO_PKG_VERSION"),
        deployment: bindings.deployment(),
    })
}

#[wasm_bindgen(raw_module = "./openapi.txt")]
extern "C" {
    /// `docs/openapi.json`, as a text module that `cargo xtask build` makes. It stays outside Wasm.
    #[wasm_bindgen(thread_local_v2, js_name = default)]
    static API_DESCRIPTION: JsValue;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_one_valid_header() {
        let code = |header: Option<&str>| user_id(header.map(str::to_owned)).map_err(|problem| problem.code().name());
        assert_eq!(code(Some("user1")).expect("valid").as_str(), "user1");
        assert_eq!(code(None).expect_err("none"), "missing_user_id");
        for header in ["", "user1, user2", "User1", "../user1"] {
            assert_eq!(code(Some(header)).expect_err(header), "invalid_user_id");
        }
    }
}
