//! The customer Worker's methods, called by another Worker that takes it out of the dispatch namespace.

use std::fs;

use serde_json::{Value, json};
use tests::{Customer, Reply, expect_json, expect_success};

/// Calls a method of a customer's Worker with these arguments.
async fn call(customer: &str, method: &str, arguments: Value) -> Reply {
    let path = format!("/{method}?customer={customer}");
    Reply::to(Customer::new("rpc").post_json(&path, arguments.to_string())).await
}

async fn expect_answer(method: &str, arguments: Value) -> Value {
    let reply = call("rpc-called", method, arguments).await;
    assert_eq!(reply.status, 200, "{method}: {reply}");
    reply.json()
}

async fn expect_thrown(method: &str, arguments: Value) -> String {
    let reply = call("rpc-called", method, arguments).await;
    assert_eq!((reply.status.as_u16(), reply.json()["name"].as_str()), (500, Some("Error")), "{method}: {reply}");
    reply.json()["thrown"].as_str().expect("a message").to_owned()
}

#[tokio::test]
async fn files_of_every_kind_of_content() {
    let user = Customer::new("rpc-called");
    for (content, kind) in [
        (json!("héllo"), "application/octet-stream"),
        (json!({"$": "buffer", "text": "héllo"}), "application/octet-stream"),
        (json!({"$": "view", "text": "héllo"}), "application/octet-stream"),
        (json!({"$": "blob", "text": "héllo", "type": "text/x"}), "text/x"),
        (json!({"$": "stream", "text": "héllo"}), "application/octet-stream"),
    ] {
        let stored = expect_answer("uploadFile", json!(["a/b", content])).await;
        let expected = json!({"success": true, "key": "a/b", "size": 6, "etag": stored["etag"], "contentType": kind});
        assert_eq!(stored, expected, "{content}");
        let read = call("rpc-called", "getFile", json!(["a/b"])).await;
        assert_eq!((read.text(), read.header("Answer")), ("héllo", "stream"));
        assert_eq!(Reply::to(user.get("/files?key=a/b")).await.text(), "héllo");
    }
    assert_eq!(expect_answer("deleteFile", json!(["a/b"])).await, json!({"success": true}));
    assert_eq!(expect_answer("getFile", json!(["a/b"])).await, Value::Null);

    // A stream has no length over RPC, so it goes in parts.
    let length = 12_345_678;
    let stored = expect_answer("uploadFile", json!(["large", {"$": "largeStream", "length": length}])).await;
    assert_eq!(stored["size"], length);
    let read = call("rpc-called", "getFile", json!(["large"])).await;
    let expected = (0..length).map(|at: usize| u8::try_from((at * 7919) % 251).expect("a byte"));
    assert!(read.body.into_iter().eq(expected));
    let listed = expect_answer("listFiles", json!([])).await;
    assert!(listed.as_array().expect("an array").iter().any(|file| file["key"] == "large" && file["size"] == length));

    expect_thrown("uploadFile", json!(["large", {"$": "brokenStream", "length": 12_000_000}])).await;
    assert_eq!(Reply::to(user.head("/files?key=large")).await.header("Content-Length"), length.to_string());
}

