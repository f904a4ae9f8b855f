//! The log, data points, and the ids that connect them.

use std::collections::BTreeSet;

use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tests::token::{NEW_SECRET, claims_with, hs256, hs256_header, valid_token};
use tests::{Customer, Reply, chunked, log};

/// Sends a request with a unique request id, and returns the line that the dispatcher under test logs for it. For
/// requests through `gate`, that is not the line of the first dispatcher.
async fn logged(request: RequestBuilder, id: &str) -> Value {
    Reply::to(request.header("X-Request-Id", id)).await;
    let lines =
        log::lines(1, |line| line["requestId"] == id && !line["route"].is_null() && line["userId"] != "gate").await;
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines.into_iter().next().expect("a line")
}

#[tokio::test]
async fn each_request_is_one_log_line() {
    let user = Customer::new("user1");
    let put = logged(user.put("/files?key=telemetry").body("12345"), "log-put").await;
    assert!(put["ms"].is_u64(), "{put}");
    let version = env!("CARGO_PKG_VERSION");
    let expected = json!({
        "level": "info", "requestId": "log-put", "userId": "user1", "plan": "default", "route": "/files", "method": "PUT",
        "status": 200, "ms": put["ms"], "bytesIn": 5, "version": version,
    });
    assert_eq!(put, expected);
    let get = logged(user.get("/files?key=telemetry"), "log-get").await;
    assert_eq!((&get["status"], &get["bytesOut"], &get["bytesIn"]), (&200.into(), &5.into(), &Value::Null));
    let head = logged(user.head("/files?key=telemetry"), "log-head").await;
    assert_eq!(head["bytesOut"], Value::Null, "{head}");
    let not_modified = logged(user.get("/files?key=telemetry").header("If-None-Match", "*"), "log-304").await;
    assert_eq!(not_modified["status"], 304);

    for (request, id, expected) in [
        (user.get("/stats"), "log-stats", json!(["info", "/stats", "GET", 200, null])),
        (user.post("/data").body(chunked("{")), "log-data", json!(["info", "/data", "POST", 415, null])),
        (user.get("/secret/path"), "log-other", json!(["info", "other", "GET", 404, null])),
        (Customer::new("nobody").get("/"), "log-unknown", json!(["info", "/", "GET", 404, "unknown_user"])),
        (
            Customer::new("A").get("/db/query"),
            "log-invalid",
            json!(["info", "/db/query", "GET", 400, "invalid_user_id"]),
        ),
        (Customer::new("throws").get("/"), "log-throws", json!(["error", "/", "GET", 502, "customer_worker_failed"])),
        (
            user.request(Method::PUT, "/healthz"),
            "log-health",
            json!(["info", "/healthz", "PUT", 405, "method_not_allowed"]),
        ),
    ] {
        let line = logged(request, id).await;
        let members = json!([line["level"], line["route"], line["method"], line["status"], line["code"]]);
        assert_eq!(members, expected, "{line}");
        assert_eq!(line["level"] == "error", line["cause"].is_string(), "{line}");
    }
    let unknown = logged(Customer::new("A").get("/"), "log-no-user").await;
    assert_eq!(unknown.get("userId"), None, "an invalid user id is logged");
}

