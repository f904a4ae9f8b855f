//! Where customers' Workers may go. That what a Worker fetches comes to the outbound Worker at all is Cloudflare's, and cannot
//! be shown here; what that Worker does with it can.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Redirect;
use axum::routing::{any, get};
use http::StatusCode;
use serde_json::{Value, json};
use tests::{Customer, Reply, escaped, expect_problem, log, noise};

/// A host on the internet, as far as the outbound Worker knows.
async fn host() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let elsewhere = format!("http://localhost:{}/reached", address.port());
    let router = Router::new().route("/away", get(move || async move { Redirect::temporary(&elsewhere) })).route(
        "/reached",
        any(|headers: HeaderMap, body: Bytes| async move { ([("asked", headers["host"].clone())], body) }),
    );
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn fetch(url: &str) -> reqwest::RequestBuilder {
    Customer::new("outbound-caller").post(&format!("/?url={}", escaped(url)))
}

#[tokio::test]
async fn a_host_on_the_list_is_reached() {
    let address = host().await;
    let body = noise(2_000_000, 9);
    let request = fetch(&format!("http://{address}/reached?key=hush-outbound")).body(body.clone());
    let reply = Reply::to(request).await;
    assert_eq!((reply.status, reply.header("asked")), (StatusCode::OK, &*address.to_string()), "{reply}");
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
    assert!(!log::text().contains("hush-outbound"), "what is in a URL is the customer's own");
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
    // The same host in other words is the same host.
    for host in ["127.1", "2130706433", "0x7f.1", "127.0.0.1."] {
        let reply = Reply::to(fetch(&format!("http://{host}:{port}/reached"))).await;
        assert_eq!(reply.status, StatusCode::OK, "{host}: {reply}");
    }
}

/// Followed by the outbound Worker itself, a redirect would lead anywhere.
#[tokio::test]
async fn a_redirect_is_not_followed_past_the_list() {
    let port = host().await.port();
    let caller = Customer::new("outbound-caller");
    let reply = Reply::to(caller.get(&format!("/?url={}", escaped(&format!("http://127.0.0.1:{port}/away"))))).await;
    assert_eq!(reply.status, StatusCode::TEMPORARY_REDIRECT, "{reply}");
    assert_eq!(reply.header("Location"), format!("http://localhost:{port}/reached"));
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_said_to_be_so() {
    let unused = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = unused.local_addr().expect("an address");
    drop(unused);
    expect_problem(fetch(&format!("http://{address}/")), 502, "host_unreachable").await;
}
