//! The dispatcher: user ids, forwarding, request ids and problems.

use http::{HeaderValue, Method, StatusCode};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tests::{Customer, Reply, client, expect_json, expect_problem, expect_success, log, noise, platform_url, token};

fn get(path: &str) -> RequestBuilder {
    client().get(format!("{}{path}", platform_url()))
}

/// Returns the request that the customer's Worker `echo` received, which is in a header of its reply.
fn received_request(reply: &Reply) -> Value {
    serde_json::from_str(reply.header("Echo")).expect("JSON")
}

#[tokio::test]
async fn healthz_needs_no_user_id() {
    let version = env!("CARGO_PKG_VERSION");
    for request in [
        get("/healthz"),
        get("/healthz?x=1").header("X-User-ID", "User1"),
        Customer::new("user1").get("/healthz"),
        // This dispatcher has no version metadata, and its authentication is not configured.
        Customer::anonymous_behind("unconfigured").get("/healthz"),
    ] {
        let mut health = expect_success(request).await.json();
        if let Some(deployment) = health.as_object_mut().expect("an object").remove("deployment") {
            for member in ["id", "tag", "timestamp"] {
                assert!(deployment[member].is_string(), "{member} in {deployment}");
            }
        }
        assert_eq!(health, json!({"status": "ok", "worker": "dispatcher", "version": version}));
    }
    let head = Reply::to(client().head(format!("{}/healthz", platform_url()))).await;
    assert_eq!((head.status, &*head.body), (StatusCode::OK, &b""[..]));
    for request in [client().post(format!("{}/healthz", platform_url())), Customer::new("user1").delete("/healthz")] {
        let reply = expect_problem(request, 405, "method_not_allowed").await;
        assert_eq!(reply.header("Allow"), "GET, HEAD");
    }
    expect_problem(get("/healthz/x"), 400, "missing_user_id").await;
}

#[tokio::test]
async fn a_request_without_a_user_id_is_refused() {
    for path in ["/", "/files?key=a", "/data", "/stats", "/nothing"] {
        expect_problem(get(path), 400, "missing_user_id").await;
    }
}

#[tokio::test]
async fn a_malformed_user_id_is_refused() {
    let too_long = "x".repeat(49);
    for id in [
        "",
        "User1",
        "USER1",
        "a_b",
        "../x",
        "a b",
        "a.b",
        "user1/",
        "-a",
        "a-",
        "user1,user2",
        "user1;",
        "%75ser1",
        "*",
        &too_long,
    ] {
        expect_problem(get("/").header("X-User-ID", id), 400, "invalid_user_id").await;
    }
    for bytes in [&b"us\xc3\xa9r"[..], b"\xef\xbd\x81", b"user1\xff", b"\xe9", b"user1\t\xa0"] {
        let id = HeaderValue::from_bytes(bytes).expect("a header may hold it");
        expect_problem(get("/").header("X-User-ID", id), 400, "invalid_user_id").await;
    }
    for ids in [["user1", "user2"], ["user1", "user1"], ["user1", ""], ["", "user1"]] {
        let request = ids.iter().fold(get("/"), |request, id| request.header("X-User-ID", *id));
        expect_problem(request, 400, "invalid_user_id").await;
    }
}

#[tokio::test]
async fn an_unknown_user_is_not_found() {
    // Some of these are properties of every JavaScript object.
    for id in [
        "nobody",
        "user3",
        "constructor",
        "tostring",
        "valueof",
        "get",
        "fetch",
        "user1-",
        "customer-user1",
        "dispatcher",
    ] {
        let code = if id.ends_with('-') { (400, "invalid_user_id") } else { (404, "unknown_user") };
        expect_problem(Customer::new(id).get("/"), code.0, code.1).await;
    }
    // Cloudflare's namespace may report a missing script at the first call rather than at `get`.
    expect_problem(Customer::new("throws").get("/worker-not-found"), 404, "unknown_user").await;
}

