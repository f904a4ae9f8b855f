//! What the API's replies look like: <https://developers.cloudflare.com/fundamentals/api/how-to/make-api-calls/>.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Cloudflare's number for most of what is wrong with a script.
pub const INVALID: u64 = 10021;

/// What was asked for.
#[derive(Debug)]
pub struct Success {
    result: Value,
    info: Option<Value>,
    messages: Vec<String>,
}

impl Success {
    /// A result.
    pub fn new(result: Value) -> Self {
        Self { result, info: None, messages: Vec::new() }
    }

    /// A whole list.
    pub fn list(list: impl IntoIterator<Item = Value>) -> Self {
        let list: Vec<Value> = list.into_iter().collect();
        let count = list.len();
        let info = json!({ "page": 1, "per_page": count.max(1), "count": count, "total_count": count });
        Self { info: Some(info), ..Self::new(list.into()) }
    }

    /// A page of a list.
    pub fn page(list: Vec<Value>, page: Page) -> Self {
        let total = list.len();
        let start = page.page.saturating_sub(1).saturating_mul(page.per_page);
        let list: Vec<Value> = list.into_iter().skip(start).take(page.per_page).collect();
        let info = json!({ "page": page.page, "per_page": page.per_page, "count": list.len(), "total_count": total });
        Self { info: Some(info), ..Self::new(list.into()) }
    }

    /// With what a list says of itself.
    pub fn with_info(self, info: Value) -> Self {
        Self { info: Some(info), ..self }
    }

    /// With what the client should know besides.
    pub fn with_messages(self, messages: Vec<String>) -> Self {
        Self { messages, ..self }
    }
}

/// Which page of a list, as clients ask for it.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The number of the page, the first is 1.
    pub page: usize,
    /// How many there are on a page.
    pub per_page: usize,
}

impl Page {
    /// The page that a query asks for; at most 1000 on one.
    pub fn of(query: &Query) -> Result<Self, Refusal> {
        let number = |name: &str, default| match query.get(name) {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(Refusal::bad(10001, format!("{name} must be a number from 1"))),
            },
        };
        Ok(Self { page: number("page", 1)?, per_page: number("per_page", 20)?.min(1000) })
    }
}

/// The query's parameters.
pub type Query = std::collections::HashMap<String, String>;

impl IntoResponse for Success {
    fn into_response(self) -> Response {
        let messages: Vec<Value> =
            self.messages.into_iter().map(|text| json!({ "code": 0, "message": text })).collect();
        let mut envelope = json!({ "success": true, "errors": [], "messages": messages, "result": self.result });
        if let Some(info) = self.info {
            envelope["result_info"] = info;
        }
        Json(envelope).into_response()
    }
}

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
#[error("{message} [code: {code}]")]
pub struct Refusal {
    status: StatusCode,
    code: u64,
    message: String,
}

impl Refusal {
    /// A refusal with Cloudflare's number for it.
    pub fn new(status: StatusCode, code: u64, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// What was sent cannot be taken.
    pub fn bad(code: u64, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// What was named is not there.
    pub fn not_found(code: u64, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }
}

/// What fails here, and not by the client's doing.
impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, 10013, format!("the local Cloudflare API failed: {error:#}"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let errors = [json!({ "code": self.code, "message": self.message })];
        let envelope = json!({ "success": false, "errors": errors, "messages": [], "result": null });
        (self.status, Json(envelope)).into_response()
    }
}

/// A body that is JSON, whatever type it says it is of: clients leave that out.
pub fn json_body<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(10026, format!("the body is not the JSON expected: {error}")))
}
