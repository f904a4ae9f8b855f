//! `PATCH .../secrets-bulk`, the request of the SDKs' `bulkUpdate`.

use http::Method;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tests::api::{SCRIPTS, expect_error, expect_result};
use tests::{Customer, Dev, LocalApi, Reply};

const SOURCE: &str = "export default { fetch(_, env) { return Response.json(env); } };";

fn secret(name: &str, text: &str) -> Value {
    json!({ "type": "secret_text", "name": name, "text": text })
}

fn bulk(api: &LocalApi, script: &str, secrets: &Value) -> reqwest::RequestBuilder {
    let body = json!({ "secrets": secrets }).to_string();
    api.request(Method::PATCH, &format!("{SCRIPTS}/{script}/secrets-bulk")).body(body)
}

#[tokio::test]
async fn several_secrets_change_at_once_or_not_at_all() {
    let state = TempDir::new().expect("a folder");
    let dev = Dev::start(state.path(), &["--customer", "user1"]).await;
    let (api, user) = (dev.api(), Customer::at(&dev.url, "many-secrets"));
    let environment = async || Reply::to(user.get("/")).await.json();
    let bindings = json!([secret("A", "a"), secret("B", "b"), {"type": "plain_text", "name": "V", "text": "v"}]);
    expect_result(api.upload("many-secrets", SOURCE, json!({ "bindings": bindings }))).await;

    // A new secret, a changed one, a deleted one, an unknown one, and a variable that is not named.
    let changes = json!({"C": secret("C", "c"), "A": secret("A", "new"), "B": null, "D": null});
    let updated = expect_result(bulk(&api, "many-secrets", &changes)).await;
    let named = |name| json!({ "type": "secret_text", "name": name });
    assert_eq!(updated, json!({"A": named("A"), "C": named("C")}), "texts are not returned");
    let all = json!({"V": "v", "A": "new", "C": "c"});
    assert_eq!(environment().await, all);
    let unchanged = expect_result(bulk(&api, "many-secrets", &json!({}))).await;
    assert_eq!(unchanged, updated);

    let many: Map<String, Value> = (0..101).map(|number| (format!("S{number}"), Value::Null)).collect();
    for (changes, status, code) in [
        (json!({"A": null, "V": secret("V", "x")}), 400, 10053),
        (json!({"A": null, "X": secret("Y", "x")}), 400, 10021),
        (json!({"A": null, "": secret("", "x")}), 400, 10052),
        (json!({"A": null, "X": {"type": "secret_text", "name": "X"}}), 400, 10026),
        (json!({"A": "text"}), 400, 10026),
        (many.into(), 400, 10021),
    ] {
        expect_error(bulk(&api, "many-secrets", &changes), status, code).await;
    }
    expect_error(bulk(&api, "none", &json!({})), 404, 10092).await;
    assert_eq!(environment().await, all, "unchanged");
}
