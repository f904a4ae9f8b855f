//! Log lines. Each is one line of JSON, for the operator only.

use serde::Serialize;
use shared::http::Problem;
use shared::json::to_text;
use web_sys::console;

/// The log line of an error.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorLine<'a> {
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    cause: &'a str,
}

/// Logs the cause of a problem. Does nothing if the problem has no cause, because it is then the client's fault.
pub fn log_problem(problem: &Problem, request_id: &str) {
    if let Some(cause) = problem.cause() {
        let (status, code) = (Some(problem.status()), Some(problem.code().name()));
        write(&ErrorLine { level: "error", request_id: Some(request_id), status, code, cause });
    }
}

/// Logs an error that does not make the request fail.
pub fn log_error(cause: &str) {
    write(&ErrorLine { level: "error", request_id: None, status: None, code: None, cause });
}

fn write(line: &ErrorLine<'_>) {
    console::error_1(&to_text(line).into());
}
