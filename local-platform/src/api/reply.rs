//! The format of the API's replies: <https://developers.cloudflare.com/fundamentals/api/how-to/make-api-calls/>.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Cloudflare's error code for most errors in a script.
pub const INVALID: u64 = 10021;

/// A successful reply.
#[derive(Debug)]
pub struct Success {
    result: Value,
    info: Option<Value>,
    messages: Vec<String>,
}

impl Success {
    /// Creates a reply with a result.
    pub fn new(result: Value) -> Self {
        Self { result, info: None, messages: Vec::new() }
    }

    /// Creates a reply with a whole list.
    pub fn list(list: impl IntoIterator<Item = Value>) -> Self {
        let list: Vec<Value> = list.into_iter().collect();
        let count = list.len();
        let info = json!({ "page": 1, "per_page": count.max(1), "count": count, "total_count": count });
        Self { info: Some(info), ..Self::new(list.into()) }
    }

    /// Creates a reply with one page of a list.
    pub fn page(list: Vec<Value>, page: Page) -> Self {
        let total = list.len();
        let start = page.page.saturating_sub(1).saturating_mul(page.per_page);
        let list: Vec<Value> = list.into_iter().skip(start).take(page.per_page).collect();
        let info = json!({ "page": page.page, "per_page": page.per_page, "count": list.len(), "total_count": total });
        Self { info: Some(info), ..Self::new(list.into()) }
    }

    /// Sets the information about a list.
    pub fn with_info(self, info: Value) -> Self {
        Self { info: Some(info), ..self }
    }

    /// Sets messages for the client.
    pub fn with_messages(self, messages: Vec<String>) -> Self {
        Self { messages, ..self }
    }
}

/// The page of a list that a client asks for.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The page's number. The first page is 1.
    pub page: usize,
    /// The number of entries on a page.
    pub per_page: usize,
}

impl Page {
    /// Reads the page from a query. A page has at most 1000 entries.
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

/// The parameters of a query.
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

/// A reply with an error.
#[derive(Debug, thiserror::Error)]
#[error("{message} [code: {code}]")]
pub struct Refusal {
    status: StatusCode,
    code: u64,
    message: String,
}

impl Refusal {
    /// Creates an error with Cloudflare's code.
    pub fn new(status: StatusCode, code: u64, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// Creates an error for an invalid request.
    pub fn bad(code: u64, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Creates an error for something that does not exist.
    pub fn not_found(code: u64, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }
}

/// Reports an internal error, which is not the client's fault.
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

/// Parses a JSON body. The media type is ignored, because clients leave it out.
pub fn json_body<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(10026, format!("the body is not the JSON expected: {error}")))
}
