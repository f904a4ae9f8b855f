//! The runtime restarts for what is uploaded: what that costs others, and what a kill leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::api::{SCRIPTS, expect_result};
use tests::{Customer, Dev, Reply, expect_success};
use tokio::sync::Semaphore;

use super::Platform;

fn script(answer: u32) -> String {
    format!("export default {{ fetch() {{ return Response.json({answer}); }} }};")
}

#[tokio::test]
async fn who_has_uploaded_gets_the_new_answer_and_nobody_is_refused() {
    let platform = Platform::start(&[]).await;
    expect_success(platform.customer("user1").post_json("/data", r#"{"key":"k","value":1}"#)).await;
    let done = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..4)
        .map(|_| {
            let (customer, done) = (platform.customer("user1"), done.clone());
            tokio::spawn(async move {
                let mut longest = Duration::ZERO;
                let mut answered = 0;
                while !done.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let reply = Reply::to(customer.get("/data?key=k")).await;
                    assert_eq!(reply.json(), json!({"key": "k", "value": 1}), "{reply}");
                    longest = longest.max(asked.elapsed());
                    answered += 1;
                }
                (answered, longest)
            })
        })
        .collect();
    let user3 = platform.customer("user3");
    let mut longest = Duration::ZERO;
    for answer in 0..4 {
        let uploaded = Instant::now();
        expect_result(platform.api.upload("user3", &script(answer), json!({}))).await;
        assert_eq!(Reply::to(user3.get("/")).await.json(), answer);
        longest = longest.max(uploaded.elapsed());
    }
    done.store(true, Ordering::Relaxed);
    let mut slowest = Duration::ZERO;
    for other in others {
        let (answered, waited): (u32, Duration) = other.await.expect("none was refused");
        assert!(answered > 0);
        slowest = slowest.max(waited);
    }
    println!("an upload answered after {longest:?} at most; others waited {slowest:?} at most");
}

#[tokio::test]
async fn uploads_that_arrive_together_share_a_restart() {
    let platform = Platform::start(&[]).await;
    let runtime = || {
        std::fs::metadata(platform.state.path().join("workers/entry")).expect("it is there").modified().expect("a time")
    };
    let mut starts = vec![runtime()];
    let uploads = (0..10).map(|user| {
        let upload = platform.api.upload(&format!("together{user}"), &script(user), json!({}));
        async { expect_result(upload).await }
    });
    futures::future::join_all(uploads).await;
    for user in 0..10 {
        let reply = Reply::to(platform.customer(&format!("together{user}")).get("/")).await;
        assert_eq!(reply.json(), user, "{reply}");
        let start = runtime();
        if starts.last() != Some(&start) {
            starts.push(start);
        }
    }
    // One that has begun when others arrive is followed by one more.
    assert!((2..=3).contains(&starts.len()), "{starts:?}");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let mut platform = Platform::start(&[]).await;
    let mut acknowledged: Vec<(String, u32)> = Vec::new();
    for round in 0..3_u32 {
        let taken = Arc::new(Semaphore::new(0));
        let uploads: Vec<_> = (0..6)
            .map(|user| {
                let (name, answer, taken) = (format!("killed{user}"), round * 100 + user, taken.clone());
                let upload = platform.api.upload(&name, &script(answer), json!({}));
                tokio::spawn(async move {
                    let acknowledged = upload.send().await.is_ok_and(|reply| reply.status() == 200);
                    taken.add_permits(1);
                    acknowledged.then_some((name, answer))
                })
            })
            .collect();
        // While the first are checked, then in the middle of them, then in the restart that they make.
        drop(taken.acquire_many(3 * round).await.expect("it is never closed"));
        tokio::time::sleep(Duration::from_millis(40 + 100 * u64::from(round))).await;
        platform.dev.kill().await;
        for upload in uploads {
            if let Some((name, answer)) = upload.await.expect("no panic") {
                acknowledged.retain(|(other, _)| *other != name);
                acknowledged.push((name, answer));
            }
        }
        platform.dev = Dev::start(platform.state.path(), &[]).await;
        platform.api = platform.dev.api();
        for (name, answer) in &acknowledged {
            let reply: Value = Reply::to(platform.customer(name).get("/")).await.json();
            // One that was under way may have been taken without the reply that said so.
            let later = reply
                .as_u64()
                .is_some_and(|reply| reply > u64::from(*answer) && reply % 100 == u64::from(answer % 100));
            assert!(reply == *answer || later, "{name}: {reply} for {answer}");
        }
        let incoming = std::fs::read_dir(platform.state.path().join("incoming")).expect("a folder").count();
        assert_eq!(incoming, 0);
    }
    expect_success(platform.customer("user1").get("/")).await;
    assert!(!acknowledged.is_empty(), "some were in time");
}

