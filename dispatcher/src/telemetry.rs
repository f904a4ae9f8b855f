//! Writes a log line for each request, and a data point if a dataset is bound. docs/operations.md has queries for them.

use js_sys::Date;
use serde::Serialize;
use shared::customer::{Plan, UserId};
use shared::http::{Problem, route_name};
use shared::json::to_text;
use web_sys::{Response, console};
use worker::AnalyticsEngineDataPointBuilder;

use crate::bindings::Bindings;
use crate::customer::ResolvedCustomer;
use crate::request::RequestContext;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A request's log line. Unknown values are omitted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogLine<'a> {
    level: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a str>,
    route: &'static str,
    method: &'a str,
    status: u16,
    /// The time from the request's arrival to the reply's headers, in milliseconds. Deployed, the clock advances only
    /// while a Worker waits for I/O, so this does not include CPU time
    /// (<https://developers.cloudflare.com/workers/runtime-apis/performance/>).
    ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    version: &'static str,
}

/// Records a request and its reply: writes the log line and the data point. Neither ever contains customers' data
/// (keys, file names, values) or tokens.
pub fn record(
    bindings: &Bindings,
    request: &RequestContext,
    customer: &ResolvedCustomer,
    reply: &Response,
    problem: Option<&Problem>,
) {
    let method = request.method();
    let sends_body = !matches!(method, "GET" | "HEAD");
    let cause = problem.and_then(Problem::cause);
    let line = LogLine {
        level: if cause.is_some() { "error" } else { "info" },
        request_id: request.id(),
        user_id: customer.user_id.as_ref().map(UserId::as_str),
        plan: customer.plan.as_ref().map(Plan::as_str),
        route: route_name(request.path()),
        method,
        status: reply.status(),
        ms: milliseconds_since(request.started()),
        // This is what the client declared. If the request was refused, the body may not have been received.
        bytes_in: if sends_body {
            request.header("Content-Length").and_then(|length| length.parse().ok())
        } else {
            None
        },
        bytes_out: if has_body(method, reply.status()) {
            parse_length(reply.headers().get("Content-Length").ok().flatten().as_deref())
        } else {
            None
        },
        code: problem.map(|problem| problem.code().name()),
        cause,
        version: VERSION,
    };
    write(&line);
    write_data_point(bindings, &line);
}

fn write(line: &LogLine<'_>) {
    let json = to_text(line).into();
    if line.cause.is_some() { console::error_1(&json) } else { console::log_1(&json) }
}

/// Writes the data point. In SQL, the values are the columns `blob1`, `blob2`, ... and `double1`, `double2`, ..., in
/// this order. Unknown values are empty or 0.
fn write_data_point(bindings: &Bindings, line: &LogLine<'_>) {
    let Some(dataset) = bindings.analytics() else { return };
    let [bytes_in, bytes_out] = [line.bytes_in, line.bytes_out].map(|bytes| edge::number(bytes.unwrap_or_default()));
    let blobs = [line.route, line.method, line.code.unwrap_or_default(), line.plan.unwrap_or_default(), VERSION];
    let written = AnalyticsEngineDataPointBuilder::new()
        .indexes([line.user_id.unwrap_or_default()].as_slice())
        .blobs(blobs)
        .doubles([edge::number(line.ms), line.status.into(), bytes_in, bytes_out])
        .write_to(&dataset);
    if let Err(error) = written {
        edge::log_error(&format!("ANALYTICS failed: {}", edge::error_message(&error.into())));
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and small")]
fn milliseconds_since(started: f64) -> u64 {
    (Date::now() - started).max(0.0) as u64
}

/// Returns whether a reply has a body. If it has none, its `Content-Length` is not the number of bytes sent.
fn has_body(method: &str, status: u16) -> bool {
    method != "HEAD" && !matches!(status, 101 | 204 | 304)
}

/// Parses `Content-Length`. Returns `None` unless it is a plain decimal number below 2^53.
fn parse_length(header: Option<&str>) -> Option<u64> {
    let length = header?.parse().ok()?;
    let is_plain = header == Some(&*u64::to_string(&length));
    (is_plain && length < 1 << 53).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_length_is_a_plain_decimal_number() {
        assert_eq!(parse_length(Some("0")), Some(0));
        assert_eq!(parse_length(Some("9007199254740991")), Some(9_007_199_254_740_991));
        for header in
            [None, Some(""), Some("+1"), Some("01"), Some("1e3"), Some("0x10"), Some("1, 1"), Some("9007199254740992")]
        {
            assert_eq!(parse_length(header), None, "{header:?}");
        }
    }

    #[test]
    fn replies_to_head_and_some_statuses_have_no_body() {
        assert!(has_body("GET", 200) && has_body("POST", 404));
        for (method, status) in [("HEAD", 200), ("GET", 304), ("DELETE", 204), ("GET", 101)] {
            assert!(!has_body(method, status), "{method} {status}");
        }
    }

    #[test]
    fn unknown_values_are_omitted_from_the_log_line() {
        let line = LogLine {
            level: "info",
            request_id: "id",
            user_id: None,
            plan: None,
            route: "/",
            method: "GET",
            status: 400,
            ms: 0,
            bytes_in: None,
            bytes_out: None,
            code: Some("missing_user_id"),
            cause: None,
            version: "0.1.0",
        };
        let expected = r#"{"level":"info","requestId":"id","route":"/","method":"GET","status":400,"ms":0,"code":"missing_user_id","version":"0.1.0"}"#;
        assert_eq!(to_text(&line), expected);
    }
}