#[tokio::test]
async fn values_of_every_kind() {
    let user = Customer::new("rpc-called");
    for value in [json!(null), json!(true), json!(1.5), json!("text"), json!([1, [2]]), json!({"a": {"b": null}})] {
        assert_eq!(expect_answer("setData", json!(["k", value])).await, json!({"success": true, "key": "k"}));
        assert_eq!(expect_answer("getData", json!(["k"])).await, value);
        expect_json(user.get("/data?key=k"), json!({"key": "k", "value": value})).await;
    }
    expect_answer("setData", json!(["k", {"$": "date", "text": "2026-11-21T20:00:00Z"}])).await;
    assert_eq!(expect_answer("getData", json!(["k"])).await, "2026-11-21T20:00:00.000Z");
    expect_thrown("setData", json!(["k", {"$": "undefined"}])).await;
    expect_success(user.post_json("/data", r#"{"key":"m","value":1,"metadata":{"a":1}}"#)).await;
    let listed = expect_answer("listData", json!([])).await;
    assert!(listed.as_array().expect("an array").contains(&json!({"key": "m", "metadata": {"a": 1}})), "{listed}");
    assert_eq!(expect_answer("deleteData", json!(["k"])).await, json!({"success": true}));
    assert_eq!(expect_answer("getData", json!(["k"])).await, Value::Null);
}

#[tokio::test]
async fn the_database_and_the_counts() {
    let before = expect_answer("getStats", json!([])).await;
    let query = expect_answer("queryDatabase", json!(["SELECT ? AS a, ? AS b", ["x", null]])).await;
    assert_eq!(query["results"], json!([{"a": "x", "b": null}]));
    assert_eq!(expect_answer("queryDatabase", json!(["SELECT 1 AS a"])).await["results"], json!([{"a": 1}]));
    let after = expect_answer("getStats", json!([])).await;
    let count = |stats: &Value| stats["activity"]["byOperation"]["queryDatabase"].as_u64().unwrap_or_default();
    assert_eq!(count(&after), count(&before) + 2);
    // The same as over HTTP.
    let over_http = expect_success(Customer::new("rpc-called").get("/stats")).await.json();
    assert_eq!(over_http.as_object().expect("an object").keys().collect::<Vec<_>>(), ["activity", "files", "storage"]);
    assert_eq!(after["activity"]["windowDays"], over_http["activity"]["windowDays"]);
}

#[tokio::test]
async fn a_failure_is_thrown_with_its_reason() {
    for (method, arguments, reason) in [
        ("getFile", json!([]), "a `key` is required"),
        ("getFile", json!([1]), "`key` must be a string"),
        ("getFile", json!([""]), "`key` must be 1 to 1024 bytes long"),
        ("getData", json!(["k".repeat(508)]), "`key` must be 1 to 507 bytes long"),
        ("uploadFile", json!(["k", {"a": 1}]), "content must be"),
        ("uploadFile", json!(["k"]), "content must be"),
        ("queryDatabase", json!(["SELEC"]), "syntax error"),
        ("queryDatabase", json!([1]), "sql must be a string"),
        ("queryDatabase", json!(["SELECT ?", [[1]]]), "`params` can be"),
        ("queryDatabase", json!(["SELECT ?", {"a": 1}]), "`params` must be an array"),
    ] {
        let thrown = expect_thrown(method, arguments.clone()).await;
        assert!(thrown.contains(reason), "{method} {arguments}: {thrown}");
    }
    for method in ["listFiles", "listData", "getStats"] {
        let reply = call("bare", method, json!([])).await;
        assert!(
            reply.json()["thrown"].as_str().is_some_and(|thrown| thrown.starts_with("this customer has no")),
            "{reply}"
        );
    }
}

const METHODS: [&str; 10] = [
    "deleteData",
    "deleteFile",
    "getData",
    "getFile",
    "getStats",
    "listData",
    "listFiles",
    "queryDatabase",
    "setData",
    "uploadFile",
];

/// What there is to call, in the bundle that is deployed and when it is tried.
#[tokio::test]
async fn nothing_else_can_be_called() {
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/../customer-worker/build/index.js");
    let bundle = fs::read_to_string(bundle).expect("the bundle");
    // `class c extends WorkerEntrypoint{fetch(e){return ...}uploadFile(e,t){return ...}...}`
    let classes: Vec<&str> = bundle.split(" extends ").skip(1).collect();
    assert_eq!(classes.len(), 1, "there is one class that inherits");
    let methods = classes[0].split_once('{').expect("a body").1.split_once("}}").expect("an end").0;
    let mut found: Vec<&str> = methods.split('}').map(|method| method.split_once('(').expect("a method").0).collect();
    found.sort_unstable();
    let mut expected = [&METHODS[..], &["fetch"]].concat();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let exports = bundle.trim_end().rsplit_once("export{").expect("exports").1;
    let names: Vec<&str> =
        exports.trim_end_matches("};").split(',').filter_map(|export| export.split(" as ").nth(1)).collect();
    assert_eq!(names, ["UserWorker", "default"]);

    for method in [
        "start",
        "env",
        "ctx",
        "default",
        "__wbg_reset_state",
        "__worker_init_state",
        "upload_file",
        "createUpload",
        "_fetch",
    ] {
        let reply = call("rpc-called", method, json!(["x"])).await;
        assert_eq!(
            (reply.status.as_u16(), reply.json()["name"].as_str()),
            (500, Some("TypeError")),
            "{method}: {reply}"
        );
    }
}

#[tokio::test]
async fn the_entrypoint_has_a_name_too() {
    let reply = call("UserWorker", "setData", json!(["named", 1])).await;
    assert_eq!(reply.json(), json!({"success": true, "key": "named"}), "{reply}");
    assert_eq!(expect_answer("getData", json!(["named"])).await, 1);
    let reply = call("UserWorker", "fetch", json!(["http://x/data?key=named"])).await;
    assert_eq!(reply.status, 200, "{reply}");
}
