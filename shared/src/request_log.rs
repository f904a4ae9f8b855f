//! What is told of each request.

use crate::JsonObject;

/// One request, as the log has it: a line of JSON. It never holds what is the customer's own, a key, a file's name, a value,
/// nor a token.
#[derive(Debug)]
pub struct RequestLog<'a> {
    /// `info`, or `error` where it failed for a reason that is not the client's.
    pub level: &'static str,
    /// What ties it to the reply and to the customer Worker's own lines.
    pub request_id: &'a str,
    /// Whom the request was for, as it says itself: believed only where it was not refused.
    pub user_id: Option<&'a str>,
    /// The customer's plan, once it is known.
    pub plan: Option<&'a str>,
    /// The route, without its query; see [`crate::Target::route`].
    pub route: &'static str,
    /// The method.
    pub method: &'a str,
    /// The reply's status.
    pub status: u16,
    /// From the request to the reply's headers, in milliseconds.
    pub ms: u32,
    /// The length of the request's body, where it says so.
    pub bytes_in: Option<u64>,
    /// The length of the reply's body, where it says so.
    pub bytes_out: Option<u64>,
    /// The problem's code, where the dispatcher itself replied with one.
    pub code: Option<&'static str>,
    /// What the client was not told.
    pub cause: Option<&'a str>,
    /// The dispatcher's version.
    pub version: &'static str,
}

impl RequestLog<'_> {
    /// The line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut line = JsonObject::begin();
        line.text("level", self.level).text("requestId", self.request_id);
        line.optional_text("userId", self.user_id).optional_text("plan", self.plan);
        line.text("route", self.route).text("method", self.method);
        line.number("status", self.status.into()).number("ms", self.ms.into());
        line.optional_number("bytesIn", self.bytes_in).optional_number("bytesOut", self.bytes_out);
        line.optional_text("code", self.code).optional_text("cause", self.cause);
        line.text("version", self.version).end()
    }
}

/// What failed beside a request, which went on.
#[derive(Debug)]
pub struct FailureLog<'a> {
    /// `error`.
    pub level: &'static str,
    /// What failed, and how.
    pub cause: &'a str,
}

impl FailureLog<'_> {
    /// The line.
    #[must_use]
    pub fn to_json(&self) -> String {
        JsonObject::begin().text("level", self.level).text("cause", self.cause).end()
    }
}
