//! What happened: a line in the log, and a data point where a dataset is bound, for each request. docs/operations.md says
//! what can be asked of them.

use edge::name;
use js_sys::JsString;
use shared::{JsonObject, Plan, Problem, UserId};
use wasm_bindgen::prelude::*;
use web_sys::{Response, console};

use crate::bindings::{AnalyticsDataset, Bindings};
use crate::{Asked, Whom};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Records a request, which came at `started`, and its reply. What is recorded never holds what is the customer's own, a key, a
/// file's name, a value, nor a token.
///
/// Deployed, the clock stands still while a Worker computes: what is measured is what it waits for
/// (<https://developers.cloudflare.com/workers/runtime-apis/performance/>).
pub fn record(
    bindings: &Bindings<'_>,
    asked: &Asked<'_>,
    whom: &Whom,
    reply: &Response,
    problem: Option<&Problem>,
    started: f64,
) {
    let comes_with_body = !matches!(asked.method, "GET" | "HEAD");
    let recorded = js::record(
        bindings.analytics().as_ref(),
        reply,
        asked.request.id(),
        // As the request says itself: believed only where it was not refused.
        whom.user_id.as_ref().map(UserId::as_str),
        whom.plan.as_ref().map(Plan::as_str),
        name::of(asked.target.route()),
        asked.method,
        started,
        comes_with_body.then(|| asked.request.content_length()).flatten().map(edge::number),
        problem.map(|problem| problem.code().name()),
        problem.and_then(Problem::cause),
        name::of(VERSION),
    );
    if let Err(thrown) = recorded {
        log_failure(&format!("ANALYTICS failed: {}", edge::thrown_message(&thrown)));
    }
}

/// Logs what failed beside a request, which goes on.
pub fn log_failure(cause: &str) {
    console::error_1(&JsonObject::begin().text("level", "error").text("cause", cause).end().into());
}

mod js {
    use super::{AnalyticsDataset, JsString, Response, wasm_bindgen};
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen(module = "/src/telemetry.js")]
    extern "C" {
        /// Here, because a line that is JSON already is more to hand over than its parts.
        #[wasm_bindgen(catch)]
        pub fn record(
            dataset: Option<&AnalyticsDataset>,
            reply: &Response,
            request_id: &str,
            user_id: Option<&str>,
            plan: Option<&str>,
            route: &JsString,
            method: &str,
            started: f64,
            bytes_in: Option<f64>,
            code: Option<&str>,
            cause: Option<&str>,
            version: &JsString,
        ) -> Result<(), JsValue>;
    }
}
