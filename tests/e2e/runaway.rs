//! A customer's own Worker that does not come to an end, and what that does to others, in platforms of these tests' own. What
//! Cloudflare's limits do to such a Worker, no local runtime shows.

use std::time::{Duration, Instant};

use http::StatusCode;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tests::{Customer, Dev, Reply, expect_json, expect_problem, expect_success};
use tokio::time::sleep;

async fn start(state: &TempDir) -> Dev {
    let runaway = concat!("runaway=", env!("CARGO_MANIFEST_DIR"), "/fixtures/runaway.js");
    Dev::start(state.path(), &["--customer", "other", "--customer", runaway]).await
}

async fn expect_all_well(dev: &Dev) {
    let healthz = Reply::to(tests::client().get(format!("{}/healthz", dev.url))).await;
    assert_eq!(healthz.status, StatusCode::OK, "{healthz}");
    expect_success(Customer::of(&dev.url, "other").get("/")).await;
    assert_eq!(Reply::to(Customer::of(&dev.url, "runaway").get("/")).await.text(), "fine");
}

#[tokio::test]
async fn a_customer_worker_that_never_answers_keeps_nobody_else_waiting() {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let runaway = Customer::of(&dev.url, "runaway");
    // How long to wait is its client's to say.
    let waiting: Vec<_> =
        (0..50).map(|_| tokio::spawn(runaway.get("/silent").timeout(Duration::from_secs(20)).send())).collect();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(7) {
        let before = Instant::now();
        expect_all_well(&dev).await;
        assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
    }
    for request in waiting {
        assert!(request.await.expect("no panic").is_err_and(|error| error.is_timeout()));
    }
    // What waits for nothing is noticed by the runtime.
    expect_problem(runaway.get("/nothing"), 502, "customer_worker_failed").await;
    expect_all_well(&dev).await;
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// All Workers share a thread here: the platform notices, and starts the runtime again.
#[tokio::test]
async fn a_customer_worker_that_computes_for_ever_does_not_stop_the_platform_for_ever() {
    comes_back_from("/loop").await;
}

#[tokio::test]
#[ignore = "takes all the memory that the runtime lets it have: some GiB"]
async fn a_customer_worker_that_takes_memory_without_end_does_not_stop_the_platform_for_ever() {
    comes_back_from("/allocate").await;
}

async fn comes_back_from(path: &str) {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let (other, runaway) = (Customer::of(&dev.url, "other"), Customer::of(&dev.url, "runaway"));
    expect_success(other.post_json("/data", r#"{"key":"k","value":"kept"}"#)).await;
    let request = tokio::spawn(runaway.get(path).send());
    sleep(Duration::from_secs(1)).await;
    let started = Instant::now();
    loop {
        let request = other.get("/data?key=k").timeout(Duration::from_secs(30)).send().await;
        if request.is_ok_and(|reply| reply.status() == StatusCode::OK) {
            break;
        }
        assert!(started.elapsed() < Duration::from_mins(3), "it does not come back");
        sleep(Duration::from_millis(500)).await;
    }
    eprintln!("{path}: others were served again after {:.0} s", started.elapsed().as_secs_f64());
    let status = request.await.expect("no panic").expect("a reply").status();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    expect_json(other.get("/data?key=k"), serde_json::json!({"key": "k", "value": "kept"})).await;
    expect_all_well(&dev).await;
    assert!(dev.stop(Signal::SIGINT).await.success());
}
