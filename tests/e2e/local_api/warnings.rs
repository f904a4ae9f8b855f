//! Warnings about accepted uploads: bindings that do not exist locally, and rate limiters that scripts share.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::api::{expect_result, text};
use tests::{Customer, Dev, LocalApi, Reply};

use super::Platform;

/// Uploads a script, and returns the messages of the reply.
async fn messages(api: &LocalApi, script: &str, source: &str, metadata: Value) -> Vec<String> {
    let reply = Reply::to(api.upload(script, source, metadata)).await;
    assert_eq!(reply.status, 200, "{reply}");
    let messages = reply.json()["messages"].as_array().expect("a list").clone();
    messages.iter().map(|message| message["message"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn missing_bindings_are_reported_at_each_start_and_by_show() {
    let platform = Platform::start(&[]).await;
    let script = "export default { fetch(_, env) { return Response.json(Object.keys(env)); } };";
    let bindings = json!({"bindings": [
        {"type": "ai", "name": "AI"},
        {"type": "service", "name": "OTHER", "service": "billing"},
        {"type": "plain_text", "name": "TEXT", "text": "x"},
    ]});
    let expected = ["env.AI is not there locally: ", "env.OTHER is not there locally: "];
    let warnings = messages(&platform.api, "user3", script, bindings).await;
    let is_expected = expected.iter().zip(&warnings).all(|(start, warning)| warning.starts_with(start));
    assert!(warnings.len() == 2 && is_expected, "{warnings:?}");
    assert_eq!(Reply::to(platform.customer("user3").get("/")).await.json(), json!(["TEXT"]));

    let folder = platform.state.path().to_str().expect("UTF-8").to_owned();
    let show = async |id: &str, more: &[&str]| {
        let arguments = [&["customer", "show", id, "--local", "--state", &folder], more].concat();
        let output = platform.api.platform(&arguments).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let shown = show("user3", &[]).await;
    assert!(warnings.iter().all(|warning| shown.contains(warning)), "{shown}");
    let shown: Value = serde_json::from_str(&show("user3", &["--json"]).await).expect("JSON");
    assert_eq!(shown["messages"], json!(warnings));
    assert!(!show("user1", &[]).await.contains("not there locally"));

    assert!(platform.dev.stop_and_get_stderr().await.contains(&format!("user3: {}", warnings[0])), "at the upload");
    for _ in 0..2 {
        let started = Dev::start(platform.state.path(), &[]).await.stop_and_get_stderr().await;
        assert!(warnings.iter().all(|warning| started.contains(&format!("user3: {warning}"))), "{started}");
        assert!(!started.contains("user1:") && !started.contains("TEXT"), "{started}");
    }
}

/// Calls a script's rate limiter a number of times, and returns how many calls were within the limit.
async fn count(customer: &Customer, key: &str, times: usize) -> usize {
    let mut within = 0;
    for _ in 0..times {
        let reply = Reply::to(customer.get(&format!("/?key={key}"))).await.json();
        within += usize::from(reply["success"].as_bool().expect("a boolean"));
    }
    within
}

#[tokio::test]
async fn scripts_that_share_a_rate_limiter_namespace_are_warned() {
    const PERIOD: u64 = 60;
    let platform = Platform::start(&[]).await;
    let script = "export default { async fetch(request, env) {
        return Response.json(await env.LIMIT.limit({ key: new URL(request.url).searchParams.get('key') }));
    } };";
    let limiter = |id: &str| {
        let simple = json!({"limit": 3, "period": PERIOD});
        json!({"bindings": [{"type": "ratelimit", "name": "LIMIT", "namespace_id": id, "simple": simple}]})
    };
    let api = &platform.api;
    assert_eq!(messages(api, "one", script, limiter("77")).await, [""; 0]);
    assert_eq!(messages(api, "other", script, limiter("78")).await, [""; 0]);
    let warnings = messages(api, "two", script, limiter("77")).await;
    let names = ["env.LIMIT", "the script one"];
    assert!(warnings.len() == 1 && names.iter().all(|name| warnings[0].contains(name)), "{warnings:?}");
    // A script that is uploaded again does not share a namespace with itself.
    assert_eq!(messages(api, "other", script, limiter("78")).await, [""; 0]);

    let [one, two, other] = ["one", "two", "other"].map(|id| platform.customer(id));
    expect_result(api.get("/workers/dispatch/namespaces")).await;
    Reply::to(two.get("/?key=first")).await;
    let window = || SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_secs() / PERIOD;
    // Counters start at zero in each window, so an attempt counts only if no window ends during it.
    for at in 0..3 {
        let (key, before) = (format!("key{at}"), window());
        let counted = [count(&one, &key, 3).await, count(&two, &key, 2).await, count(&other, &key, 4).await];
        if before == window() {
            assert_eq!(counted, [3, 0, 3]);
            return;
        }
    }
    panic!("a window ended during each attempt");
}
