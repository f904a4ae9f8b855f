//! Calls customers' Workers in the dispatch namespace
//! (<https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/reference/how-workers-for-platforms-works/>).

use js_sys::Object;
use shared::customer::{Limits, Plan, UserId};
use shared::http::Problem;
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

use crate::bindings::Bindings;

/// Forwards a request to a script. Returns the reply when its headers have arrived; its body is streamed.
pub async fn forward(
    bindings: &Bindings,
    script: &str,
    options: Object,
    request: &Request,
) -> Result<Response, Problem> {
    let namespace = bindings.dispatcher()?;
    let reply = async {
        let worker = namespace.get(script, &Object::new(), &options)?;
        edge::await_promise(worker.fetch(request)).await
    };
    reply.await.map(JsCast::unchecked_into).map_err(|thrown| problem(edge::error_message(&thrown)))
}

/// Creates the options of the namespace's `get`: the limits of one request, which Cloudflare enforces, and the
/// parameters of the outbound Worker, if there is one
/// (<https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/configuration/custom-limits/>).
pub fn options(limits: Limits, outbound: Option<(&UserId, &Plan)>) -> Object {
    let options = Object::new();
    if limits != Limits::default() {
        let members = [("cpuMs", limits.cpu_ms), ("subRequests", limits.sub_requests)];
        let members = members.map(|(name, limit)| limit.map(|limit| (name, limit.get().into())));
        edge::set(&options, "limits", &edge::object(&members.into_iter().flatten().collect::<Vec<_>>()));
    }
    if let Some((user_id, plan)) = outbound {
        let parameters = [("userId", user_id.as_str().into()), ("plan", plan.as_str().into())];
        edge::set(&options, "outbound", &edge::object(&parameters));
    }
    options
}

/// Converts an error of the customer's Worker to a problem: the script does not exist, exceeded a limit, or threw an
/// exception. Only the error's message distinguishes these cases.
fn problem(mut message: String) -> Problem {
    const LIMITS: [&str; 3] =
        ["Worker exceeded CPU time limit", "Worker exceeded memory limit", "Too many subrequests"];
    /// In bytes. A customer's Worker may throw errors of any length, and Cloudflare truncates long log lines.
    const MAX_CAUSE_LEN: usize = 1000;

    message.truncate(message.floor_char_boundary(MAX_CAUSE_LEN));
    if message.starts_with("Worker not found") {
        Problem::unknown_user()
    } else if LIMITS.iter().any(|limit| message.starts_with(limit)) {
        Problem::customer_worker_limit(message)
    } else {
        Problem::customer_worker_failed(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_converted_by_their_message() {
        for (message, code) in [
            ("Worker not found.", "unknown_user"),
            ("Worker exceeded CPU time limit.", "customer_worker_limit"),
            ("Worker exceeded memory limit.", "customer_worker_limit"),
            ("Too many subrequests.", "customer_worker_limit"),
            ("boom: Worker not found", "customer_worker_failed"),
            ("", "customer_worker_failed"),
        ] {
            assert_eq!(problem(message.to_owned()).code().name(), code, "{message}");
        }
    }

    #[test]
    fn long_messages_are_truncated_at_a_character_boundary() {
        let cause = |message: &str| problem(message.to_owned()).cause().expect("a cause").to_owned();
        assert_eq!(cause(&"é".repeat(2000)), "é".repeat(500));
        assert_eq!(cause(&format!("x{}", "é".repeat(2000))).len(), 999);
    }
}
