//! Processes start when they are needed, and cost nothing before.

use std::time::Instant;

use nix::sys::signal::Signal;
use tests::processes::memory_in_use;
use tests::{Dev, expect_success};

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
