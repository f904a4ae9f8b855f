//! Panics in a Worker, and their effect on its requests in flight, on the next request, and on other customers.
//!
//! The Workers are those of `cargo xtask build --faults`, which have routes that fail on purpose. Each test starts a
//! platform of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use http::StatusCode;
use nix::sys::signal::Signal;
use reqwest::{Body, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{Customer, Dev, Reply, expect_json, expect_problem, expect_success, noise};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How many requests are in flight while another one panics.
const IN_FLIGHT: usize = 100;

fn builds() -> PathBuf {
    tests::repository().join("target/workers-with-faults")
}

async fn start(state: &TempDir) -> Dev {
    let builds = builds();
    Dev::start(state.path(), &["--builds", builds.to_str().expect("text"), "--customer", "one", "--customer", "other"])
        .await
}

/// Requests that each store a value, and whose bodies are incomplete until `finish`.
struct UnfinishedWrites {
    finish: watch::Sender<bool>,
    statuses: Vec<JoinHandle<StatusCode>>,
}

impl UnfinishedWrites {
    fn start(user: &Customer) -> Self {
        let (finish, finished) = watch::channel(false);
        let send = |number: usize| {
            let mut finished = finished.clone();
            let rest = stream::once(async move {
                finished.wait_for(|finished| *finished).await.expect("the test runs");
                Ok(Bytes::from("1}"))
            });
            let first = stream::iter([Ok::<_, std::io::Error>(format!(r#"{{"key":"{number}","value":"#).into())]);
            let request = user.post_json("/data", Body::wrap_stream(first.chain(rest)));
            tokio::spawn(async move { request.send().await.expect("a reply").status() })
        };
        let statuses = (0..IN_FLIGHT).map(send).collect();
        Self { finish, statuses }
    }

    /// Completes the bodies, and returns the statuses of the replies.
    async fn finish(self) -> Vec<StatusCode> {
        self.finish.send_replace(true);
        join_all(self.statuses).await.into_iter().map(|status| status.expect("no panic")).collect()
    }
}

/// Waits until a Worker reports, at `path`, that at least `IN_FLIGHT` handlers are in progress.
async fn wait_for_in_flight(user: &Customer, path: &str) {
    let started = Instant::now();
    loop {
        let waiting = expect_success(user.get(path)).await.json();
        if waiting.as_u64().expect("a number") >= IN_FLIGHT as u64 {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{waiting} are in progress");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Returns how many requests failed.
fn failures(statuses: &[StatusCode]) -> usize {
    statuses.iter().filter(|status| !status.is_success()).count()
}

/// Returns how many values a customer has stored.
async fn stored_values(user: &Customer) -> usize {
    expect_success(user.get("/data?limit=1000")).await.json()["keys"].as_array().expect("keys").len()
}

/// Returns the counts of a customer's operations.
async fn operation_counts(user: &Customer) -> Value {
    expect_success(user.get("/stats")).await.json()["activity"]["byOperation"].clone()
}

#[tokio::test]
async fn a_customer_worker_panic_affects_only_its_customer() {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let (one, other) = (Customer::at(&dev.url, "one"), Customer::at(&dev.url, "other"));

    let panics: [fn(&Customer) -> RequestBuilder; 4] = [
        |user| user.get("/faults/panic"),
        |user| user.get("/faults/panic-later"),
        |user| user.post("/faults/panic-reading").body(vec![0; 1_000_000]),
        |user| user.post("/faults/panic").body("unread"),
    ];
    for round in 0..3 {
        for panics in panics {
            expect_problem(panics(&one), 502, "customer_worker_failed").await;
            // The next request is another customer's or the same customer's.
            for user in if round == 1 { [&other, &one] } else { [&one, &other] } {
                expect_success(user.get("/")).await;
            }
        }
    }
    // Several panics without a request in between.
    for panics in panics {
        expect_problem(panics(&one), 502, "customer_worker_failed").await;
    }

    // A file that is being sent needs no Wasm, and is sent to its end.
    let file = noise(30_000_000, 7);
    expect_success(one.put("/files?key=large").body(file.clone())).await;
    let download = one.get("/files?key=large").send().await.expect("a reply");
    expect_problem(one.get("/faults/panic"), 502, "customer_worker_failed").await;
    expect_success(one.get("/")).await;
    assert!(download.bytes().await.expect("the whole file") == file);

    // In one round, another request is sent before those in flight continue, in the other afterwards.
    let mut failed = Vec::new();
    for next_comes_first in [false, true] {
        let (writes, others) = (UnfinishedWrites::start(&one), UnfinishedWrites::start(&other));
        wait_for_in_flight(&one, "/faults/waiting").await;
        wait_for_in_flight(&other, "/faults/waiting").await;
        expect_problem(one.get("/faults/panic"), 502, "customer_worker_failed").await;
        if next_comes_first {
            expect_success(one.get("/")).await;
        }
        let statuses = writes.finish().await;
        assert!(statuses.iter().all(|status| [200, 502].contains(&status.as_u16())), "{statuses:?}");
        assert_eq!(failures(&others.finish().await), 0, "requests of another customer failed");
        // Every success was stored, and nothing else.
        assert_eq!(stored_values(&one).await, IN_FLIGHT - failures(&statuses));
        failed.push(failures(&statuses));
    }
    eprintln!("a customer Worker panics: of {IN_FLIGHT} requests in flight in it, lost {failed:?}; in another's, 0");

    // Both customer Workers count operations. The one that panicked has lost the counts that it had not written yet.
    assert_eq!(stored_values(&other).await, IN_FLIGHT);
    let counted = operation_counts(&other).await;
    assert_eq!(counted["setData"], 2 * IN_FLIGHT, "{counted}");
    for _ in 0..2 {
        let before = operation_counts(&one).await["setData"].as_u64().unwrap_or_default();
        expect_success(one.post_json("/data", r#"{"key":"after","value":1}"#)).await;
        assert_eq!(operation_counts(&one).await["setData"], before + 1);
    }
    assert!(dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn a_dispatcher_panic_loses_only_requests_in_flight() {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let (one, other) = (Customer::at(&dev.url, "one"), Customer::at(&dev.url, "other"));

    for panics in ["/dispatcher/faults/panic", "/dispatcher/faults/panic-later"].repeat(3) {
        // The runtime replies with a 500, which the local platform turns into a problem.
        expect_problem(one.get(panics), 500, "internal_error").await;
        for user in [&one, &other] {
            expect_success(user.get("/")).await;
        }
    }

    let mut failed = Vec::new();
    for next_comes_first in [false, true] {
        let writes = UnfinishedWrites::start(&one);
        wait_for_in_flight(&one, "/dispatcher/faults/waiting").await;
        wait_for_in_flight(&one, "/faults/waiting").await;
        assert_eq!(Reply::to(other.get("/dispatcher/faults/panic")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
        if next_comes_first {
            expect_success(one.get("/")).await;
        }
        let statuses = writes.finish().await;
        assert!(statuses.iter().all(|status| [200, 500].contains(&status.as_u16())), "{statuses:?}");
        failed.push(failures(&statuses));
        // The customer Worker is not affected and has stored every value.
        assert_eq!(stored_values(&one).await, IN_FLIGHT);
    }
    eprintln!("the dispatcher panics: of {IN_FLIGHT} requests in flight in it, lost {failed:?}");
    assert_eq!(operation_counts(&one).await["setData"], 2 * IN_FLIGHT);
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// After a panic has ended a request, its promises still settle. They must not resume a future in the next instance,
/// which may serve another customer.
#[tokio::test]
async fn requests_ended_by_a_panic_do_not_resume_in_the_next_instance() {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let (one, other) = (Customer::at(&dev.url, "one"), Customer::at(&dev.url, "other"));

    let ended = UnfinishedWrites::start(&one);
    wait_for_in_flight(&one, "/dispatcher/faults/waiting").await;
    expect_problem(other.get("/dispatcher/faults/panic"), 500, "internal_error").await;
    let others = UnfinishedWrites::start(&other);
    wait_for_in_flight(&other, "/dispatcher/faults/waiting").await;

    let statuses = ended.finish().await;
    assert!(statuses.iter().all(|status| *status == StatusCode::INTERNAL_SERVER_ERROR), "{statuses:?}");
    let waiting = expect_success(other.get("/dispatcher/faults/waiting")).await.json();
    assert!(waiting.as_u64().expect("a number") >= IN_FLIGHT as u64, "{waiting} wait");
    assert_eq!(others.statuses.iter().filter(|status| status.is_finished()).count(), 0);
    assert_eq!(failures(&others.finish().await), 0);
    assert_eq!((stored_values(&one).await, stored_values(&other).await), (IN_FLIGHT, IN_FLIGHT));
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// Promises, timers and the SDK's asynchronous methods work concurrently.
#[tokio::test]
async fn every_kind_of_future_works_in_a_handler() {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let user = Customer::at(&dev.url, "one");
    for path in ["/faults/futures", "/dispatcher/faults/futures"] {
        expect_json(user.get(path), json!([1.0, 2.0, 3.0])).await;
    }
    let results = json!({"kv": "value of 1", "r2": "content, then (4, 4, 1)", "d1": "Some(42) in 1 row"});
    expect_json(user.get("/faults/sdk"), results).await;
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// The panic message of the fault routes.
const PANIC_MESSAGE: &[u8] = b"a fault for tests";

/// The builds that are deployed have neither the routes nor their code.
#[tokio::test]
async fn deployed_workers_have_no_fault_routes() {
    let user = Customer::new("user1");
    for path in ["/faults/panic", "/faults/waiting", "/dispatcher/faults/panic", "/dispatcher/faults/waiting"] {
        expect_problem(user.get(path), 404, "not_found").await;
    }
    let has_faults = |folder: &Path| {
        let files = ["index.js", "index_bg.wasm"].map(|file| fs::read(folder.join(file)).expect("a build"));
        files.iter().any(|content| content.windows(PANIC_MESSAGE.len()).any(|bytes| bytes == PANIC_MESSAGE))
    };
    for worker in ["dispatcher", "customer-worker"] {
        assert!(!has_faults(&tests::repository().join(worker).join("build")), "{worker}");
        // The control: the builds with faults contain the message.
        assert!(has_faults(&builds().join(worker)), "{worker}");
    }
}
