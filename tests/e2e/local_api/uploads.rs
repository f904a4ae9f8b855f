//! Uploads: when they take effect, and what remains after a kill.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::api::{SCRIPTS, expect_result};
use tests::{Customer, Dev, Reply, expect_success};
use tokio::sync::Semaphore;

use super::Platform;

fn script(number: u32) -> String {
    format!("export default {{ fetch() {{ return Response.json({number}); }} }};")
}

#[tokio::test]
async fn uploads_take_effect_at_once_and_fail_no_other_request() {
    let platform = Platform::start(&[]).await;
    expect_success(platform.customer("user1").post_json("/data", r#"{"key":"k","value":1}"#)).await;
    let done = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..4)
        .map(|_| {
            let (customer, done) = (platform.customer("user1"), done.clone());
            tokio::spawn(async move {
                let mut longest = Duration::ZERO;
                let mut replies = 0;
                while !done.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let reply = Reply::to(customer.get("/data?key=k")).await;
                    assert_eq!(reply.json(), json!({"key": "k", "value": 1}), "{reply}");
                    longest = longest.max(sent.elapsed());
                    replies += 1;
                }
                (replies, longest)
            })
        })
        .collect();
    let user3 = platform.customer("user3");
    let mut longest = Duration::ZERO;
    for version in 0..4 {
        let uploaded = Instant::now();
        expect_result(platform.api.upload("user3", &script(version), json!({}))).await;
        assert_eq!(Reply::to(user3.get("/")).await.json(), version);
        longest = longest.max(uploaded.elapsed());
    }
    done.store(true, Ordering::Relaxed);
    let mut slowest = Duration::ZERO;
    for other in others {
        let (replies, waited): (u32, Duration) = other.await.expect("no request failed");
        assert!(replies > 0);
        slowest = slowest.max(waited);
    }
    println!("an upload took effect after {longest:?} at most; other requests waited {slowest:?} at most");
}

#[tokio::test]
async fn acknowledged_uploads_survive_a_kill() {
    let mut platform = Platform::start(&[]).await;
    let mut acknowledged: Vec<(String, u32)> = Vec::new();
    for round in 0..3_u32 {
        let finished = Arc::new(Semaphore::new(0));
        let uploads: Vec<_> = (0..6)
            .map(|user| {
                let (name, version, finished) = (format!("killed{user}"), round * 100 + user, finished.clone());
                let upload = platform.api.upload(&name, &script(version), json!({}));
                tokio::spawn(async move {
                    let acknowledged = upload.send().await.is_ok_and(|reply| reply.status() == 200);
                    finished.add_permits(1);
                    acknowledged.then_some((name, version))
                })
            })
            .collect();
        // Kill while the first uploads are checked, then after half of them, then after all.
        drop(finished.acquire_many(3 * round).await.expect("the semaphore is never closed"));
        tokio::time::sleep(Duration::from_millis(40 + 100 * u64::from(round))).await;
        platform.dev.kill().await;
        for upload in uploads {
            if let Some((name, version)) = upload.await.expect("no panic") {
                acknowledged.retain(|(other, _)| *other != name);
                acknowledged.push((name, version));
            }
        }
        platform.dev = Dev::start(platform.state.path(), &[]).await;
        platform.api = platform.dev.api();
        for (name, version) in &acknowledged {
            let reply: Value = Reply::to(platform.customer(name).get("/")).await.json();
            // A later upload may have been stored although the kill prevented its reply.
            let later = reply
                .as_u64()
                .is_some_and(|reply| reply > u64::from(*version) && reply % 100 == u64::from(version % 100));
            assert!(reply == *version || later, "{name}: {reply} instead of {version}");
        }
        let incoming = std::fs::read_dir(platform.state.path().join("incoming")).expect("a folder").count();
        assert_eq!(incoming, 0);
    }
    expect_success(platform.customer("user1").get("/")).await;
    assert!(!acknowledged.is_empty(), "some uploads must be acknowledged before the kill");
}

#[tokio::test]
async fn requests_in_flight_finish_after_an_upload() {
    let platform = Platform::start(&[]).await;
    let user1: Customer = platform.customer("user1");
    let (sender, body) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(1);
    let body = futures::stream::unfold(body, |mut body| async { body.recv().await.map(|piece| (piece, body)) });
    let request = user1.put("/files?key=slow").header("Content-Length", "4").body(reqwest::Body::wrap_stream(body));
    let slow = tokio::spawn(Reply::to(request));
    sender.send(Ok("ab".into())).await.expect("the body is read");
    expect_result(platform.api.upload("user3", &script(1), json!({}))).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    sender.send(Ok("cd".into())).await.expect("the body is read");
    drop(sender);
    let reply = slow.await.expect("no panic");
    assert_eq!(reply.status, 200, "{reply}");
    assert_eq!(Reply::to(platform.customer("user3").get("/")).await.json(), 1);
    assert_eq!(Reply::to(user1.get("/files?key=slow")).await.text(), "abcd");
}

#[tokio::test]
async fn api_requests_during_the_start_wait_for_it() {
    let state = tempfile::TempDir::new().expect("a folder");
    let port = {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.local_addr().expect("an address").port().to_string()
    };
    let dev = Dev::start(state.path(), &["--api-port", &port]).await;
    let api = dev.api();
    assert!(dev.stop(nix::sys::signal::Signal::SIGTERM).await.success());
    let early = tokio::spawn(async move {
        loop {
            match api.upload("user3", &script(1), json!({})).send().await {
                Ok(reply) => return reply.status(),
                // The platform does not listen yet.
                Err(error) if error.is_connect() => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{error}"),
            }
        }
    });
    let dev = Dev::start(state.path(), &["--api-port", &port]).await;
    assert_eq!(early.await.expect("no panic"), 200);
    assert_eq!(Reply::to(Customer::at(&dev.url, "user3").get("/")).await.json(), 1);
}

#[tokio::test]
async fn a_lost_script_does_not_prevent_the_start() {
    let platform = Platform::start(&[]).await;
    for (id, number) in [("lost", 1), ("intact", 2)] {
        expect_result(platform.api.upload(id, &script(number), json!({}))).await;
        assert_eq!(Reply::to(platform.customer(id).get("/")).await.json(), number);
    }
    let lost = expect_result(platform.api.get(&format!("{SCRIPTS}/lost"))).await;
    let state = platform.state;
    assert!(platform.dev.stop(nix::sys::signal::Signal::SIGTERM).await.success());
    let folder = state.path().join("scripts").join(lost["script"]["etag"].as_str().expect("the folder's name"));
    std::fs::remove_dir_all(folder).expect("the folder exists");
    let dev = Dev::start(state.path(), &[]).await;
    assert_eq!(Reply::to(Customer::at(&dev.url, "intact").get("/")).await.json(), 2);
    assert_eq!(Reply::to(Customer::at(&dev.url, "lost").get("/")).await.json()["code"], "customer_worker_failed");
    expect_success(Customer::at(&dev.url, "user1").get("/")).await;
    // A new upload mends it.
    expect_result(dev.api().upload("lost", &script(3), json!({}))).await;
    assert_eq!(Reply::to(Customer::at(&dev.url, "lost").get("/")).await.json(), 3);
}
