//! What happened: a line in the log, and a data point where a dataset is bound, for each request. docs/operations.md says
//! what can be asked of them.

use edge::{name, object};
use js_sys::{Array, JsString, Object};
use shared::{JsonObject, Plan, Problem, UserId};
use wasm_bindgen::prelude::*;
use web_sys::console;

use crate::bindings::Bindings;
use crate::finish::Finished;
use crate::{Asked, Whom};

/// One request, as log and dataset have it. It never holds what is the customer's own, a key, a file's name, a value, nor a
/// token.
struct Line<'a> {
    /// What ties it to the reply and to the customer Worker's own lines.
    request_id: &'a str,
    /// Whom the request was for, as it says itself: believed only where it was not refused.
    user_id: Option<&'a str>,
    /// The customer's plan, once it is known.
    plan: Option<&'a str>,
    /// The route, without its query.
    route: &'static str,
    method: &'a str,
    /// The reply's.
    status: u16,
    /// The length of the request's body, where it says so.
    bytes_in: Option<f64>,
    /// The length of the reply's body, where it says so.
    bytes_out: Option<f64>,
    /// The problem's code, where the dispatcher itself replied with one.
    code: Option<&'static str>,
    /// What the client was not told.
    cause: Option<&'a str>,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Records a request, which came at `started`, and its reply.
pub fn record(
    bindings: &Bindings<'_>,
    asked: &Asked<'_>,
    whom: &Whom,
    finished: &Finished,
    problem: Option<&Problem>,
    started: f64,
) {
    let comes_with_body = !matches!(asked.method, "GET" | "HEAD");
    let status = finished.status;
    let goes_with_body = asked.method != "HEAD" && !matches!(status, 101 | 204 | 304);
    let line = Line {
        request_id: asked.request.id(),
        user_id: whom.user_id.as_ref().map(UserId::as_str),
        plan: whom.plan.as_ref().map(Plan::as_str),
        route: asked.target.route(),
        method: asked.method,
        status,
        bytes_in: comes_with_body.then(|| asked.request.content_length()).flatten().map(edge::number),
        bytes_out: finished.content_length.filter(|_| goes_with_body).map(edge::number),
        code: problem.map(|problem| problem.code().name()),
        cause: problem.and_then(Problem::cause),
    };
    let ms = line.log(started);
    if let Some(dataset) = bindings.analytics()
        && let Err(thrown) = dataset.write_data_point(&line.data_point(ms))
    {
        log_failure(&format!("ANALYTICS failed: {}", edge::thrown_message(&thrown)));
    }
}

/// Logs what failed beside a request, which goes on.
pub fn log_failure(cause: &str) {
    console::error_1(&JsonObject::begin().text("level", "error").text("cause", cause).end().into());
}

impl Line<'_> {
    /// Writes it to the log; answers how long the request took from `started` to the reply's headers, in milliseconds. Deployed, the
    /// clock stands still while a Worker computes: what is measured is what it waits for
    /// (<https://developers.cloudflare.com/workers/runtime-apis/performance/>).
    fn log(&self, started: f64) -> u32 {
        log(
            self.request_id,
            self.user_id,
            self.plan,
            name::of(self.route),
            self.method,
            self.status,
            started,
            self.bytes_in,
            self.bytes_out,
            self.code,
            self.cause,
            name::of(VERSION),
        )
    }

    /// The columns, in the order in which SQL names them: `index1`; `blob1` and so on; `double1` and so on. What is not known is
    /// empty or 0.
    fn data_point(&self, ms: u32) -> Object {
        let text = |text: Option<&str>| JsValue::from(text.unwrap_or_default());
        let number = |number: Option<f64>| JsValue::from(number.unwrap_or_default());
        let blobs: Array =
            [Some(self.route), Some(self.method), self.code, self.plan, Some(VERSION)].map(text).into_iter().collect();
        let doubles: Array =
            [ms.into(), self.status.into(), number(self.bytes_in), number(self.bytes_out)].into_iter().collect();
        let index = Array::of1(&text(self.user_id));
        object(&[("indexes", index.into()), ("blobs", blobs.into()), ("doubles", doubles.into())])
    }
}

#[wasm_bindgen(module = "/src/telemetry.js")]
extern "C" {
    /// Here, because a line that is JSON already is more to hand over than its parts.
    fn log(
        request_id: &str,
        user_id: Option<&str>,
        plan: Option<&str>,
        route: &JsString,
        method: &str,
        status: u16,
        started: f64,
        bytes_in: Option<f64>,
        bytes_out: Option<f64>,
        code: Option<&str>,
        cause: Option<&str>,
        version: &JsString,
    ) -> u32;
}