/// Keys, values, headers, paths, SQL and tokens must not be in the log.
#[tokio::test]
async fn no_customer_data_and_no_token_is_logged() {
    let (user, secret) = (Customer::new("user1"), "hush-3f9a1c");
    for (index, request) in [
        user.put(&format!("/files?key={secret}")).header("Content-Disposition", secret).body(secret),
        user.get(&format!("/files?key={secret}")),
        user.post_json("/data", json!({"key": secret, "value": secret, "metadata": {"a": secret}}).to_string()),
        user.get(&format!("/data?key={secret}")),
        user.get(&format!("/data?prefix={secret}")),
        user.get(&format!("/{secret}")),
        user.get(&format!("/files/{secret}?x={secret}")).header("Cookie", secret).header("X-Anything", secret),
        user.post_json("/db/query", json!({"sql": format!("SELECT '{secret}'")}).to_string()),
        user.get("/").header("Authorization", format!("Bearer {secret}")),
        user.get("/").header("X-User-ID", secret),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("hush-{index}");
        Reply::to(request.header("X-Request-Id", &id)).await;
        log::lines(1, |line| line["requestId"] == id.as_str()).await;
    }
    let (valid, expired) =
        (valid_token("user1"), hs256(NEW_SECRET, &hs256_header(), &claims_with("user1", json!({"exp": 1}))));
    for (id, token) in [("hush-good", &valid), ("hush-bad", &expired)] {
        logged(Customer::behind("token", "user1").with_token(token).get("/"), id).await;
    }
    let log = log::text();
    for secret in [secret, &*valid, &*expired] {
        assert!(!log.contains(secret), "the log contains {secret}");
    }
}

#[tokio::test]
async fn each_request_is_a_data_point_if_a_dataset_is_bound() {
    Reply::to(Customer::new("records").put("/measured").body(r#"{"plan":"pro"}"#)).await;
    let user = Customer::behind("records", "measured");
    Reply::to(user.post("/data").body("12345678")).await;
    Reply::to(user.get("/").header("Throw", "x")).await;
    let points = log::lines(2, |line| line["dataPoint"]["indexes"] == json!(["measured"])).await;
    let version = env!("CARGO_PKG_VERSION");
    let points: Vec<Value> = points
        .iter()
        .map(|line| {
            let point = &line["dataPoint"];
            assert_eq!(point.as_object().expect("an object").len(), 3, "{point}");
            let doubles = point["doubles"].as_array().expect("numbers");
            assert!(doubles.len() == 4 && doubles.iter().all(Value::is_number), "{point}");
            json!([point["blobs"], doubles[1..3]])
        })
        .collect();
    assert!(points.contains(&json!([["/data", "POST", "", "pro", version], [200, 8]])), "{points:?}");
    assert!(points.contains(&json!([["/", "GET", "customer_worker_failed", "pro", version], [502, 0]])), "{points:?}");
    // A request without a customer has no index.
    Reply::to(Customer::anonymous_behind("records").get("/healthz")).await;
    let points = log::lines(1, |line| line["dataPoint"]["blobs"][0] == "/healthz").await;
    assert_eq!(points[0]["dataPoint"]["indexes"], json!([""]));
}

#[tokio::test]
async fn trace_headers_reach_the_customer_worker() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (user, echoed) in
        [(Customer::new("echo"), true), (Customer::behind("token", "user1").with_token(&valid_token("user1")), false)]
    {
        let reply = Reply::to(user.get("/").header("traceparent", parent).header("tracestate", "a=1")).await;
        let received = if echoed { serde_json::from_str(reply.header("Echo")).expect("JSON") } else { reply.json() };
        let headers: &Value = &received["headers"];
        assert_eq!((&headers["traceparent"], &headers["tracestate"]), (&parent.into(), &"a=1".into()), "{received}");
    }
}

/// docs/operations.md describes all members that a line may have.
#[tokio::test]
async fn every_member_of_a_log_line_is_documented() {
    let docs = include_str!("../../docs/operations.md");
    for request in [
        Customer::new("throws").get("/"),
        Customer::new("user1").put("/files?key=log-members").body("x"),
        Customer::new("user1").get("/files?key=log-members"),
    ] {
        Reply::to(request.header("X-Request-Id", "log-members")).await;
    }
    let lines = log::lines(3, |line| line["requestId"] == "log-members" && !line["route"].is_null()).await;
    let members: BTreeSet<&String> =
        lines.iter().flat_map(|line| line.as_object().expect("an object").keys()).collect();
    assert_eq!(members.len(), 13, "{members:?}");
    for member in members {
        assert!(docs.contains(&format!("`{member}`")), "{member}");
    }
}
