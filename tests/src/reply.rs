//! Replies, and the checks that hold for all of them.

use std::fmt::Write;

use http::{HeaderMap, StatusCode};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

/// A reply with its whole body.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Sends a request and reads the whole reply.
    pub async fn to(request: RequestBuilder) -> Self {
        Self::read(request.send().await.expect("a reply")).await
    }

    /// Reads the whole body of a response.
    pub async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.expect("the whole body").to_vec() }
    }

    /// Returns a header, which must be present exactly once.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().unwrap_or_else(|| panic!("no header {name} in {self}"));
        assert!(values.next().is_none(), "more than one {name} in {self}");
        value.to_str().expect("visible ASCII")
    }

    /// Parses the body, which must be JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// Returns the body, which must be UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// Formats the reply as on the wire, with its headers sorted and without `Date`, so that it can be a snapshot.
impl std::fmt::Display for Reply {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut headers: Vec<String> = self
            .headers
            .iter()
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        headers.sort();
        writeln!(formatter, "{}\n{}\n", self.status, headers.join("\n"))?;
        match std::str::from_utf8(&self.body) {
            Ok(text) if text.len() < 4096 => formatter.write_str(text),
            _ => write!(formatter, "({} bytes)", self.body.len()),
        }?;
        formatter.write_char('\n')
    }
}

/// Sends a request, expects a 200 with a JSON body, and checks what holds for every JSON reply.
pub async fn expect_success(request: RequestBuilder) -> Reply {
    let reply = Reply::to(request).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply}");
    assert_eq!(reply.header("Content-Type"), "application/json", "{reply}");
    expect_uncacheable(&reply);
    reply
}

/// Sends a request, and expects a 200 with this JSON body.
pub async fn expect_json(request: RequestBuilder, body: Value) {
    let reply = expect_success(request).await;
    assert_eq!(reply.json(), body, "{reply}");
}

/// Sends a request, expects a problem with this status and code, and checks what holds for every problem.
pub async fn expect_problem(request: RequestBuilder, status: u16, code: &str) -> Reply {
    let reply = Reply::to(request).await;
    assert_eq!(reply.status, status, "{reply}");
    assert_eq!(reply.header("Content-Type"), "application/problem+json", "{reply}");
    expect_uncacheable(&reply);
    let problem = reply.json();
    assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{reply}");
    let title = if status == 413 { Some("Content Too Large") } else { reply.status.canonical_reason() };
    assert_eq!(problem["title"].as_str(), title, "{reply}");
    for member in ["type", "detail", "requestId"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {reply}");
    }
    assert_eq!(problem.as_object().expect("an object").len(), 6, "{reply}");
    for internal in ["USER_KV", "USER_R2", "USER_DB", "DISPATCHER", "customer-", "wasm", ".rs:", "panicked"] {
        assert!(!reply.text().contains(internal), "the problem reveals {internal}: {reply}");
    }
    reply
}

fn expect_uncacheable(reply: &Reply) {
    assert_eq!(reply.header("Cache-Control"), "no-store", "{reply}");
    assert_eq!(reply.header("Vary"), "X-User-ID, Authorization", "{reply}");
}
