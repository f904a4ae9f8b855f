//! The outbound Worker. It receives every request that a customer's Worker sends with `fetch`, forwards it if its host
//! is in the variable `ALLOWED_HOSTS`, and refuses it otherwise
//! (<https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/configuration/outbound-workers/>).
//!
//! ```text
//! fetch -> ALLOWED_HOSTS   refuses hosts that are not in the list        403
//!       -> forward         sends the request; its body is never read     502
//!       -> console.log     one line of JSON for each request
//! ```
//!
//! # Example
//!
//! With `ALLOWED_HOSTS = "api.example.com"`, a customer's Worker sees this:
//!
//! ```js
//! await fetch("https://api.example.com/items"); // the reply of api.example.com
//! await fetch("https://example.org/");          // a 403 with a problem:
//! // {"type":"about:blank","title":"Forbidden","status":403,
//! //  "detail":"…","code":"host_not_allowed","requestId":"9e4d0e1f2a3b4c5d-AMS"}
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
    // After a panic, the Wasm instance is unusable. This makes the next request create a new one.
    handler::set_on_abort(handler::schedule_reinit);
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> worker::Result<Response> {
    Ok(edge::run_to_completion(&ctx, respond(&request, &env)).await)
}

async fn respond(request: &Request, env: &Env) -> Response {
    let started = Date::now();
    let request_id = edge::request_id(&request.headers()).unwrap_or_else(edge::new_request_id);
    // The runtime parses the URL, so that the host that is checked is the one that the runtime connects to.
    let host = Url::new(&request.url()).map(|url| url.hostname()).unwrap_or_default();
    let variable = |name| edge::variable(&edge::property(env, name));
    let allowed_hosts = variable("ALLOWED_HOSTS").unwrap_or_default();
    let reply = if AllowedHosts::new(&allowed_hosts).allows(&host) {
        forward(request).await
    } else {
        Err(Problem::host_not_allowed(&host))
    };
    let reply = reply.unwrap_or_else(|problem| edge::problem_reply(&problem, request_id.as_str()));
    // The dispatcher passes these parameters: the customer's user id and plan.
    let [user_id, plan] = ["userId", "plan"].map(variable);
    let line = OutboundLog {
        level: "info",
        request_id: request_id.as_str(),
        user_id: user_id.as_deref(),
        plan: plan.as_deref(),
        method: &request.method(),
        host: &host,
        status: reply.status(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and small")]
        ms: (Date::now() - started).max(0.0) as u32,
    };
    console::log_1(&line.to_json().into());
    reply
}

/// Forwards a request to its host. Redirects are returned to the customer's Worker, not followed: they could lead to
/// hosts that are not allowed. When the customer's Worker follows one, that request is checked like any other.
async fn forward(request: &Request) -> Result<Response, Problem> {
    let init = RequestInit::new();
    init.set_redirect(RequestRedirect::Manual);
    let reply = edge::await_promise(Ok(edge::global().fetch_with_request_and_init(request, &init))).await;
    reply.map(JsCast::unchecked_into).map_err(|thrown| Problem::host_unreachable(&edge::error_message(&thrown)))
}
