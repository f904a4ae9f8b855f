//! What is taken, but not as a script may expect: bindings that are not there on one machine, and counters that others share.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::api::{expect_result, text};
use tests::{Customer, Dev, LocalApi, Reply};

use super::Platform;

/// What the reply to an upload says besides.
async fn messages(api: &LocalApi, script: &str, source: &str, metadata: Value) -> Vec<String> {
    let reply = Reply::to(api.upload(script, source, metadata)).await;
    assert_eq!(reply.status, 200, "{reply}");
    let messages = reply.json()["messages"].as_array().expect("a list").clone();
    messages.iter().map(|one| one["message"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn what_is_not_there_is_said_at_each_start_and_when_a_customer_is_shown() {
    let platform = Platform::start(&[]).await;
    let script = "export default { fetch(_, env) { return Response.json(Object.keys(env)); } };";
    let bindings = json!({"bindings": [
        {"type": "ai", "name": "AI"},
        {"type": "service", "name": "OTHER", "service": "billing"},
        {"type": "plain_text", "name": "TEXT", "text": "x"},
    ]});
    let expected = ["env.AI is not there locally: ", "env.OTHER is not there locally: "];
    let said = messages(&platform.api, "user3", script, bindings).await;
    assert!(said.len() == 2 && expected.iter().zip(&said).all(|(start, said)| said.starts_with(start)), "{said:?}");
    assert_eq!(Reply::to(platform.customer("user3").get("/")).await.json(), json!(["TEXT"]));

    let folder = platform.state.path().to_str().expect("UTF-8").to_owned();
    let show = async |id: &str, more: &[&str]| {
        let arguments = [&["customer", "show", id, "--local", "--state", &folder], more].concat();
        let output = platform.api.platform(&arguments).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let shown = show("user3", &[]).await;
    assert!(said.iter().all(|sentence| shown.contains(sentence)), "{shown}");
    let shown: Value = serde_json::from_str(&show("user3", &["--json"]).await).expect("JSON");
    assert_eq!(shown["messages"], json!(said));
    assert!(!show("user1", &[]).await.contains("not there locally"));

    assert!(platform.dev.stop_and_get_stderr().await.contains(&format!("user3: {}", said[0])), "at the upload");
    for _ in 0..2 {
        let started = Dev::start(platform.state.path(), &[]).await.stop_and_get_stderr().await;
        assert!(said.iter().all(|sentence| started.contains(&format!("user3: {sentence}"))), "{started}");
        assert!(!started.contains("user1:") && !started.contains("TEXT"), "{started}");
    }
}

/// Calls the limiter of a script so often, and answers how often it was within its limit.
async fn count(customer: &Customer, key: &str, times: usize) -> usize {
    let mut within = 0;
    for _ in 0..times {
        let reply = Reply::to(customer.get(&format!("/?key={key}"))).await.json();
        within += usize::from(reply["success"].as_bool().expect("an outcome"));
    }
    within
}

#[tokio::test]
async fn scripts_that_name_one_rate_limiter_namespace_count_together_and_are_told_so() {
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
    let said = messages(api, "two", script, limiter("77")).await;
    assert!(said.len() == 1 && said[0].contains("env.LIMIT") && said[0].contains("the script one"), "{said:?}");
    // A change of the script itself is none of another's.
    assert_eq!(messages(api, "other", script, limiter("78")).await, [""; 0]);

    let [one, two, other] = ["one", "two", "other"].map(|id| platform.customer(id));
    expect_result(api.get("/workers/dispatch/namespaces")).await;
    Reply::to(two.get("/?key=first")).await;
    let window = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs() / PERIOD;
    // Counters start anew with each window, which none of the tries may see the end of.
    for at in 0..3 {
        let (key, before) = (format!("key{at}"), window());
        let counted = [count(&one, &key, 3).await, count(&two, &key, 2).await, count(&other, &key, 4).await];
        if before == window() {
            assert_eq!(counted, [3, 0, 3]);
            return;
        }
    }
    panic!("no window was long enough");
}
