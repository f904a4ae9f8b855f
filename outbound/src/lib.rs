//! The outbound Worker of the platform: whatever a customer's Worker fetches comes here first, and goes on only to the hosts
//! that are allowed
//! (<https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/configuration/outbound-workers/>).
//!
//! ```text
//! fetch -> ALLOWED_HOSTS     may it go there?   403
//!       -> the internet      the body is never read here
//!       -> a line in the log
//! ```

use edge::task::{Holds, settled};
use js_sys::{Date, Promise};
use shared::{AllowedHosts, OutboundLog, Problem};
use wasm_bindgen::{JsCast, prelude::*};
use web_sys::{Request, RequestInit, RequestRedirect, Response, Url, console};
use worker::event;

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// Not an `#[event(fetch)]`: see [`edge::task`].
#[wasm_bindgen]
#[must_use]
pub fn fetch(request: Request, bindings: Bindings) -> JsValue {
    edge::task::run(Holds::Little, async move { Ok(reply(&request, &bindings).await.into()) })
}

async fn reply(request: &Request, bindings: &Bindings) -> Response {
    let started = Date::now();
    let request_id = edge::request_id(&request.headers()).unwrap_or_else(edge::new_request_id);
    // The runtime's own reading of the URL is what it connects to.
    let host = Url::new(&request.url()).map(|url| url.hostname()).unwrap_or_default();
    let reply = if AllowedHosts::new(&bindings.allowed_hosts().unwrap_or_default()).allow(&host) {
        pass_on(request).await
    } else {
        Err(Problem::host_not_allowed(&host))
    };
    let reply = reply.unwrap_or_else(|problem| edge::problem_reply(&problem, request_id.as_str()));
    let line = OutboundLog {
        level: "info",
        request_id: request_id.as_str(),
        user_id: bindings.user_id().as_deref(),
        plan: bindings.plan().as_deref(),
        method: &request.method(),
        host: &host,
        status: reply.status(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float becomes the nearest number"
        )]
        ms: (Date::now() - started) as u32,
    }
    .to_json();
    console::log_1(&line.into());
    reply
}

/// Sends a request on. A redirect goes back to the customer's Worker, whose next request comes here again: followed here, it
/// would lead anywhere.
async fn pass_on(request: &Request) -> Result<Response, Problem> {
    let init = RequestInit::new();
    init.set_redirect(RequestRedirect::Manual);
    let sent =
        Request::new_with_request_and_init(request, &init).expect("a request that has not been read can be copied");
    let reply =
        settled(fetch_url(&sent)).await.map_err(|thrown| Problem::host_unreachable(&edge::thrown_message(&thrown)))?;
    Ok(reply.unchecked_into())
}

#[wasm_bindgen]
extern "C" {
    /// The Worker's `env`.
    pub type Bindings;

    /// The hosts that may be reached.
    #[wasm_bindgen(method, getter, js_name = ALLOWED_HOSTS)]
    fn allowed_hosts(this: &Bindings) -> Option<String>;

    /// Whose Worker it is, as the dispatcher says.
    #[wasm_bindgen(method, getter, js_name = userId)]
    fn user_id(this: &Bindings) -> Option<String>;

    /// That customer's plan, as the dispatcher says.
    #[wasm_bindgen(method, getter)]
    fn plan(this: &Bindings) -> Option<String>;

    #[wasm_bindgen(catch, js_name = fetch)]
    fn fetch_url(request: &Request) -> Result<Promise, JsValue>;
}
