//! Customers' Workers that loop, allocate, crash or never answer: no other customer's request fails or waits.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;
use tests::processes::processes;
use tests::{Dev, Reply, expect_problem, expect_success};

use super::Platform;

/// How long another customer's request may take: several times the usual.
const OTHERS_WAIT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn an_endless_loop_harms_nobody_else() {
    expect_harmless("/loop").await;
}

#[tokio::test]
async fn endless_arrays_harm_nobody_else() {
    expect_harmless("/arrays").await;
}

#[tokio::test]
async fn endless_buffers_harm_nobody_else() {
    expect_harmless("/buffers").await;
}

/// Sends a request that its customer's Worker cannot survive. It gets a problem, the next one is answered, and another
/// customer notices nothing.
async fn expect_harmless(path: &str) {
    // A record says more than the shortest time, which is 2 s.
    let limits = r#"DEFAULT_CUSTOMER:{"limits":{"cpuMs":2500}}"#;
    let platform = Platform::start_with(&["script", "other"], &["--var", limits]).await;
    platform.upload("script", "v1").await;
    let customer = platform.customer("script");
    let started = Instant::now();
    let request = customer.get(path).timeout(Duration::from_mins(2));
    let (reply, slowest) = platform.slowest_beside("other", Reply::to(request)).await;
    println!(
        "{path}: ended after {} ms; the slowest reply of another customer took {} ms",
        started.elapsed().as_millis(),
        slowest.as_millis()
    );
    let problem = reply.json();
    match reply.status.as_u16() {
        // The runtime ended it.
        503 => {
            assert_eq!(problem["code"], "customer_worker_limit", "{reply}");
            assert!(logs(&platform).await.contains("Worker exceeded"));
        }
        // It could not allocate, which is an error of its own.
        502 if path == "/buffers" => assert_eq!(problem["code"], "customer_worker_failed", "{reply}"),
        _ => panic!("{reply}"),
    }
    assert!(slowest < OTHERS_WAIT, "{slowest:?}");
    wait_until_served(&platform).await;
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// Returns the script's log, as lines of JSON.
async fn logs(platform: &Platform) -> String {
    Reply::to(platform.api.get("/workers/dispatch/namespaces/customers/logs?script=script")).await.text().to_owned()
}

/// Waits until the script answers again.
async fn wait_until_served(platform: &Platform) {
    let started = Instant::now();
    while platform.text("script", "/version").await != "v1" {
        assert!(started.elapsed() < Duration::from_secs(30), "it is not started again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_worker_that_never_replies_delays_nobody() {
    let platform = Platform::start(&["script", "other"]).await;
    platform.upload("script", "v1").await;
    let customer = platform.customer("script");
    let silent = (0..50).map(|_| customer.get("/silent").timeout(Duration::from_secs(5)).send());
    let silent = futures::future::join_all(silent);
    let (replies, slowest) = platform.slowest_beside("other", silent).await;
    assert!(replies.into_iter().all(|reply| reply.is_err_and(|error| error.is_timeout())));
    assert!(slowest < OTHERS_WAIT, "{slowest:?}");
    assert_eq!(platform.text("script", "/version").await, "v1");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn a_process_that_is_killed_is_started_again() {
    let platform = Platform::start(&["script", "other"]).await;
    platform.upload("script", "v1").await;
    let customer = platform.customer("script");
    for _ in 0..3 {
        // The pause before a start grows with each crash.
        wait_until_served(&platform).await;
        let waiting = tokio::spawn(Reply::to(customer.get("/silent")));
        tokio::time::sleep(Duration::from_millis(300)).await;
        for pid in script_processes(&platform) {
            kill(pid, Signal::SIGKILL).expect("the process runs");
        }
        let reply = waiting.await.expect("no panic");
        assert_eq!(reply.status, 502, "{reply}");
    }
    wait_until_served(&platform).await;
    expect_success(platform.customer("other").get("/")).await;
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// The processes that run scripts. Those of the dispatcher and of databases have experimental features.
fn script_processes(platform: &Platform) -> Vec<Pid> {
    let all = processes(platform.state());
    let scripts = all.iter().filter(|line| line.contains("--debug-port=unix:p") && !line.contains("--experimental"));
    let id = |line: &String| line.split_whitespace().next().and_then(|id| id.parse().ok()).map(Pid::from_raw);
    scripts.filter_map(id).collect()
}

#[tokio::test]
async fn sql_that_does_not_end_harms_nobody_else() {
    let platform = Platform::start(&["script", "other"]).await;
    let customer = platform.customer("script");
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let query = serde_json::json!({ "sql": endless }).to_string();
    let started = Instant::now();
    let request = customer.post_json("/db/query", query).timeout(Duration::from_mins(2));
    let (reply, slowest) = platform.slowest_beside("other", Reply::to(request)).await;
    println!("SQL without end: a {} after {} ms", reply.status, started.elapsed().as_millis());
    assert_eq!(reply.status, 503, "{reply}");
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
    assert!(slowest < OTHERS_WAIT, "{slowest:?}");
    expect_success(customer.post_json("/db/query", r#"{"sql":"SELECT 1"}"#)).await;
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn headers_that_are_too_long_are_the_workers_failure() {
    let platform = Platform::start(&["script", "other"]).await;
    platform.upload("script", "v1").await;
    expect_problem(platform.customer("script").get("/header?length=2000000"), 502, "customer_worker_failed").await;
    assert_eq!(platform.text("script", "/version").await, "v1");
    expect_success(platform.customer("other").get("/")).await;

    // One that needs too much memory to start is refused in a sentence.
    let source = "const all = []; for (;;) all.push(new Array(100_000).fill(1)); export default { fetch() {} };";
    let upload = platform.api.upload("script", source, json!({ "compatibility_date": "2026-11-17" }));
    let refused = Reply::to(upload).await;
    assert_eq!(refused.status, 400, "{refused}");
    assert_eq!(refused.json()["errors"][0]["message"], "Worker exceeded memory limit.", "{refused}");
    assert_eq!(platform.text("script", "/version").await, "v1");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// A terminal can be paused, and the reader of a pipe can hang.
#[tokio::test]
async fn output_that_nobody_reads_stops_nobody() {
    let state = TempDir::new().expect("a folder");
    let arguments = ["--customer", "script", "--customer", "other"];
    let (dev, mut output) = Dev::start_unread(state.path(), &arguments).await;
    let platform = Platform { api: dev.api(), dev, state };
    platform.upload("script", "v1").await;
    // Far more than a pipe holds.
    let text = "x".repeat(1000);
    assert_eq!(platform.text("script", &format!("/log?times=2000&text={text}")).await, "logged");
    for _ in 0..50 {
        expect_success(platform.customer("other").get("/")).await;
        assert_eq!(platform.text("script", "/version").await, "v1");
    }
    assert!(logs(&platform).await.lines().count() >= 2000);
    assert_eq!(output.next_line().await.expect("text").expect("a line"), format!("[script] {text}"));
    tokio::spawn(async move { while let Ok(Some(_)) = output.next_line().await {} });
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}
