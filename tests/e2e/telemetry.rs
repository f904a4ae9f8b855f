//! What happened: the log, data points, and what ties them together.

use std::collections::BTreeSet;

use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tests::token::{NEW, claims_with, good, hs256, hs256_header};
use tests::{Customer, Reply, chunked, log};

/// Sends a request under an id of its own, and answers the one line that the dispatcher under test logs for it: the one that
/// it reaches last.
async fn logged(request: RequestBuilder, id: &str) -> Value {
    Reply::to(request.header("X-Request-Id", id)).await;
    let lines =
        log::lines(1, |line| line["requestId"] == id && !line["route"].is_null() && line["userId"] != "gate").await;
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines.into_iter().next().expect("one")
}

#[tokio::test]
async fn each_request_is_one_line() {
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
        let found = json!([line["level"], line["route"], line["method"], line["status"], line["code"]]);
        assert_eq!(found, expected, "{line}");
        assert_eq!(line["level"] == "error", line["cause"].is_string(), "{line}");
    }
    let unknown = logged(Customer::new("A").get("/"), "log-no-user").await;
    assert_eq!(unknown.get("userId"), None, "only what is a user id is logged as one");
}

/// Neither what is the customer's own nor a token is ever written down.
#[tokio::test]
async fn nothing_of_the_customers_and_no_token_is_logged() {
    let (user, secret) = (Customer::new("user1"), "hush-3f9a1c");
    for (at, request) in [
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
        let id = format!("hush-{at}");
        Reply::to(request.header("X-Request-Id", &id)).await;
        log::lines(1, |line| line["requestId"] == id.as_str()).await;
    }
    let (good, bad) = (good("user1"), hs256(NEW, &hs256_header(), &claims_with("user1", json!({"exp": 1}))));
    for (id, token) in [("hush-good", &good), ("hush-bad", &bad)] {
        logged(Customer::behind("token", "user1").with_token(token).get("/"), id).await;
    }
    let log = log::text();
    for secret in [secret, &*good, &*bad] {
        assert!(!log.contains(secret), "the log has {secret}");
    }
}

#[tokio::test]
async fn each_request_is_a_data_point_where_a_dataset_is_bound() {
    Reply::to(Customer::new("records").put("/measured").body(r#"{"plan":"pro"}"#)).await;
    let user = Customer::behind("records", "measured");
    Reply::to(user.post("/data").body("12345678")).await;
    Reply::to(user.get("/").header("Throw", "x")).await;
    let points = log::lines(2, |line| line["dataPoint"]["indexes"] == json!(["measured"])).await;
    let version = env!("CARGO_PKG_VERSION");
    let found: Vec<Value> = points
        .iter()
        .map(|line| {
            let point = &line["dataPoint"];
            assert_eq!(point.as_object().expect("an object").len(), 3, "{point}");
            let doubles = point["doubles"].as_array().expect("numbers");
            assert!(doubles.len() == 4 && doubles.iter().all(Value::is_number), "{point}");
            json!([point["blobs"], doubles[1..3]])
        })
        .collect();
    assert!(found.contains(&json!([["/data", "POST", "", "pro", version], [200, 8]])), "{found:?}");
    assert!(found.contains(&json!([["/", "GET", "customer_worker_failed", "pro", version], [502, 0]])), "{found:?}");
    // A request for nobody has no customer to count it for.
    Reply::to(Customer::nobody_behind("records").get("/healthz")).await;
    let points = log::lines(1, |line| line["dataPoint"]["blobs"][0] == "/healthz").await;
    assert_eq!(points[0]["dataPoint"]["indexes"], json!([""]));
}

#[tokio::test]
async fn a_trace_goes_on_in_the_customers_worker() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (user, echoed) in
        [(Customer::new("echo"), true), (Customer::behind("token", "user1").with_token(&good("user1")), false)]
    {
        let reply = Reply::to(user.get("/").header("traceparent", parent).header("tracestate", "a=1")).await;
        let asked = if echoed { serde_json::from_str(reply.header("Echo")).expect("JSON") } else { reply.json() };
        let headers: &Value = &asked["headers"];
        assert_eq!((&headers["traceparent"], &headers["tracestate"]), (&parent.into(), &"a=1".into()), "{asked}");
    }
}

/// docs/operations.md names all that a line may have.
#[tokio::test]
async fn the_log_has_no_other_members_than_documented() {
    let docs = include_str!("../../docs/operations.md");
    for request in [
        Customer::new("throws").get("/"),
        Customer::new("user1").put("/files?key=log-members").body("x"),
        Customer::new("user1").get("/files?key=log-members"),
    ] {
        Reply::to(request.header("X-Request-Id", "log-members")).await;
    }
    let lines = log::lines(3, |line| line["requestId"] == "log-members" && !line["route"].is_null()).await;
    let members: BTreeSet<&String> = lines.iter().flat_map(|line| line.as_object().expect("one").keys()).collect();
    assert_eq!(members.len(), 13, "{members:?}");
    for member in members {
        assert!(docs.contains(&format!("`{member}`")), "{member}");
    }
}
