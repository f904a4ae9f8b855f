//! The dispatch namespace
//! (<https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/reference/how-workers-for-platforms-works/>).
//!
//! `worker::DynamicDispatcher` is not used: it looks at the binding's name rather than at what it can do, and passes
//! neither arguments nor options to `get`.

use edge::task::settled;
use edge::{object, set};
use js_sys::{Object, Promise};
use shared::{Limits, Plan, Problem, UserId};
use wasm_bindgen::{JsCast, prelude::*};
use web_sys::{Request, Response};

use crate::bindings::{Bindings, Env};

/// Forwards a request to the script of this name; the reply comes as soon as its headers are there.
///
/// What the request may cost is enforced by Cloudflare; `outbound` is what the outbound Worker, if there is one, finds in its
/// `env`.
pub async fn forward(
    bindings: &Bindings,
    script: &str,
    limits: Limits,
    outbound: Option<(&UserId, &Plan)>,
    request: &Request,
) -> Result<Response, Problem> {
    if !bindings.has_dispatcher() {
        return Err(Problem::internal_error("DISPATCHER is not bound".to_owned()));
    }
    let options = options(limits, outbound);
    let response = settled(call(bindings.env(), script, options.as_ref(), request)).await;
    response.map(JsCast::unchecked_into).map_err(|thrown| problem(&thrown))
}

fn options(limits: Limits, outbound: Option<(&UserId, &Plan)>) -> Option<Object> {
    if limits == Limits::default() && outbound.is_none() {
        return None;
    }
    let options = Object::new();
    if limits != Limits::default() {
        let members = [("cpuMs", limits.cpu_ms), ("subRequests", limits.sub_requests)];
        let limits = Object::new();
        for (name, limit) in members {
            if let Some(limit) = limit {
                set(&limits, name, &limit.get().into());
            }
        }
        set(&options, "limits", &limits);
    }
    if let Some((user_id, plan)) = outbound {
        let parameters = object(&[("userId", user_id.as_str().into()), ("plan", plan.as_str().into())]);
        set(&options, "outbound", &parameters);
    }
    Some(options)
}

#[wasm_bindgen(module = "/src/namespace.js")]
extern "C" {
    /// That the namespace answers does not mean that there is such a script: an unknown name may show at the call only.
    #[wasm_bindgen(catch, js_name = forward)]
    fn call(env: &Env, script: &str, options: Option<&Object>, request: &Request) -> Result<Promise, JsValue>;
}

/// Tells a customer that does not exist, and one whose Worker was stopped at a limit, from one whose Worker threw. The
/// runtime has nothing but texts for them.
fn problem(thrown: &JsValue) -> Problem {
    const LIMITS: [&str; 3] =
        ["Worker exceeded CPU time limit", "Worker exceeded memory limit", "Too many subrequests"];
    /// A customer's Worker may throw texts of any size, and a log line that is too long is cut off.
    const MAX_CAUSE_LEN: usize = 1000;

    let mut message = edge::thrown_message(thrown);
    message.truncate(message.floor_char_boundary(MAX_CAUSE_LEN));
    if message.starts_with("Worker not found") {
        Problem::unknown_user()
    } else if LIMITS.iter().any(|limit| message.starts_with(limit)) {
        Problem::customer_worker_limit(message)
    } else {
        Problem::customer_worker_failed(message)
    }
}
