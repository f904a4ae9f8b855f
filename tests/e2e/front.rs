//! The local platform's listener, from outside: no way past the dispatcher, and any body in constant memory.

use std::env;
use std::io;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::StatusCode;
use reqwest::{Body, RequestBuilder};
use tests::{Customer, Reply, chunked, client, expect_json, noise, platform_url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn headers_that_the_runtime_obeys_lead_nowhere() {
    let user = Customer::new("user1");
    for (name, value) in [
        ("MF-Route-Override", "customer-user2"),
        ("mf-route-override", "customer-user2"),
        ("MF-Route-Override", "dispatcher"),
        ("MF-Original-URL", "http://x/cdn-cgi/explorer"),
        ("MF-Custom-Fetch-Service", "customer-user2"),
        ("MF-Op", "GET"),
        ("MF-Disable-Pretty-Error", "true"),
    ] {
        let worker = serde_json::json!({"status": "ok", "worker": "user1", "version": env!("CARGO_PKG_VERSION")});
        expect_json(user.get("/").header(name, value), worker).await;
        // Without a user id such a request would reach a customer's Worker past the dispatcher.
        let reply = Reply::to(client().get(platform_url()).header(name, value)).await;
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (StatusCode::BAD_REQUEST, &"missing_user_id".into()),
            "{name}"
        );
    }
    let echoed = Reply::to(Customer::new("echo").get("/").header("MF-Anything", "x")).await;
    assert!(!echoed.header("Echo").contains("mf-anything"), "{echoed}");
}

/// Sends a request line as it stands, which an HTTP client would tidy up, and answers the whole reply.
async fn raw(target: &str) -> String {
    let address = platform_url().strip_prefix("http://").expect("http").to_owned();
    let mut stream = TcpStream::connect(&address).await.expect("it listens");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nX-User-ID: user1\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("text");
    reply
}

#[tokio::test]
async fn the_runtimes_own_pages_lead_nowhere() {
    for target in [
        "/cdn-cgi",
        "/cdn-cgi/",
        "/cdn-cgi/explorer",
        "/cdn-cgi/explorer/api/storage/kv/namespaces",
        "/cdn-cgi/local/explorer/api/workers",
        "/cdn-cgi/handler/scheduled",
        "/cdn-cgi/mf/reload",
        "/cdn-cgi/ProxyWorker/play",
        "/CDN-CGI/explorer",
        "//cdn-cgi/explorer",
        "/./cdn-cgi/explorer",
        "/x/../cdn-cgi/explorer",
        "/x/%2e%2e/cdn-cgi/explorer",
        "/.%2e/cdn-cgi/explorer",
        "/\\cdn-cgi/explorer",
        "\\cdn-cgi\\explorer",
        "/%63dn-cgi/explorer",
        "http://localhost/cdn-cgi/explorer",
        "http://cdn-cgi/cdn-cgi/explorer",
        "/cdn-cgi/explorer?x=/",
        "/cdn-cgi/explorer#x",
        "*",
    ] {
        let reply = raw(target).await;
        let status = reply.split(' ').nth(1).unwrap_or_default();
        assert!(["404", "400"].contains(&status), "{target}: {reply}");
    }
    // A path that only looks like one is a customer's.
    let reply = Reply::to(Customer::new("echo").get("/x/cdn-cgi/explorer")).await;
    assert_eq!(reply.status, StatusCode::OK);
}

/// Memory of the process that listens, in KiB.
fn resident() -> u64 {
    let pid = env::var("PLATFORM_PID").expect("PLATFORM_PID is not set: run the tests with `cargo xtask test`");
    let ps = Command::new("ps").args(["-o", "rss=", "-p", &pid]).output().expect("ps runs");
    String::from_utf8(ps.stdout).expect("text").trim().parse().expect("a number")
}

#[tokio::test]
async fn a_body_of_200_mb_goes_both_ways_in_constant_memory() {
    const PIECES: usize = 200;
    let piece = Bytes::from(noise(1_000_000, 3));
    let body = {
        let piece = piece.clone();
        Body::wrap_stream(stream::iter((0..PIECES).map(move |_| Ok::<_, io::Error>(piece.clone()))))
    };
    let before = resident();
    let mut peak = before;
    let request = Customer::new("echo").post("/").header("Content-Length", PIECES * piece.len()).body(body);
    let response = request.send().await.expect("a reply");
    assert_eq!(response.status(), StatusCode::OK);

    let mut received = 0;
    let mut stream = response.bytes_stream();
    while let Some(bytes) = stream.next().await {
        let mut bytes = bytes.expect("the whole body");
        while !bytes.is_empty() {
            // A byte's place says what it must be.
            let expected = &piece[received % piece.len()..];
            let compared = bytes.split_to(expected.len().min(bytes.len()));
            assert!(compared == expected[..compared.len()], "at {received}");
            received += compared.len();
        }
        peak = peak.max(resident());
    }
    assert_eq!(received, PIECES * piece.len());
    assert!(peak - before < 50_000, "the listener grew by {} KiB", peak - before);
}

/// A slow reader must not make the listener hold what it does not take.
#[tokio::test]
async fn a_client_that_goes_away_hurts_nobody() {
    let echo = Customer::new("echo");
    for _ in 0..5 {
        let body =
            Body::wrap_stream(stream::iter((0..100).map(|_| Ok::<_, io::Error>(Bytes::from(noise(1_000_000, 4))))));
        let response = echo.post("/").body(body).send().await.expect("a reply");
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(response);
    }
    assert_eq!(Reply::to(echo.get("/")).await.status, StatusCode::OK);
}

/// A reply may come before the runtime has read the body: it must reach the client all the same.
#[tokio::test]
async fn a_reply_that_comes_early_arrives() {
    let body = Bytes::from(noise(30_000_000, 5));
    for (id, path, status) in
        [("nobody", "/data", 404), ("User1", "/", 400), ("user1", "/stats", 405), ("throws", "/", 502)]
    {
        for body in [body.clone().into(), chunked(body.clone())] {
            expect_status(Customer::new(id).post(path).body(body), status).await;
        }
    }
}

async fn expect_status(request: RequestBuilder, status: u16) {
    let reply = Reply::to(request).await;
    assert_eq!(reply.status, status, "{reply}");
    assert_eq!(reply.header("Content-Type"), "application/problem+json", "{reply}");
}
