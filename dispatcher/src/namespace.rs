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

#[wasm_bindgen(module = "/src/namespace.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = forward)]
    fn forward_to(env: &Env, script: &str, request: &Request, options: &JsValue) -> Result<Promise, JsValue>;
}

/// Forwards a request to a script; the reply comes as soon as its headers are there.
///
/// What one request may cost is enforced by Cloudflare; `outbound` is what the outbound Worker, if there is one, finds in its
/// `env`.
pub async fn forward(
    bindings: &Bindings<'_>,
    script: &str,
    limits: Limits,
    outbound: Option<(&UserId, &Plan)>,
    request: &Request,
) -> Result<Response, Problem> {
    let options = options(limits, outbound).map_or(JsValue::UNDEFINED, JsValue::from);
    match settled(forward_to(bindings.env, script, request, &options)).await {
        Ok(response) => Ok(response.unchecked_into()),
        Err(_) if !bindings.has_dispatcher() => Err(Problem::internal_error("DISPATCHER is not bound".to_owned())),
        Err(thrown) => Err(problem(&thrown)),
    }
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
