//! Customers' records, plans, rate limits and limits of their Workers.

use http::StatusCode;
use serde_json::{Value, json};
use tests::token::{NEW_SECRET, claims_with, hs256, hs256_header, valid_token};
use tests::{Customer, Reply, escaped, expect_problem, expect_success, log};

/// Creates a client of the dispatcher with a `CUSTOMERS` namespace.
fn user(id: &str) -> Customer {
    Customer::behind("records", id)
}

/// Writes a customer's record.
async fn write_record(id: &str, record: impl ToString) {
    let records = Customer::new("records");
    let reply = Reply::to(records.put(&format!("/{id}")).body(record.to_string())).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{reply}");
}

/// Returns the arguments of `DISPATCHER.get` for a customer's request.
async fn dispatch_arguments(id: &str) -> Value {
    let mut received = expect_reached(id).await;
    json!([received["name"].take(), received["args"].take(), received["options"].take()])
}

/// Expects a customer's request to reach its Worker, and returns the request that it received.
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

/// `DISPATCHER.get` is called with exactly these arguments: script, `{}` and options.
#[tokio::test]
async fn a_record_sets_script_plan_and_limits() {
    let outbound = |id: &str, plan: &str| json!({"userId": id, "plan": plan});
    for (id, record, script, limits, plan) in [
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
        write_record(id, record).await;
        let options = json!({"limits": limits, "outbound": outbound(id, plan)});
        assert_eq!(dispatch_arguments(id).await, json!([script, {}, options]), "{id}");
    }
    // Without configuration the options are empty.
    let plain =
        Reply::to(Customer::behind("token", "user1").with_token(&tests::token::valid_token("user1")).get("/")).await;
    assert_eq!((&plain.json()["args"], &plain.json()["options"]), (&json!({}), &json!({})));
}

#[tokio::test]
async fn a_suspended_customer_is_refused_until_resumed() {
    write_record("suspended", json!({})).await;
    expect_reached("suspended").await;
    write_record("suspended", json!({"suspended": true})).await;
    for request in [user("suspended").get("/"), user("suspended").post("/files").body("x")] {
        expect_problem(request, 403, "customer_suspended").await;
    }
    write_record("suspended", json!({"suspended": false})).await;
    expect_reached("suspended").await;
}

/// A misspelt `suspended` must not let anybody in.
#[tokio::test]
async fn a_malformed_record_lets_nobody_in() {
    for record in [
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
        write_record("malformed", record).await;
        expect_problem(user("malformed").get("/"), 500, "internal_error").await;
    }
    let logged = log::lines(1, |line| line["userId"] == "malformed" && line["level"] == "error").await;
    assert_eq!(logged[0]["cause"], "the customer's record is malformed");
}

/// A default script would give all customers without a record the same customer's data.
#[tokio::test]
async fn the_default_record_may_not_set_a_script() {
    expect_problem(Customer::behind("broken-defaults", "user1").get("/"), 500, "internal_error").await;
}

#[tokio::test]
async fn unreadable_records_are_a_503() {
    let request = Customer::behind("broken-records", "user1").get("/");
    let reply = expect_problem(request, 503, "storage_unavailable").await;
    assert_eq!(reply.header("Retry-After"), "1");
    assert!(!reply.text().contains("stand-in"), "{reply}");
}

/// Sends requests until one is refused, and returns that reply. Panics after 25 requests.
async fn exhaust_rate_limit(id: &str) -> Reply {
    for _ in 0..25 {
        let reply = Reply::to(user(id).get("/")).await;
        if reply.status != StatusCode::OK {
            return reply;
        }
    }
    panic!("no request is refused");
}