#[tokio::test]
async fn a_throwing_customer_worker_is_a_502_that_reveals_nothing() {
    let reply = expect_problem(Customer::new("throws").get("/"), 502, "customer_worker_failed").await;
    assert!(!reply.text().contains("hunter2"), "{reply}");
    // The next request and other customers are still served.
    expect_problem(Customer::new("throws").post("/").body("x"), 502, "customer_worker_failed").await;
    assert_eq!(Reply::to(Customer::new("user1").get("/")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_missing_namespace_is_logged_and_not_revealed() {
    let request = Customer::behind("unbound", "user1").get("/").header("X-Request-Id", "unbound");
    expect_problem(request, 500, "internal_error").await;
    let logged = log::lines(1, |line| line["requestId"] == "unbound" && line["cause"].is_string()).await;
    assert_eq!(logged[0]["cause"], "DISPATCHER is not bound");
}

#[tokio::test]
async fn every_problem_reads_as_documented() {
    let mut replies = String::new();
    let (user, other) = (Customer::behind("token", "user1"), Customer::behind("token", "user2"));
    let (valid, without_scope) = (token::valid_token("user1"), token::claims_with("user1", json!({"scope": ""})));
    let without_scope = token::hs256(token::NEW_SECRET, &token::hs256_header(), &without_scope);
    let limit = "Too many subrequests.";
    for request in [
        get("/"),
        get("/").header("X-User-ID", "A"),
        user.get("/"),
        user.clone().with_token("x").get("/"),
        other.clone().with_token(&valid).get("/"),
        user.clone().with_token(&without_scope).put("/"),
        Customer::behind("unconfigured", "user1").get("/"),
        Customer::new("nobody").get("/"),
        Customer::new("throws").get("/"),
        user.clone().with_token(&valid).get("/").header("Throw", limit),
    ] {
        replies += &Reply::to(request.header("X-Request-Id", "test")).await.to_string();
    }
    insta::assert_snapshot!(replies);
}

#[tokio::test]
async fn a_request_is_forwarded_unchanged() {
    let echo = Customer::new("echo");
    let method = Method::from_bytes(b"PATCH").expect("a method");
    let request = echo.request(method, "/a/%2e%2fb?q=%20+x&q").header("X-Request-Id", "mine").header("Accept", "x/y");
    let reply = Reply::to(request.header("Content-Type", "a/b").body("body")).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::OK, "body"));
    let received = received_request(&reply);
    assert_eq!(
        (&received["method"], &received["pathname"], &received["search"]),
        (&"PATCH".into(), &"/a/%2e%2fb".into(), &"?q=%20+x&q".into())
    );
    for (name, value) in [
        ("x-user-id", "echo"),
        ("x-request-id", "mine"),
        ("accept", "x/y"),
        ("content-type", "a/b"),
        ("content-length", "4"),
    ] {
        assert_eq!(received["headers"][name], value, "{name}");
    }
}

#[tokio::test]
async fn a_request_without_a_request_id_gets_one_and_keeps_its_body() {
    let echo = Customer::new("echo");
    let body = noise(50_000_000, 2);
    let reply = Reply::to(echo.post("/").body(body.clone())).await;
    assert!(reply.body == body, "{} bytes came back", reply.body.len());
    let headers = received_request(&reply)["headers"].clone();
    assert_eq!(headers["x-request-id"].as_str().expect("an id").len(), 36);
    assert_eq!(headers["content-length"], "50000000");
    assert_ne!(headers["x-request-id"], received_request(&Reply::to(echo.get("/")).await)["headers"]["x-request-id"]);
}

#[tokio::test]
async fn problems_of_both_workers_carry_the_request_id() {
    let (ray, id) = (("CF-Ray", "8a9b0c1d2e3f4a5b-AMS"), ("X-Request-Id", "0191b0d5:my/id"));
    for (headers, expected) in [
        (&[ray][..], Some(ray.1)),
        (&[id], Some(id.1)),
        (&[id, ray], Some(ray.1)),
        (&[("X-Request-Id", "not well formed")], None),
        (&[("X-Request-Id", "")], None),
        (&[("X-Request-Id", "a"), ("X-Request-Id", "b")], None),
        (&[], None),
    ] {
        let problems = [get("/"), Customer::new("nobody").get("/"), Customer::new("user1").get("/nothing")];
        for request in problems {
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let reply = Reply::to(request).await;
            let request_id = reply.json()["requestId"].as_str().expect("an id").to_owned();
            match expected {
                Some(expected) => assert_eq!(request_id, expected, "{headers:?}"),
                None => assert_eq!(request_id.len(), 36, "{headers:?}: {reply}"),
            }
        }
        // The customer's Worker receives the same id.
        let request = Customer::new("echo").get("/");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let sent = received_request(&Reply::to(request).await)["headers"].clone();
        match expected {
            Some(expected) => assert!([&sent["cf-ray"], &sent["x-request-id"]].contains(&&expected.into()), "{sent}"),
            None => assert_eq!(sent["x-request-id"].as_str().expect("an id").len(), 36, "{sent}"),
        }
    }
}

/// Several platforms may share a dispatch namespace, each with a prefix of its own.
#[tokio::test]
async fn script_names_may_have_a_prefix() {
    let (prefixed, user2) = (Customer::new("prefixed"), Customer::new("user2"));
    expect_success(prefixed.post_json("/data", r#"{"key":"prefixed","value":1}"#)).await;
    expect_json(user2.get("/data?key=prefixed"), json!({"key": "prefixed", "value": 1})).await;
}
