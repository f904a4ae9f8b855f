//! Ctrl-C ends the whole platform, and nothing is lost.

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
