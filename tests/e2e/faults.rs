//! A Worker that panics, and what that does to others: to requests that it has in flight, to the next one, to other customers.
//!
//! The Workers are those of `cargo xtask build --faults`, with routes that fail on purpose, in platforms of these tests' own.

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

/// How many requests wait while another one panics.
const IN_FLIGHT: usize = 100;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent folder")
}

fn builds() -> PathBuf {
    repository().join("target/workers-with-faults")
}

async fn start(state: &TempDir) -> Dev {
    let builds = builds();
    Dev::start(state.path(), &["--builds", builds.to_str().expect("text"), "--customer", "one", "--customer", "other"])
        .await
}

/// Requests to store a value each, whose bodies do not end before they are told to.
struct Held {
    end: watch::Sender<bool>,
    replies: Vec<JoinHandle<StatusCode>>,
}

impl Held {
    fn begin(user: &Customer) -> Self {
        let (end, ended) = watch::channel(false);
        let send = |number: usize| {
            let mut ended = ended.clone();
            let rest = stream::once(async move {
                ended.wait_for(|ended| *ended).await.expect("it is told");
                Ok(Bytes::from("1}"))
            });
            let first = stream::iter([Ok::<_, std::io::Error>(format!(r#"{{"key":"{number}","value":"#).into())]);
            let request = user.post_json("/data", Body::wrap_stream(first.chain(rest)));
            tokio::spawn(async move { request.send().await.expect("a reply").status() })
        };
        let replies = (0..IN_FLIGHT).map(send).collect();
        Self { end, replies }
    }

    /// Lets them end, and answers what became of them.
    async fn end(self) -> Vec<StatusCode> {
        self.end.send_replace(true);
        join_all(self.replies).await.into_iter().map(|reply| reply.expect("no panic")).collect()
    }
}

/// Waits until a Worker says, at this path, that so many handlers are in progress.
async fn until_waiting(user: &Customer, path: &str) {
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

fn lost(replies: &[StatusCode]) -> usize {
    replies.iter().filter(|status| !status.is_success()).count()
}

async fn stored(user: &Customer) -> usize {
    expect_success(user.get("/data?limit=1000")).await.json()["keys"].as_array().expect("keys").len()
}

async fn activity(user: &Customer) -> Value {
    expect_success(user.get("/stats")).await.json()["activity"]["byOperation"].clone()
}

#[tokio::test]
async fn a_customer_worker_that_panics_is_its_customers_problem_alone() {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let (one, other) = (Customer::of(&dev.url, "one"), Customer::of(&dev.url, "other"));

    let panics: [fn(&Customer) -> RequestBuilder; 4] = [
        |user| user.get("/faults/panic"),
        |user| user.get("/faults/panic-later"),
        |user| user.post("/faults/panic-reading").body(vec![0; 1_000_000]),
        |user| user.post("/faults/panic").body("unread"),
    ];
    for round in 0..3 {
        for panics in panics {
            expect_problem(panics(&one), 502, "customer_worker_failed").await;
            // Once the next one is another's, once it is its own.
            for user in if round == 1 { [&other, &one] } else { [&one, &other] } {
                expect_success(user.get("/")).await;
            }
        }
    }
    // One after the other, with nothing in between.
    for panics in panics {
        expect_problem(panics(&one), 502, "customer_worker_failed").await;
    }

    // A file on its way out needs no Wasm any more, and goes on.
    let file = noise(30_000_000, 7);
    expect_success(one.put("/files?key=large").body(file.clone())).await;
    let download = one.get("/files?key=large").send().await.expect("a reply");
    expect_problem(one.get("/faults/panic"), 502, "customer_worker_failed").await;
    expect_success(one.get("/")).await;
    assert!(download.bytes().await.expect("the whole file") == file);

    // Whether the next request comes before those in flight go on, or not.
    let mut figures = Vec::new();
    for next_comes_first in [false, true] {
        let (held, others) = (Held::begin(&one), Held::begin(&other));
        until_waiting(&one, "/faults/waiting").await;
        until_waiting(&other, "/faults/waiting").await;
        expect_problem(one.get("/faults/panic"), 502, "customer_worker_failed").await;
        if next_comes_first {
            expect_success(one.get("/")).await;
        }
        let replies = held.end().await;
        assert!(replies.iter().all(|status| [200, 502].contains(&status.as_u16())), "{replies:?}");
        assert_eq!(lost(&others.end().await), 0, "another customer's");
        // Who was told of success has succeeded.
        assert_eq!(stored(&one).await, IN_FLIGHT - lost(&replies));
        figures.push(lost(&replies));
    }
    eprintln!("a customer Worker panics: of {IN_FLIGHT} requests in flight in it, lost {figures:?}; in another's, 0");

    // Both count what they do; the one has forgotten what it had not written when it panicked.
    assert_eq!(stored(&other).await, IN_FLIGHT);
    let counted = activity(&other).await;
    assert_eq!(counted["setData"], 2 * IN_FLIGHT, "{counted}");
    for _ in 0..2 {
        let before = activity(&one).await["setData"].as_u64().unwrap_or_default();
        expect_success(one.post_json("/data", r#"{"key":"after","value":1}"#)).await;
        assert_eq!(activity(&one).await["setData"], before + 1);
    }
    assert!(dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn a_dispatcher_that_panics_loses_what_it_has_in_flight_and_nothing_after_that() {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let (one, other) = (Customer::of(&dev.url, "one"), Customer::of(&dev.url, "other"));

    for panics in ["/dispatcher/faults/panic", "/dispatcher/faults/panic-later"].repeat(3) {
        // The runtime's own 500, of which the local platform makes a problem: there is nobody left in the dispatcher.
        expect_problem(one.get(panics), 500, "internal_error").await;
        for user in [&one, &other] {
            expect_success(user.get("/")).await;
        }
    }

    let mut figures = Vec::new();
    for next_comes_first in [false, true] {
        let held = Held::begin(&one);
        until_waiting(&one, "/dispatcher/faults/waiting").await;
        until_waiting(&one, "/faults/waiting").await;
        assert_eq!(Reply::to(other.get("/dispatcher/faults/panic")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
        if next_comes_first {
            expect_success(one.get("/")).await;
        }
        let replies = held.end().await;
        assert!(replies.iter().all(|status| [200, 500].contains(&status.as_u16())), "{replies:?}");
        figures.push(lost(&replies));
        // The customer Worker knows nothing of it: it has done what it was asked.
        assert_eq!(stored(&one).await, IN_FLIGHT);
    }
    eprintln!("the dispatcher panics: of {IN_FLIGHT} requests in flight in it, lost {figures:?}");
    assert_eq!(activity(&one).await["setData"], 2 * IN_FLIGHT);
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// A promise of a request that a panic ended settles later. It must not resume a future of the next instance, which may be
/// another customer's request.
#[tokio::test]
async fn requests_that_a_panic_ended_do_not_go_on_as_anothers() {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let (one, other) = (Customer::of(&dev.url, "one"), Customer::of(&dev.url, "other"));

    let ended = Held::begin(&one);
    until_waiting(&one, "/dispatcher/faults/waiting").await;
    expect_problem(other.get("/dispatcher/faults/panic"), 500, "internal_error").await;
    let others = Held::begin(&other);
    until_waiting(&other, "/dispatcher/faults/waiting").await;

    let replies = ended.end().await;
    assert!(replies.iter().all(|status| *status == StatusCode::INTERNAL_SERVER_ERROR), "{replies:?}");
    let waiting = expect_success(other.get("/dispatcher/faults/waiting")).await.json();
    assert!(waiting.as_u64().expect("a number") >= IN_FLIGHT as u64, "{waiting} wait");
    assert_eq!(others.replies.iter().filter(|reply| reply.is_finished()).count(), 0);
    assert_eq!(lost(&others.end().await), 0);
    assert_eq!((stored(&one).await, stored(&other).await), (IN_FLIGHT, IN_FLIGHT));
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// Promises, timers, and the SDK's asynchronous methods, side by side.
#[tokio::test]
async fn every_kind_of_future_works_in_a_handler() {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let user = Customer::of(&dev.url, "one");
    for path in ["/faults/futures", "/dispatcher/faults/futures"] {
        expect_json(user.get(path), json!([1.0, 2.0, 3.0])).await;
    }
    let results = json!({"kv": "value of 1", "r2": "content, then (4, 4, 1)", "d1": "Some(42) in 1 row"});
    expect_json(user.get("/faults/sdk"), results).await;
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// What such a route's panic says.
const SIGN: &[u8] = b"a fault for tests";

/// What is deployed has no such routes, and nothing of them.
#[tokio::test]
async fn nobody_can_make_the_deployed_workers_panic() {
    let user = Customer::new("user1");
    for path in ["/faults/panic", "/faults/waiting", "/dispatcher/faults/panic", "/dispatcher/faults/waiting"] {
        expect_problem(user.get(path), 404, "not_found").await;
    }
    let holds = |folder: &Path| {
        let files = ["index.js", "index_bg.wasm"].map(|file| fs::read(folder.join(file)).expect("a build"));
        files.iter().any(|content| content.windows(SIGN.len()).any(|bytes| bytes == SIGN))
    };
    for worker in ["dispatcher", "customer-worker"] {
        assert!(!holds(&repository().join(worker).join("build")), "{worker}");
        // So much for what is searched for.
        assert!(holds(&builds().join(worker)), "{worker}");
    }
}