#[tokio::test]
async fn a_script_that_the_runtime_cannot_take_is_left_out() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    // wrangler refuses an address that no check of the script alone sees.
    let bad = json!({"bindings": [{"type": "send_email", "name": "E", "destination_address": 7}]});
    expect_result(api.upload("bad", &script(1), bad)).await;
    expect_result(api.upload("good", &script(2), json!({}))).await;
    assert_eq!(Reply::to(platform.customer("good").get("/")).await.json(), 2);
    expect_success(platform.customer("user1").get("/")).await;
    assert_eq!(Reply::to(platform.customer("bad").get("/")).await.json()["code"], "unknown_user");
    // Mended, it runs.
    expect_result(api.upload("bad", &script(3), json!({"bindings": []}))).await;
    assert_eq!(Reply::to(platform.customer("bad").get("/")).await.json(), 3);
    expect_result(api.request(reqwest::Method::DELETE, &format!("{SCRIPTS}/bad"))).await;
    assert_eq!(Reply::to(platform.customer("bad").get("/")).await.json()["code"], "unknown_user");
}

#[tokio::test]
async fn an_upload_under_way_ends_before_the_restart() {
    let platform = Platform::start(&[]).await;
    let user1: Customer = platform.customer("user1");
    let (sender, body) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(1);
    let body = futures::stream::unfold(body, |mut body| async { body.recv().await.map(|piece| (piece, body)) });
    let request = user1.put("/files?key=slow").header("Content-Length", "4").body(reqwest::Body::wrap_stream(body));
    let slow = tokio::spawn(Reply::to(request));
    sender.send(Ok("ab".into())).await.expect("it is read");
    expect_result(platform.api.upload("user3", &script(1), json!({}))).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    sender.send(Ok("cd".into())).await.expect("it is read");
    drop(sender);
    let reply = slow.await.expect("no panic");
    assert_eq!(reply.status, 200, "{reply}");
    assert_eq!(Reply::to(platform.customer("user3").get("/")).await.json(), 1);
    assert_eq!(Reply::to(user1.get("/files?key=slow")).await.text(), "abcd");
}

#[tokio::test]
async fn who_asks_while_the_platform_starts_waits_and_does_not_keep_it_from_starting() {
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
                // The port is not taken yet.
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
async fn a_script_that_runs_no_longer_does_not_keep_the_platform_from_starting() {
    let platform = Platform::start(&[]).await;
    for (id, answer) in [("lost", 1), ("there", 2)] {
        expect_result(platform.api.upload(id, &script(answer), json!({}))).await;
        assert_eq!(Reply::to(platform.customer(id).get("/")).await.json(), answer);
    }
    let lost = expect_result(platform.api.get(&format!("{SCRIPTS}/lost"))).await;
    let state = platform.state;
    assert!(platform.dev.stop(nix::sys::signal::Signal::SIGTERM).await.success());
    let folder = state.path().join("scripts").join(lost["script"]["etag"].as_str().expect("the folder's name"));
    std::fs::remove_dir_all(folder).expect("it was there");
    let dev = Dev::start(state.path(), &[]).await;
    assert_eq!(Reply::to(Customer::at(&dev.url, "there").get("/")).await.json(), 2);
    assert_eq!(Reply::to(Customer::at(&dev.url, "lost").get("/")).await.json()["code"], "unknown_user");
    expect_success(Customer::at(&dev.url, "user1").get("/")).await;
}
