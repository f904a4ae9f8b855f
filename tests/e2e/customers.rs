//! What the dispatcher knows of customers: records, plans and their rates, limits.

use http::StatusCode;
use serde_json::{Value, json};
use tests::token::{NEW, claims_with, good, hs256, hs256_header};
use tests::{Customer, Reply, escaped, expect_problem, expect_success, log};

/// A customer of the dispatcher that has records.
fn user(id: &str) -> Customer {
    Customer::behind("records", id)
}

/// Writes a customer's record as an operator does.
async fn record(id: &str, record: impl ToString) {
    let records = Customer::new("records");
    let reply = Reply::to(records.put(&format!("/{id}")).body(record.to_string())).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{reply}");
}

/// What `DISPATCHER.get` was called with.
async fn got(id: &str) -> Value {
    let mut got = expect_reached(id).await;
    json!([got["name"].take(), got["args"].take(), got["options"].take()])
}

async fn expect_reached(id: &str) -> Value {
    let reply = Reply::to(user(id).get("/")).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply}");
    reply.json()
}

#[tokio::test]
async fn a_customer_without_a_record_is_unknown() {
    for id in ["nobody", "user1", "constructor", "tostring"] {
        expect_problem(user(id).get("/"), 404, "unknown_user").await;
    }
}

/// The script, its arguments, and its options: exactly these, and none where there is nothing to say.
#[tokio::test]
async fn a_record_decides_script_and_limits() {
    let outbound = |id: &str, plan: &str| json!({"userId": id, "plan": plan});
    for (id, written, script, limits, plan) in [
        ("rec-empty", json!({}), "team-a-rec-empty", json!({"cpuMs": 50}), "free"),
        ("rec-script", json!({"script": "shared-script"}), "shared-script", json!({"cpuMs": 50}), "free"),
        ("rec-plan", json!({"plan": "pro"}), "team-a-rec-plan", json!({"cpuMs": 50}), "pro"),
        (
            "rec-limits",
            json!({"limits": {"subRequests": 7}, "suspended": false}),
            "team-a-rec-limits",
            json!({"cpuMs": 50, "subRequests": 7}),
            "free",
        ),
        (
            "rec-all",
            json!({"script": "s", "plan": "pro-2", "suspended": false, "limits": {"cpuMs": 10, "subRequests": 5}}),
            "s",
            json!({"cpuMs": 10, "subRequests": 5}),
            "pro-2",
        ),
        (
            "rec-nulls",
            json!({"script": null, "plan": null, "suspended": null, "limits": null}),
            "team-a-rec-nulls",
            json!({"cpuMs": 50}),
            "free",
        ),
    ] {
        record(id, written).await;
        let options = json!({"limits": limits, "outbound": outbound(id, plan)});
        assert_eq!(got(id).await, json!([script, {}, options]), "{id}");
    }
    // Where nothing is configured there is nothing in the options.
    let plain = Reply::to(Customer::behind("token", "user1").with_token(&tests::token::good("user1")).get("/")).await;
    assert_eq!((&plain.json()["args"], &plain.json()["options"]), (&json!({}), &json!({})));
}

#[tokio::test]
async fn a_suspended_customer_is_refused_until_it_is_resumed() {
    record("suspended", json!({})).await;
    expect_reached("suspended").await;
    record("suspended", json!({"suspended": true})).await;
    for request in [user("suspended").get("/"), user("suspended").post("/files").body("x")] {
        expect_problem(request, 403, "customer_suspended").await;
    }
    record("suspended", json!({"suspended": false})).await;
    expect_reached("suspended").await;
}

/// A misspelt `suspended` must not let anybody in.
#[tokio::test]
async fn a_malformed_record_lets_nobody_in() {
    for written in [
        "",
        "{",
        "null",
        "[]",
        r#"{"suspendd":true}"#,
        r#"{"suspended":"yes"}"#,
        r#"{"suspended":1}"#,
        r#"{"plan":"Pro"}"#,
        r#"{"plan":["pro"]}"#,
        r#"{"script":7}"#,
        r#"{"limits":{"cpuMs":"10"}}"#,
        r#"{"limits":{"cpuMs":0}}"#,
        r#"{"limits":{"cpuMs":1e99}}"#,
        r#"{"limits":{"cpums":10}}"#,
    ] {
        record("malformed", written).await;
        expect_problem(user("malformed").get("/"), 500, "internal_error").await;
    }
    let logged = log::lines(1, |line| line["userId"] == "malformed" && line["level"] == "error").await;
    assert_eq!(logged[0]["cause"], "the customer's record is malformed");
}

/// A script for all who have none would give them all one customer's data.
#[tokio::test]
async fn nobody_shares_a_script_by_default() {
    expect_problem(Customer::behind("broken-defaults", "user1").get("/"), 500, "internal_error").await;
}

#[tokio::test]
async fn records_that_cannot_be_read_are_a_problem_of_the_platform() {
    let request = Customer::behind("broken-records", "user1").get("/");
    let reply = expect_problem(request, 503, "storage_unavailable").await;
    assert_eq!(reply.header("Retry-After"), "1");
    assert!(!reply.text().contains("stand-in"), "{reply}");
}

/// Sends requests until one is refused, of which there must be one soon.
async fn exhaust(id: &str) -> Reply {
    for _ in 0..25 {
        let reply = Reply::to(user(id).get("/")).await;
        if reply.status != StatusCode::OK {
            return reply;
        }
    }
    panic!("there is no limit");
}