#[tokio::test]
async fn a_rate_limited_customer_gets_retry_after_and_affects_no_other() {
    for id in ["rate-1", "rate-2", "rate-3"] {
        write_record(id, json!({"plan": if id == "rate-3" { "small-2" } else { "small" }})).await;
    }
    write_record("rate-4", json!({"plan": "large"})).await;
    let reply = exhaust_rate_limit("rate-1").await;
    assert_eq!((reply.status, &reply.json()["code"]), (StatusCode::TOO_MANY_REQUESTS, &"rate_limited".into()));
    assert_eq!(reply.header("Retry-After"), "60");
    // Other customers are counted separately: of the same plan, of another, and of one without a limit.
    for id in ["rate-2", "rate-3"] {
        for _ in 0..5 {
            expect_reached(id).await;
        }
    }
    for _ in 0..50 {
        expect_reached("rate-4").await;
    }
    assert_eq!(exhaust_rate_limit("rate-3").await.header("Retry-After"), "10");
    // Suspension is checked before the rate limit.
    write_record("rate-1", json!({"plan": "small", "suspended": true})).await;
    expect_problem(user("rate-1").get("/"), 403, "customer_suspended").await;
}

/// Failures of a rate limiter or a dataset are logged.
#[tokio::test]
async fn a_failing_rate_limiter_or_dataset_does_not_fail_requests() {
    let reply = Reply::to(Customer::behind("broken-rest", "beside").get("/")).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply}");
    for name in ["RATE_LIMIT_DEFAULT", "ANALYTICS"] {
        assert!(wait_for_log(&format!("{name} failed: the stand-in is broken")).await, "{name} is not in the log");
    }
}

/// Waits until a text is in the log. Returns whether it is there within 10 seconds.
async fn wait_for_log(text: &str) -> bool {
    for _ in 0..100 {
        if log::text().contains(text) {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test]
async fn a_worker_stopped_at_a_limit_is_a_503_and_one_that_throws_a_502() {
    write_record("limited", json!({})).await;
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

/// If several checks fail, the reply is that of the first.
#[tokio::test]
async fn checks_run_in_a_fixed_order() {
    let user = |id: &str, token: &str| Customer::behind("ordered", id).with_token(token);
    let (good, read) = (valid_token("ordered"), claims_with("ordered", json!({"scope": "read"})));
    let read = hs256(NEW_SECRET, &hs256_header(), &read);
    write_record("ordered", json!({"plan": "ordered", "suspended": true})).await;
    expect_problem(Customer::anonymous_behind("ordered").with_token("x").get("/"), 400, "missing_user_id").await;
    expect_problem(user("Ordered", "x").get("/"), 400, "invalid_user_id").await;
    expect_problem(user("nobody", "x").get("/"), 401, "invalid_token").await;
    expect_problem(user("nobody", &good).get("/"), 403, "user_mismatch").await;
    // The scope is checked before the record, the record before the rate limit, and that before the Worker runs.
    expect_problem(user("ordered", &read).post("/"), 403, "insufficient_scope").await;
    for _ in 0..30 {
        expect_problem(user("ordered", &good).post("/"), 403, "customer_suspended").await;
    }
    write_record("ordered", json!({"plan": "ordered"})).await;
    assert_eq!(
        Reply::to(user("ordered", &good).get("/")).await.status,
        StatusCode::OK,
        "refused requests do not count towards the rate limit"
    );
    let mut last = Reply::to(user("ordered", &good).get("/").header("Throw", "x")).await;
    for _ in 0..25 {
        last = Reply::to(user("ordered", &good).get("/").header("Throw", "x")).await;
    }
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS, "{last}");
    expect_problem(user("ordered", &read).post("/"), 403, "insufficient_scope").await;
    write_record("ordered", json!({"plan": "ordered", "suspended": true})).await;
    expect_problem(user("ordered", &good).get("/"), 403, "customer_suspended").await;
    let health = Customer::anonymous_behind("ordered").with_token("x").get("/healthz");
    assert_eq!(expect_success(health).await.json()["status"], "ok");
}

/// Cloudflare truncates log lines that are too long.
#[tokio::test]
async fn a_thrown_message_is_logged_up_to_1000_bytes() {
    write_record("loud", json!({})).await;
    let text = "é".repeat(2000);
    let request = user("loud").get("/").header("Throw", &escaped(&text)).header("X-Request-Id", "loud");
    expect_problem(request, 502, "customer_worker_failed").await;
    let logged = log::lines(1, |line| line["requestId"] == "loud" && line["cause"].is_string()).await;
    assert_eq!(logged[0]["cause"].as_str().expect("text").len(), 1000);
}
