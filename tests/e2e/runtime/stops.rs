//! Processes that nobody uses are ended, and Ctrl-C ends the whole platform: nothing is lost.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use serde_json::json;
use tempfile::TempDir;
use tests::api::expect_result;
use tests::processes::{expect_gone, pids, processes};
use tests::{Customer, Dev, Reply, expect_json, expect_success};
use tokio::time::{Instant, sleep};

use super::{Platform, objects};

/// The usual time is two minutes. With one second, requests often come at the moment at which a process is ended.
#[tokio::test]
async fn a_process_that_nobody_uses_is_ended_and_starts_again_with_its_data() {
    let platform = Platform::start_with(&["quiet", "busy", "objects"], &["--idle", "1"]).await;
    platform.upload("busy", "v1").await;
    objects::upload(&platform.api, "v1", json!({ "migrations": { "new_tag": "v1", "new_classes": ["Room"] } })).await;
    assert_eq!(platform.text("objects", "/").await, "v1 1");
    let quiet = platform.customer("quiet");
    expect_success(quiet.put("/files?key=file").body("content")).await;
    expect_success(quiet.post_json("/data", r#"{"key":"k","value":"kept"}"#)).await;
    expect_success(quiet.post_json("/db/query", r#"{"sql":"CREATE TABLE t AS SELECT 1 AS one"}"#)).await;

    // The dispatcher and a script with a long reply are used. A script with Durable Objects may have alarms.
    let streamed = tokio::spawn(Reply::to(platform.customer("busy").get("/stream?pieces=120")));
    wait_until_only(&platform, 3).await;
    assert!(!streamed.is_finished(), "the processes that nobody uses are not ended in time");
    assert_eq!(streamed.await.expect("no panic").text(), "v1 ".repeat(120));
    wait_until_only(&platform, 1).await;

    assert_eq!(Reply::to(quiet.get("/files?key=file")).await.text(), "content");
    expect_json(quiet.get("/data?key=k"), json!({ "key": "k", "value": "kept" })).await;
    let rows = expect_success(quiet.post_json("/db/query", r#"{"sql":"SELECT one FROM t"}"#)).await;
    assert!(rows.text().contains(r#"{"one":1}"#), "{rows}");
    assert_eq!(platform.text("objects", "/").await, "v1 2");
    for _ in 0..8 {
        sleep(Duration::from_millis(fastrand::u64(900..1400))).await;
        expect_json(quiet.get("/data?key=k"), json!({ "key": "k", "value": "kept" })).await;
    }
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// Waits until this number of processes is left besides the hub's.
async fn wait_until_only(platform: &Platform, number: usize) {
    let started = Instant::now();
    loop {
        let all = processes(platform.state());
        let left: Vec<&String> = all.iter().filter(|line| line.contains("--debug-port=unix:p")).collect();
        if left.len() <= number {
            assert_eq!(left.len(), number, "{left:#?}");
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{left:#?}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// A terminal sends Ctrl-C to all processes of the group.
#[tokio::test]
async fn ctrl_c_answers_running_requests_and_keeps_what_was_acknowledged() {
    let state = TempDir::new().expect("a folder");
    let dev = Dev::start_in_process_group(state.path(), &["--customer", "script", "--customer", "data"]).await;
    expect_result(dev.api().upload("script", super::SOURCE, json!({ "compatibility_date": "2026-11-17" }))).await;
    let (script, data) = (Customer::at(&dev.url, "script"), Customer::at(&dev.url, "data"));
    expect_success(data.get("/")).await;

    let streamed = tokio::spawn(Reply::to(script.get("/stream?pieces=15")));
    let pieces = stream::unfold(0, |sent| async move {
        sleep(Duration::from_millis(100)).await;
        (sent < 15).then_some((Ok::<_, std::io::Error>(Bytes::from_static(b"0123456789")), sent + 1))
    });
    let file = data.put("/files?key=slow").header("Content-Length", "150").body(reqwest::Body::wrap_stream(pieces));
    let uploaded = tokio::spawn(expect_success(file));
    let writers: Vec<_> = (0..4).map(|writer| tokio::spawn(write_until_refused(data.clone(), writer))).collect();
    sleep(Duration::from_millis(700)).await;

    let (group, all) = (dev.pid(), pids(&processes(state.path())));
    assert!(dev.stop_process_group(Signal::SIGINT).await.success());
    expect_gone(&all).await;
    assert_eq!(killpg(group, None), Err(Errno::ESRCH), "a process is left in the group");
    assert!(!state.path().join("run").exists());
    assert_eq!(streamed.await.expect("no panic").text(), "v1 ".repeat(15));
    uploaded.await.expect("a reply");

    let dev = Dev::start(state.path(), &[]).await;
    let data = Customer::at(&dev.url, "data");
    assert_eq!(Reply::to(data.get("/files?key=slow")).await.text(), "0123456789".repeat(15));
    let mut acknowledged = 0;
    for (writer, task) in writers.into_iter().enumerate() {
        let count = task.await.expect("no problem as a reply");
        for number in 0..count {
            let key = format!("{writer}/{number}");
            expect_json(data.get(&format!("/data?key={key}")), json!({ "key": key, "value": number })).await;
        }
        acknowledged += count;
    }
    println!("{acknowledged} writes were acknowledged before the end");
    assert!(acknowledged > 0);
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// Writes one value after another until the platform refuses the connection or closes it. Returns how many were
/// acknowledged. The reply to a request is never a failure.
async fn write_until_refused(data: Customer, writer: usize) -> usize {
    for number in 0.. {
        let body = json!({ "key": format!("{writer}/{number}"), "value": number }).to_string();
        match data.post_json("/data", body).send().await {
            Ok(reply) => assert_eq!(reply.status(), 200, "{:?}", reply.text().await),
            Err(_) => return number,
        }
    }
    unreachable!("the loop does not end by itself")
}
