//! The outbound Worker of the platform: whatever a customer's Worker fetches comes here first, and continues only to hosts
//! that are allowed
//! (<https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/configuration/outbound-workers/>).
//!
//! ```text
//! fetch -> ALLOWED_HOSTS     is the host allowed?       403
//!       -> the internet      the body is never read     502
//!       -> a log line
//! ```

use js_sys::Date;
use shared::customer::{AllowedHosts, OutboundLog};
use shared::http::Problem;
use wasm_bindgen::{JsCast, handler};
use web_sys::{Request, RequestInit, RequestRedirect, Response, Url, console};
use worker::{Context, Env, event};

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
    // A panic leaves the Wasm instance unusable: the next request gets a new one.
    handler::set_on_abort(handler::schedule_reinit);
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> worker::Result<Response> {
    Ok(edge::run_to_completion(&ctx, respond(&request, &env)).await)
}

async fn respond(request: &Request, env: &Env) -> Response {
    let started = Date::now();
    let request_id = edge::request_id(&request.headers()).unwrap_or_else(edge::new_request_id);
    // The host as the runtime reads it, because the runtime connects to it.
    let host = Url::new(&request.url()).map(|url| url.hostname()).unwrap_or_default();
    let variable = |name| edge::variable(&edge::property(env, name));
    let allowed_hosts = variable("ALLOWED_HOSTS").unwrap_or_default();
    let reply = if AllowedHosts::new(&allowed_hosts).allows(&host) {
        pass_on(request).await
    } else {
        Err(Problem::host_not_allowed(&host))
    };
    let reply = reply.unwrap_or_else(|problem| edge::problem_reply(&problem, request_id.as_str()));
    // The dispatcher's parameters: whose Worker it is, and that customer's plan.
    let [user_id, plan] = ["userId", "plan"].map(variable);
    let line = OutboundLog {
        level: "info",
        request_id: request_id.as_str(),
        user_id: user_id.as_deref(),
        plan: plan.as_deref(),
        method: &request.method(),
        host: &host,
        status: reply.status(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is not negative, and small")]
        ms: (Date::now() - started).max(0.0) as u32,
    };
    console::log_1(&line.to_json().into());
    reply
}

/// Sends a request on. A redirect goes back to the customer's Worker, whose next request comes here again: followed here, it
/// could lead to any host.
async fn pass_on(request: &Request) -> Result<Response, Problem> {
    let init = RequestInit::new();
    init.set_redirect(RequestRedirect::Manual);
    let reply = edge::await_promise(Ok(edge::global().fetch_with_request_and_init(request, &init))).await;
    reply.map(JsCast::unchecked_into).map_err(|thrown| Problem::host_unreachable(&edge::error_message(&thrown)))
}
