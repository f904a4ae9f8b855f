//! The outbound Worker, which limits the hosts that customers' Workers may fetch. These tests call it through
//! `fixtures/outbound-caller.js`; `runtime::outbound` tests that scripts' requests go through it.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Redirect;
use axum::routing::{any, get};
use http::StatusCode;
use serde_json::{Value, json};
use tests::{Customer, Reply, escaped, expect_problem, log, noise};

/// Starts a server that stands for a host on the internet.
async fn host() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let other_host = format!("http://localhost:{}/reached", address.port());
    let router = Router::new().route("/away", get(move || async move { Redirect::temporary(&other_host) })).route(
        "/reached",
        any(|headers: HeaderMap, body: Bytes| async move { ([("received-host", headers["host"].clone())], body) }),
    );
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Creates a request that makes a customer's Worker fetch a URL through the outbound Worker.
fn fetch(url: &str) -> reqwest::RequestBuilder {
    Customer::new("outbound-caller").post(&format!("/?url={}", escaped(url)))
}

#[tokio::test]
async fn an_allowed_host_is_reached() {
    let address = host().await;
    let body = noise(2_000_000, 9);
    let request = fetch(&format!("http://{address}/reached?key=hush-outbound")).body(body.clone());
    let reply = Reply::to(request).await;
    assert_eq!((reply.status, reply.header("received-host")), (StatusCode::OK, &*address.to_string()), "{reply}");
    assert!(reply.body == body);
    let lines = log::lines(1, |line| line["host"] == "127.0.0.1" && line["status"] == 200).await;
    let mut line = lines[0].clone();
    let members = line.as_object_mut().expect("an object");
    assert!(members.remove("ms").is_some_and(|ms| ms.is_u64()));
    assert!(members.remove("requestId").is_some_and(|id| id.as_str().is_some_and(|id| !id.is_empty())));
    let expected = json!({
        "level": "info", "userId": "user1", "plan": "free", "method": "POST", "host": "127.0.0.1", "status": 200,
    });
    assert_eq!(line, expected);
    assert!(!log::text().contains("hush-outbound"), "the log has a query, which is customer data");
}

#[tokio::test]
async fn no_other_host_is_reached() {
    let port = host().await.port();
    for url in [
        format!("http://localhost:{port}/reached"),
        format!("http://127.0.0.2:{port}/reached"),
        format!("http://[::1]:{port}/reached"),
        format!("http://127.0.0.1@localhost:{port}/reached"),
        format!("http://localhost:{port}/127.0.0.1/reached"),
        format!("http://localhost:{port}/reached?127.0.0.1"),
        format!("http://localhost:{port}/reached#127.0.0.1"),
        "https://allowed.example/".to_owned(),
        "https://evilallowed.example/".to_owned(),
        "https://x.allowed.example.evil.example/".to_owned(),
    ] {
        let reply = Reply::to(fetch(&url)).await;
        assert_eq!((reply.status, &reply.json()["code"]), (StatusCode::FORBIDDEN, &"host_not_allowed".into()), "{url}");
    }
    let lines = log::lines(1, |line| line["host"] == "localhost" && line["status"] == 403).await;
    assert_eq!(lines[0]["userId"], Value::from("user1"));
    // Other spellings of an allowed host are allowed.
    for host in ["127.1", "2130706433", "0x7f.1", "127.0.0.1."] {
        let reply = Reply::to(fetch(&format!("http://{host}:{port}/reached"))).await;
        assert_eq!(reply.status, StatusCode::OK, "{host}: {reply}");
    }
}

/// If the outbound Worker followed redirects, they could lead to any host.
#[tokio::test]
async fn redirects_are_returned_and_not_followed() {
    let port = host().await.port();
    let caller = Customer::new("outbound-caller");
    let reply = Reply::to(caller.get(&format!("/?url={}", escaped(&format!("http://127.0.0.1:{port}/away"))))).await;
    assert_eq!(reply.status, StatusCode::TEMPORARY_REDIRECT, "{reply}");
    assert_eq!(reply.header("Location"), format!("http://localhost:{port}/reached"));
}

#[tokio::test]
async fn an_unreachable_host_is_a_502() {
    let unused = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = unused.local_addr().expect("an address");
    drop(unused);
    expect_problem(fetch(&format!("http://{address}/")), 502, "host_unreachable").await;
}
