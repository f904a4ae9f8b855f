//! How a writer sends requests, and which failures it accepts.

use std::time::Duration;

use http::StatusCode;
use reqwest::RequestBuilder;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::writer::{ExpectedFailures, Writer};
use crate::{Customer, Reply, escaped};

/// How long a reply may make no progress before the platform counts as stuck.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);

impl Writer {
    /// Sends a write, and counts whether it was acknowledged. Returns `None` if it failed in an expected way.
    pub(super) async fn write(&mut self, request: RequestBuilder) -> Option<Reply> {
        let reply = self.send(request).await;
        match &reply {
            Some(reply) => {
                assert_eq!(reply.status, StatusCode::OK, "{reply}");
                self.tally.acknowledged += 1;
            }
            None => self.tally.in_doubt += 1,
        }
        reply
    }

    /// Sends a read, and counts it if it succeeded. Returns `None` if it failed in an expected way.
    pub(super) async fn read(&mut self, request: RequestBuilder) -> Option<Reply> {
        let reply = self.send(request).await;
        self.tally.reads += u64::from(reply.is_some());
        reply
    }

    /// Sends a request again until it does not fail.
    pub(super) async fn retry(&mut self, request: impl Fn(&Customer) -> RequestBuilder) -> Reply {
        for _ in 0..200 {
            if let Some(reply) = self.read(request(&self.user)).await {
                return reply;
            }
            assert!(self.expected_failures != ExpectedFailures::None);
        }
        panic!("nothing but failures: {}", self.tally);
    }

    /// Returns the entries of a list, from all of its pages.
    pub(super) async fn list(&mut self, path: &str, member: &str) -> Vec<Value> {
        let (mut entries, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.retry(|user| user.get(&format!("{path}{cursor}"))).await.json();
            entries.extend(page[member].as_array().expect("a list").iter().cloned());
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", escaped(next)),
                None => return entries,
            }
        }
    }

    /// Sends a request. Returns `None` if it failed in an expected way, and panics if it failed in another.
    pub(super) async fn send(&mut self, request: RequestBuilder) -> Option<Reply> {
        let reply = match send_with_stall_timeout(request).await {
            Ok(reply) => reply,
            Err(error) => {
                assert!(self.expected_failures == ExpectedFailures::Crashes, "{error:?}");
                self.tally.lost += 1;
                // Avoids a busy loop until the runtime listens again.
                sleep(Duration::from_millis(50)).await;
                return None;
            }
        };
        let is_failure = reply.status.is_server_error() || reply.status == StatusCode::TOO_MANY_REQUESTS;
        if !is_failure {
            return Some(reply);
        }
        assert_eq!(reply.header("Content-Type"), "application/problem+json", "{reply}");
        let code = reply.json()["code"].as_str().expect("a code").to_owned();
        let expected: &[&str] = match self.expected_failures {
            ExpectedFailures::None => &[],
            ExpectedFailures::Storage => &["storage_unavailable"],
            ExpectedFailures::Crashes => &["storage_unavailable", "runtime_unavailable", "customer_worker_failed"],
        };
        assert!(expected.contains(&&*code), "expected failures {:?}: {reply}", self.expected_failures);
        *self.tally.problems.entry(code).or_default() += 1;
        None
    }
}

/// Sends a request and reads the reply. Panics if it makes no progress for `STALL_TIMEOUT`.
async fn send_with_stall_timeout(request: RequestBuilder) -> reqwest::Result<Reply> {
    let description = format!("{request:?}");
    let no_reply = || panic!("no reply for a minute: {description}");
    let mut response = timeout(STALL_TIMEOUT, request.send()).await.unwrap_or_else(|_| no_reply())?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    let stalled = |length| panic!("body stalled for a minute: {description}: {status}, {headers:?}, {length} bytes");
    while let Some(chunk) = timeout(STALL_TIMEOUT, response.chunk()).await.unwrap_or_else(|_| stalled(body.len()))? {
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, headers, body })
}
