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

#[wasm_bindgen]
extern "C" {
    /// A dispatch namespace, Cloudflare's or the local platform's.
    pub type DispatchNamespace;

    #[wasm_bindgen(method, catch, js_name = get)]
    fn get_worker(
        this: &DispatchNamespace,
        name: &str,
        args: &Object,
        options: &Object,
    ) -> Result<CustomerWorker, JsValue>;

    /// A Worker in the namespace.
    pub type CustomerWorker;

    #[wasm_bindgen(method, catch, js_name = fetch)]
    fn fetch_response(this: &CustomerWorker, request: &Request) -> Result<Promise, JsValue>;
}

impl DispatchNamespace {
    /// Finds a script by its name. That it answers does not mean that there is one: an unknown name may show at the
    /// first call only.
    ///
    /// What one request may cost is enforced by Cloudflare; `outbound` is what the outbound Worker, if there is one, finds
    /// in its `env`.
    pub fn get(
        &self,
        script: &str,
        limits: Limits,
        outbound: Option<(&UserId, &Plan)>,
    ) -> Result<CustomerWorker, Problem> {
        thread_local! {
            static NOTHING: Object = Object::new();
        }
        if limits == Limits::default() && outbound.is_none() {
            let worker = NOTHING.with(|nothing| self.get_worker(script, nothing, nothing));
            return worker.map_err(|thrown| problem(&thrown));
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
        self.get_worker(script, &Object::new(), &options).map_err(|thrown| problem(&thrown))
    }
}

impl CustomerWorker {
    /// Forwards a request; the reply comes as soon as its headers are there.
    pub async fn fetch(&self, request: &Request) -> Result<Response, Problem> {
        let response = settled(self.fetch_response(request)).await.map_err(|thrown| problem(&thrown))?;
        Ok(response.unchecked_into())
    }
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
