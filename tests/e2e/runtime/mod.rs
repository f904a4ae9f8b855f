//! The runtime of the local platform: uploads that nobody notices, and customers' Workers that harm nobody else.
//!
//! Each test starts a platform of its own. The customers' Worker is fixtures/workbench.js, which is uploaded.

mod bodies;
mod browser;
mod builds;
mod churn;
mod descriptors;
mod doors;
mod misbehaving;
mod objects;
mod outbound;
mod probes;
mod starts;
mod stops;
mod uploads;
mod websocket_protocol;
mod websockets;

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::api::SCRIPTS;
use tests::{Customer, Dev, LocalApi, expect_success};
use tokio::time::{interval, timeout};

const SOURCE: &str = include_str!("../../fixtures/workbench.js");

/// A platform of a test's own.
struct Platform {
    dev: Dev,
    api: LocalApi,
    state: TempDir,
}

impl Platform {
    /// Starts a platform with customers that have the built customer Worker.
    async fn start(customers: &[&str]) -> Self {
        Self::start_with(customers, &[]).await
    }

    async fn start_with(customers: &[&str], arguments: &[&str]) -> Self {
        let state = TempDir::new().expect("a folder");
        let customers = customers.iter().flat_map(|id| ["--customer", *id]);
        let all: Vec<&str> = customers.chain(arguments.iter().copied()).collect();
        let dev = Dev::start(state.path(), &all).await;
        let api = dev.api();
        Self { dev, api, state }
    }

    fn customer(&self, id: &str) -> Customer {
        Customer::at(&self.dev.url, id)
    }

    fn state(&self) -> &Path {
        self.state.path()
    }

    /// Uploads the workbench as a customer's Worker, with the customer's KV namespace.
    async fn upload(&self, id: &str, version: &str) {
        let reply = self.upload_with(id, version, json!([])).await;
        assert_eq!(reply.status(), 200, "{:?}", reply.text().await);
    }

    async fn upload_with(&self, id: &str, version: &str, bindings: Value) -> reqwest::Response {
        let mut bindings = bindings.as_array().expect("a list").clone();
        bindings.push(json!({ "type": "inherit", "name": "USER_KV" }));
        bindings.push(json!({ "type": "version_metadata", "name": "VERSION" }));
        let metadata = json!({ "compatibility_date": "2026-11-17", "bindings": bindings });
        let source = SOURCE.replace("\"v1\"", &format!("{version:?}"));
        self.api.upload(id, &source, metadata).send().await.expect("a reply")
    }

    /// The text that a path is answered with.
    async fn text(&self, id: &str, path: &str) -> String {
        tests::Reply::to(self.customer(id).get(path)).await.text().to_owned()
    }

    /// Calls a customer's Worker 50 times a second while something happens. Returns how long the slowest reply took.
    async fn slowest_beside<T>(&self, id: &str, happens: impl Future<Output = T>) -> (T, Duration) {
        let customer = self.customer(id);
        let slowest = Cell::new(Duration::ZERO);
        let calls = async {
            let mut pace = interval(Duration::from_millis(20));
            loop {
                pace.tick().await;
                let started = Instant::now();
                timeout(Duration::from_secs(20), expect_success(customer.get("/"))).await.expect("a reply in time");
                slowest.set(slowest.get().max(started.elapsed()));
            }
        };
        let result = tokio::select! {
            () = calls => unreachable!("the calls do not end"),
            result = happens => result,
        };
        (result, slowest.get())
    }
}

/// The path of a script in the local API.
fn script(id: &str) -> String {
    format!("{SCRIPTS}/{id}")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
