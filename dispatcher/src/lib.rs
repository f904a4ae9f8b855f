//! The dispatcher. It receives every request to the platform, authenticates it, and forwards it to the Worker of
//! the customer that the header `X-User-ID` names. It never reads a body.
//!
//! ```text
//! fetch -> RequestContext             reads the request, and gives it an id
//!       -> Cors                       reads the CORS variables              500
//!       -> /healthz, /openapi.json    replied to here
//!       -> Cors::preflight            replied to here
//!       -> Credentials                reads the user id and the token       400 403
//!       -> auth::check                verifies the token                    401 403 503
//!       -> customer::find             reads the customer's record           403 404 503
//!       -> rate_limit::check          applies the plan's rate limit         429
//!       -> namespace::forward         calls the customer's Worker           404 502 503
//!       -> websocket::choose_protocol replies to the client's offer         400
//!       -> cors::finish               adds `Vary` and the CORS headers
//!       -> telemetry::record          writes a log line and a data point
//! ```
//!
//! # Example
//!
//! The client receives the reply of the customer's Worker:
//!
//! ```text
//! $ curl http://127.0.0.1:8787/ -H "X-User-ID: user1"
//! {"status":"ok","worker":"user1","version":"0.1.0"}
//! ```
//!
//! A request that is refused gets a problem (RFC 9457):
//!
//! ```text
//! $ curl http://127.0.0.1:8787/
//! {"type":"about:blank","title":"Bad Request","status":400,"detail":"…","code":"missing_user_id","requestId":"…"}
//! ```

mod auth;
mod bindings;
mod caller;
mod cors;
mod credentials;
mod customer;
mod json;
mod namespace;
mod rate_limit;
mod request;
mod telemetry;
mod websocket;

use shared::customer::UserId;
use shared::http::{DISPATCHER_ROUTES, DispatcherEndpoint, Health, Problem, Route};
use wasm_bindgen::handler;
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};
use worker::{Context, Env, event};

use crate::bindings::Bindings;
use crate::cors::Cors;
use crate::credentials::Credentials;
use crate::customer::ResolvedCustomer;
use crate::request::RequestContext;

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
    // After a panic, the Wasm instance is unusable. This makes the next request create a new one.
    handler::set_on_abort(handler::schedule_reinit);
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> worker::Result<Response> {
    let (request, bindings) = (RequestContext::new(request), Bindings::new(env));
    Ok(edge::run_to_completion(&ctx, respond(&request, &bindings, &ctx)).await)
}

async fn respond(request: &RequestContext, bindings: &Bindings, ctx: &Context) -> Response {
    let mut customer = ResolvedCustomer::default();
    let (cors, reply) = match Cors::from_bindings(bindings) {
        Ok(cors) => {
            let reply = handle(request, bindings, cors.as_ref(), ctx, &mut customer).await;
            (cors, reply)
        }
        Err(problem) => (None, Err(problem)),
    };
    let reply = reply.and_then(|reply| cors::finish(cors.as_ref(), request, reply));
    let (reply, problem) = match reply {
        Ok(reply) => (reply, None),
        Err(problem) => {
            let reply = edge::problem_reply(&problem, request.id());
            let reply = cors::finish(cors.as_ref(), request, reply).expect("a problem has a valid status");
            (reply, Some(problem))
        }
    };
    telemetry::record(bindings, request, &customer, &reply, problem.as_ref());
    reply
}

/// Handles a request: checks it, and forwards it to its customer's Worker.
async fn handle(
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
    let Credentials { user_id: claimed, offered_token, offer } = Credentials::read(bindings, request, cors)?;
    let user_id = customer.user_id.insert(user_id(claimed)?);
    let caller = auth::check(bindings, request, offered_token.as_deref(), user_id, ctx).await?;
    let active = customer::find(bindings, user_id).await?;
    let plan = customer.plan.insert(active.plan);
    rate_limit::check(bindings, user_id, plan).await?;

    let outbound = bindings.has_outbound().then_some((&*user_id, &*plan));
    let options = namespace::options(active.limits, outbound);
    let forwarded = request.forwarded(caller, offer.as_ref());
    let reply = namespace::forward(bindings, &active.script, options, &forwarded).await?;
    websocket::choose_protocol(offer.as_ref(), reply)
}

/// Parses the user id. Two headers `X-User-ID` arrive as one value with a comma, which is not a valid user id.
fn user_id(claimed: Option<String>) -> Result<UserId, Problem> {
    Ok(UserId::parse(claimed.ok_or_else(Problem::missing_user_id)?)?)
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
    /// `docs/openapi.json`, which `cargo xtask build` bundles as a text module. The text stays outside Wasm.
    #[wasm_bindgen(thread_local_v2, js_name = default)]
    static API_DESCRIPTION: JsValue;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_user_id_must_be_one_valid_user_id() {
        let code = |header: Option<&str>| user_id(header.map(str::to_owned)).map_err(|problem| problem.code().name());
        assert_eq!(code(Some("user1")).expect("valid").as_str(), "user1");
        assert_eq!(code(None).expect_err("no header"), "missing_user_id");
        for header in ["", "user1, user2", "User1", "../user1"] {
            assert_eq!(code(Some(header)).expect_err(header), "invalid_user_id");
        }
    }
}
