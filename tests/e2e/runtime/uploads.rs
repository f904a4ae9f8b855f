//! Uploads: nobody else notices them, and what is under way goes on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{SinkExt, StreamExt, stream};
use nix::sys::signal::Signal;
use serde_json::json;
use tests::{Reply, expect_success};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

use super::websockets::connect;
use super::{Platform, median};

#[tokio::test]
async fn uploads_delay_nobody() {
    measure(&["script", "other"], 20).await;
}

#[tokio::test]
#[ignore = "measures times"]
async fn uploads_beside_2_and_50_customers_delay_nobody() {
    measure(&["script", "other"], 100).await;
    let ids: Vec<String> = (0..48).map(|number| format!("c{number}")).collect();
    let ids: Vec<&str> = ["script", "other"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    measure(&ids, 100).await;
}

/// Uploads a script many times while another customer is called.
async fn measure(customers: &[&str], uploads: usize) {
    let platform = Platform::start(customers).await;
    for id in customers {
        expect_success(platform.customer(id).get("/")).await;
    }
    let (mut until_reply, mut after_acknowledgement) = (Vec::new(), Vec::new());
    let happens = async {
        for number in 0..uploads {
            let version = format!("v{number}");
            let started = Instant::now();
            platform.upload("script", &version).await;
            let acknowledged = Instant::now();
            assert_eq!(platform.text("script", "/version").await, version);
            until_reply.push(started.elapsed());
            after_acknowledgement.push(acknowledged.elapsed());
        }
    };
    let ((), slowest) = platform.slowest_beside("other", happens).await;
    let (until_reply, after_acknowledgement) = (median(until_reply), median(after_acknowledgement));
    println!(
        "{} customers, {uploads} uploads: the new code replies {} ms after the upload began, {} ms after its acknowledgement \
         (medians); the slowest reply of another customer took {} ms",
        customers.len(),
        until_reply.as_millis(),
        after_acknowledgement.as_millis(),
        slowest.as_millis(),
    );
    assert!(until_reply < Duration::from_secs(3), "{until_reply:?}");
    assert!(after_acknowledgement < Duration::from_millis(500), "{after_acknowledgement:?}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn what_is_under_way_goes_on_after_an_upload() {
    let platform = Platform::start(&["script"]).await;
    platform.upload("script", "old").await;
    let customer = platform.customer("script");
    let mut socket = connect(&platform.dev.url, "script").await;
    let streamed = tokio::spawn(Reply::to(customer.get("/stream?pieces=30")));
    let pieces = stream::iter(0..30).then(|_| async {
        sleep(Duration::from_millis(100)).await;
        Ok::<_, std::io::Error>(Bytes::from_static(b"0123456789"))
    });
    let uploaded = tokio::spawn(Reply::to(customer.post("/length").body(reqwest::Body::wrap_stream(pieces))));
    sleep(Duration::from_millis(500)).await;

    platform.upload("script", "new").await;
    assert_eq!(platform.text("script", "/version").await, "new");
    socket.send(Message::text("still there?")).await.expect("sent");
    assert_eq!(socket.next().await.expect("a message").expect("no error"), Message::text("old still there?"));
    assert_eq!(streamed.await.expect("no panic").text(), "old ".repeat(30));
    assert_eq!(uploaded.await.expect("no panic").text(), "old 300");
    assert_eq!(platform.text("script", "/version").await, "new");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// What a script does in `waitUntil` goes on after its replacement, however often others are replaced.
#[tokio::test]
async fn uploads_of_one_script_do_not_end_the_work_of_another() {
    let platform = Platform::start(&["script", "other"]).await;
    platform.upload("script", "old").await;
    assert_eq!(platform.text("script", "/later?ms=6000").await, "later");
    platform.upload("script", "new").await;
    for number in 0..20 {
        platform.upload("other", &format!("v{number}")).await;
        assert_eq!(platform.text("other", "/version").await, format!("v{number}"));
    }
    let started = Instant::now();
    while platform.text("script", "/recorded").await != "later old" {
        assert!(started.elapsed() < Duration::from_secs(30), "the work of the replaced script was lost");
        sleep(Duration::from_millis(200)).await;
    }
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn a_version_changes_with_its_own_script_alone() {
    let platform = Platform::start(&["one", "two"]).await;
    platform.upload("one", "v1").await;
    platform.upload("two", "v1").await;
    let versions = async || (platform.text("one", "/metadata").await, platform.text("two", "/metadata").await);
    let before = versions().await;
    assert!(before.0.starts_with("{\"id\":\"") && before.0 != before.1, "{before:?}");
    assert_eq!(versions().await, before);
    platform.upload("two", "v2").await;
    let after = versions().await;
    assert_eq!(after.0, before.0);
    assert_ne!(after.1, before.1);
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// The account and what runs agree, whichever upload came last.
#[tokio::test]
async fn the_last_of_many_uploads_at_once_is_the_one_that_serves() {
    let platform = Platform::start(&["script"]).await;
    let versions: Vec<String> = (0..10).map(|number| format!("v{number}")).collect();
    let uploads = versions.iter().map(|version| platform.upload("script", version));
    futures::future::join_all(uploads).await;
    let served = platform.text("script", "/version").await;
    let kept = Reply::to(platform.api.get(&format!("{}/content", super::script("script")))).await;
    assert!(kept.text().contains(&format!("const VERSION = {served:?}")), "{served}");

    // What is said of a script apart from its code is taken up as well.
    let secret = json!({ "name": "VERSION", "type": "secret_text", "text": "a secret" });
    let path = format!("{}/secrets", super::script("script"));
    let refused =
        platform.api.request(http::Method::PUT, &path).body(secret.to_string()).send().await.expect("a reply");
    assert_eq!(refused.status(), 400, "the name is taken");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}