#[tokio::test]
async fn a_customer_at_its_limit_is_told_when_to_come_again_and_slows_nobody() {
    for id in ["rate-1", "rate-2", "rate-3"] {
        record(id, json!({"plan": if id == "rate-3" { "small-2" } else { "small" }})).await;
    }
    record("rate-4", json!({"plan": "large"})).await;
    let reply = exhaust("rate-1").await;
    assert_eq!((reply.status, &reply.json()["code"]), (StatusCode::TOO_MANY_REQUESTS, &"rate_limited".into()));
    assert_eq!(reply.header("Retry-After"), "60");
    // Others have a count of their own, of the same plan, of another, and of one without a limit.
    for id in ["rate-2", "rate-3"] {
        for _ in 0..5 {
            expect_reached(id).await;
        }
    }
    for _ in 0..50 {
        expect_reached("rate-4").await;
    }
    assert_eq!(exhaust("rate-3").await.header("Retry-After"), "10");
    // Who is suspended or unknown is told that, and what is refused before is not counted.
    record("rate-1", json!({"plan": "small", "suspended": true})).await;
    expect_problem(user("rate-1").get("/"), 403, "customer_suspended").await;
}

/// A limiter or a dataset that fails is no reason to refuse anybody.
#[tokio::test]
async fn what_fails_beside_a_request_does_not_fail_it() {
    let reply = Reply::to(Customer::behind("broken-rest", "beside").get("/")).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply}");
    for name in ["RATE_LIMIT_DEFAULT", "ANALYTICS"] {
        assert!(wait_for(&format!("{name} failed: the stand-in is broken")).await, "{name} is not in the log");
    }
}

async fn wait_for(text: &str) -> bool {
    for _ in 0..100 {
        if log::text().contains(text) {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test]
async fn a_worker_stopped_at_a_limit_is_told_from_one_that_throws() {
    record("limited", json!({})).await;
    for (thrown, status, code) in [
        ("Worker exceeded CPU time limit.", 503, "customer_worker_limit"),
        ("Worker exceeded memory limit.", 503, "customer_worker_limit"),
        ("Too many subrequests.", 503, "customer_worker_limit"),
        ("Too many subrequests by single Worker invocation.", 503, "customer_worker_limit"),
        ("Worker not found.", 404, "unknown_user"),
        ("password is hunter2", 502, "customer_worker_failed"),
        ("", 502, "customer_worker_failed"),
        ("the Worker exceeded CPU time limit.", 502, "customer_worker_failed"),
    ] {
        let id = format!("limit-{}-{}", status, thrown.len());
        let request = user("limited").get("/").header("Throw", thrown).header("X-Request-Id", &id);
        let reply = expect_problem(request, status, code).await;
        assert!(thrown.is_empty() || !reply.text().contains(thrown), "{reply}");
        if status > 500 {
            let logged = log::lines(1, |line| line["requestId"] == id.as_str() && line["cause"].is_string()).await;
            assert_eq!(
                (&logged[0]["cause"], &logged[0]["code"], &logged[0]["userId"]),
                (&thrown.into(), &code.into(), &"limited".into())
            );
        }
    }
}

/// The order of the checks: what comes first is what is told.
#[tokio::test]
async fn checks_come_in_their_order() {
    let user = |id: &str, token: &str| Customer::behind("ordered", id).with_token(token);
    let (good, read) = (good("ordered"), claims_with("ordered", json!({"scope": "read"})));
    let read = hs256(NEW, &hs256_header(), &read);
    record("ordered", json!({"plan": "ordered", "suspended": true})).await;
    expect_problem(Customer::nobody_behind("ordered").with_token("x").get("/"), 400, "missing_user_id").await;
    expect_problem(user("Ordered", "x").get("/"), 400, "invalid_user_id").await;
    expect_problem(user("nobody", "x").get("/"), 401, "invalid_token").await;
    expect_problem(user("nobody", &good).get("/"), 403, "user_mismatch").await;
    // The scope before the record, the record before the rate, the rate before the customer's Worker.
    expect_problem(user("ordered", &read).post("/"), 403, "insufficient_scope").await;
    for _ in 0..30 {
        expect_problem(user("ordered", &good).post("/"), 403, "customer_suspended").await;
    }
    record("ordered", json!({"plan": "ordered"})).await;
    assert_eq!(
        Reply::to(user("ordered", &good).get("/")).await.status,
        StatusCode::OK,
        "what was refused did not count"
    );
    let mut last = Reply::to(user("ordered", &good).get("/").header("Throw", "x")).await;
    for _ in 0..25 {
        last = Reply::to(user("ordered", &good).get("/").header("Throw", "x")).await;
    }
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS, "{last}");
    expect_problem(user("ordered", &read).post("/"), 403, "insufficient_scope").await;
    record("ordered", json!({"plan": "ordered", "suspended": true})).await;
    expect_problem(user("ordered", &good).get("/"), 403, "customer_suspended").await;
    let health = Customer::nobody_behind("ordered").with_token("x").get("/healthz");
    assert_eq!(expect_success(health).await.json()["status"], "ok");
}

/// A log line that is too long would be cut off.
#[tokio::test]
async fn what_a_worker_throws_is_logged_up_to_a_limit() {
    record("loud", json!({})).await;
    let text = "é".repeat(2000);
    let request = user("loud").get("/").header("Throw", &escaped(&text)).header("X-Request-Id", "loud");
    expect_problem(request, 502, "customer_worker_failed").await;
    let logged = log::lines(1, |line| line["requestId"] == "loud" && line["cause"].is_string()).await;
    assert_eq!(logged[0]["cause"].as_str().expect("text").len(), 1000);
}
