//! What happened: a line in the log, and a data point where a dataset is bound, for each request. docs/operations.md says
//! what can be asked of them.

use edge::{header, object};
use js_sys::{Array, Date};
use shared::{FailureLog, Plan, Problem, RequestLog, UserId};
use wasm_bindgen::JsValue;
use web_sys::{Response, console};

use crate::bindings::Bindings;
use crate::{Asked, Whom};

/// Measures how long a request takes. Deployed, the clock stands still while a Worker computes: what is measured is what it
/// waits for (<https://developers.cloudflare.com/workers/runtime-apis/performance/>).
pub struct Stopwatch(f64);

impl Stopwatch {
    pub fn start() -> Self {
        Self(Date::now())
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float becomes the nearest number")]
    fn milliseconds(&self) -> u32 {
        (Date::now() - self.0) as u32
    }
}

/// Records a request and its reply.
pub fn record(
    bindings: &Bindings,
    asked: &Asked<'_>,
    whom: &Whom,
    reply: &Response,
    problem: Option<&Problem>,
    stopwatch: &Stopwatch,
) {
    let comes_with_body = !matches!(asked.method, "GET" | "HEAD");
    let status = reply.status();
    let goes_with_body = asked.method != "HEAD" && !matches!(status, 101 | 204 | 304);
    let line = RequestLog {
        level: if problem.is_some_and(|problem| problem.cause().is_some()) { "error" } else { "info" },
        request_id: asked.request.id(),
        user_id: whom.user_id.as_ref().map(UserId::as_str),
        plan: whom.plan.as_ref().map(Plan::as_str),
        route: asked.target.route(),
        method: asked.method,
        status,
        ms: stopwatch.milliseconds(),
        bytes_in: comes_with_body.then(|| length(asked.request.header("Content-Length"))).flatten(),
        bytes_out: goes_with_body.then(|| length(header::get(&reply.headers(), "Content-Length"))).flatten(),
        code: problem.map(|problem| problem.code().name()),
        cause: problem.and_then(Problem::cause),
        version: env!("CARGO_PKG_VERSION"),
    };
    let text = JsValue::from(line.to_json());
    if line.cause.is_some() {
        console::error_1(&text);
    } else {
        console::log_1(&text);
    }
    if let Some(dataset) = bindings.analytics()
        && let Err(thrown) = dataset.write_data_point(&data_point(&line))
    {
        log_failure(&format!("ANALYTICS failed: {}", edge::thrown_message(&thrown)));
    }
}

/// Logs what failed beside a request, which goes on.
pub fn log_failure(cause: &str) {
    console::error_1(&FailureLog { level: "error", cause }.to_json().into());
}

fn length(header: Option<String>) -> Option<u64> {
    header?.parse().ok()
}

/// The columns, in the order in which SQL names them: `index1`; `blob1` and so on; `double1` and so on. What is not known is
/// empty or 0.
fn data_point(line: &RequestLog<'_>) -> js_sys::Object {
    let text = |text: Option<&str>| JsValue::from(text.unwrap_or_default());
    #[expect(clippy::cast_precision_loss, reason = "the dataset has no other numbers")]
    let number = |number: Option<u64>| JsValue::from(number.unwrap_or_default() as f64);
    let blobs: Array =
        [Some(line.route), Some(line.method), line.code, line.plan, Some(line.version)].map(text).into_iter().collect();
    let doubles: Array =
        [line.ms.into(), line.status.into(), number(line.bytes_in), number(line.bytes_out)].into_iter().collect();
    let index = Array::of1(&text(line.user_id));
    object(&[("indexes", index.into()), ("blobs", blobs.into()), ("doubles", doubles.into())])
}
