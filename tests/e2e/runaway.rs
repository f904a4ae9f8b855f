//! Customers' own Workers that never end, and their effect on others. Each test starts a platform of its own. The local
//! runtime does not enforce Cloudflare's limits for such Workers.

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

/// Expects that the dispatcher and both customers' Workers reply.
async fn expect_all_served(dev: &Dev) {
    let healthz = Reply::to(tests::client().get(format!("{}/healthz", dev.url))).await;
    assert_eq!(healthz.status, StatusCode::OK, "{healthz}");
    expect_success(Customer::at(&dev.url, "other").get("/")).await;
    assert_eq!(Reply::to(Customer::at(&dev.url, "runaway").get("/")).await.text(), "fine");
}

#[tokio::test]
async fn a_customer_worker_that_never_replies_delays_no_other() {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let runaway = Customer::at(&dev.url, "runaway");
    // The client decides how long it waits.
    let waiting: Vec<_> =
        (0..50).map(|_| tokio::spawn(runaway.get("/silent").timeout(Duration::from_secs(20)).send())).collect();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(7) {
        let before = Instant::now();
        expect_all_served(&dev).await;
        assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
    }
    for request in waiting {
        assert!(request.await.expect("no panic").is_err_and(|error| error.is_timeout()));
    }
    // The runtime detects a reply that can never come.
    expect_problem(runaway.get("/nothing"), 502, "customer_worker_failed").await;
    expect_all_served(&dev).await;
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// All local Workers share a thread. The platform detects that it is blocked and restarts the runtime.
#[tokio::test]
async fn the_platform_recovers_from_an_endless_loop() {
    expect_recovery_from("/loop").await;
}

#[tokio::test]
#[ignore = "needs several GiB of memory"]
async fn the_platform_recovers_from_endless_allocation() {
    expect_recovery_from("/allocate").await;
}

/// Sends a request that blocks or crashes the runtime, and expects that others are served again within three minutes.
async fn expect_recovery_from(path: &str) {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let (other, runaway) = (Customer::at(&dev.url, "other"), Customer::at(&dev.url, "runaway"));
    expect_success(other.post_json("/data", r#"{"key":"k","value":"kept"}"#)).await;
    let request = tokio::spawn(runaway.get(path).send());
    sleep(Duration::from_secs(1)).await;
    let started = Instant::now();
    loop {
        let request = other.get("/data?key=k").timeout(Duration::from_secs(30)).send().await;
        if request.is_ok_and(|reply| reply.status() == StatusCode::OK) {
            break;
        }
        assert!(started.elapsed() < Duration::from_mins(3), "other customers are not served again");
        sleep(Duration::from_millis(500)).await;
    }
    eprintln!("{path}: others were served again after {:.0} s", started.elapsed().as_secs_f64());
    let status = request.await.expect("no panic").expect("a reply").status();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    expect_json(other.get("/data?key=k"), serde_json::json!({"key": "k", "value": "kept"})).await;
    expect_all_served(&dev).await;
    assert!(dev.stop(Signal::SIGINT).await.success());
}
