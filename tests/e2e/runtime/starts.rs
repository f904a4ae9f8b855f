//! Processes start when they are needed, and cost nothing before.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use tests::processes::memory_in_use;
use tests::{Dev, Reply, expect_success};
use tokio::time::sleep;

use super::Platform;

#[tokio::test]
async fn many_customers_at_once_are_all_answered() {
    at_once(30).await;
}

#[tokio::test]
#[ignore = "measures times"]
async fn a_hundred_customers_at_once_are_all_answered() {
    at_once(100).await;
}

/// Uploads that do not start in time are refused, and nobody else's start waits for them.
#[tokio::test]
async fn scripts_that_do_not_start_hold_nobody_up() {
    let stuck = ["stuck1", "stuck2", "stuck3", "stuck4"];
    let platform = Platform::start(&[&stuck[..], &["fresh"]].concat()).await;
    let metadata = json!({ "compatibility_date": "2026-11-17" });
    let upload = async |id: &&str| {
        let source = "for (;;); export default { fetch() {} };";
        Reply::to(platform.api.upload(id, source, metadata.clone())).await
    };
    let uploads = futures::future::join_all(stuck.iter().map(upload));
    let first_reply = async {
        sleep(Duration::from_millis(500)).await;
        let started = Instant::now();
        expect_success(platform.customer("fresh").get("/")).await;
        started.elapsed()
    };
    let (replies, waited) = tokio::join!(uploads, first_reply);
    println!("a customer's first reply beside four scripts that do not start took {} ms", waited.as_millis());
    assert!(waited < Duration::from_secs(6), "{waited:?}");
    for reply in replies {
        assert_eq!(reply.status, 400, "{reply}");
        assert!(reply.text().contains("did not start within 10 seconds"), "{reply}");
    }
    // They still have their earlier Workers.
    expect_success(platform.customer("stuck1").get("/")).await;
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// Sends all customers their first request at the same time.
async fn at_once(customers: usize) {
    let ids: Vec<String> = (0..customers).map(|number| format!("c{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let platform = Platform::start(&ids).await;
    let before = memory_in_use(platform.state());
    let started = Instant::now();
    futures::future::join_all(ids.iter().map(|id| expect_success(platform.customer(id).get("/")))).await;
    println!(
        "{customers} customers: {} MB before their first requests, {} MB after; all answered after {} ms",
        before / 1_000_000,
        memory_in_use(platform.state()) / 1_000_000,
        started.elapsed().as_millis(),
    );
    assert!(platform.dev.stop(Signal::SIGINT).await.success());

    // They are known now.
    let started = Instant::now();
    let dev = Dev::start(platform.state.path(), &[]).await;
    expect_success(tests::Customer::at(&dev.url, ids[0]).get("/")).await;
    println!(
        "{customers} known customers: the first answer {} ms after `cargo xtask dev`, which checks first that all is built",
        started.elapsed().as_millis()
    );
    assert!(dev.stop(Signal::SIGINT).await.success());
}
