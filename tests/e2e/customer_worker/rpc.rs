//! The customer Worker's RPC methods, called by another Worker that gets it from the dispatch namespace.

use std::fs;

use serde_json::{Value, json};
use tests::{Customer, Reply, expect_json, expect_success};

/// Calls a method of a customer's Worker through `fixtures/rpc.js`.
async fn call(customer: &str, method: &str, arguments: Value) -> Reply {
    let path = format!("/{method}?customer={customer}");
    Reply::to(Customer::new("rpc").post_json(&path, arguments.to_string())).await
}

/// Calls a method, and returns its result.
async fn expect_result(method: &str, arguments: Value) -> Value {
    let reply = call("rpc-called", method, arguments).await;
    assert_eq!(reply.status, 200, "{method}: {reply}");
    reply.json()
}

/// Calls a method, expects it to throw, and returns the error's message.
async fn expect_thrown(method: &str, arguments: Value) -> String {
    let reply = call("rpc-called", method, arguments).await;
    assert_eq!((reply.status.as_u16(), reply.json()["name"].as_str()), (500, Some("Error")), "{method}: {reply}");
    reply.json()["thrown"].as_str().expect("a message").to_owned()
}

#[tokio::test]
async fn upload_file_accepts_every_kind_of_content() {
    let user = Customer::new("rpc-called");
    for (content, kind) in [
        (json!("héllo"), "application/octet-stream"),
        (json!({"$": "buffer", "text": "héllo"}), "application/octet-stream"),
        (json!({"$": "view", "text": "héllo"}), "application/octet-stream"),
        (json!({"$": "blob", "text": "héllo", "type": "text/x"}), "text/x"),
        (json!({"$": "stream", "text": "héllo"}), "application/octet-stream"),
    ] {
        let stored = expect_result("uploadFile", json!(["a/b", content])).await;
        let expected = json!({"success": true, "key": "a/b", "size": 6, "etag": stored["etag"], "contentType": kind});
        assert_eq!(stored, expected, "{content}");
        let read = call("rpc-called", "getFile", json!(["a/b"])).await;
        assert_eq!((read.text(), read.header("Answer")), ("héllo", "stream"));
        assert_eq!(Reply::to(user.get("/files?key=a/b")).await.text(), "héllo");
    }
    assert_eq!(expect_result("deleteFile", json!(["a/b"])).await, json!({"success": true}));
    assert_eq!(expect_result("getFile", json!(["a/b"])).await, Value::Null);

    // A stream has no length over RPC, so it is stored with a multipart upload.
    let length = 12_345_678;
    let stored = expect_result("uploadFile", json!(["large", {"$": "largeStream", "length": length}])).await;
    assert_eq!(stored["size"], length);
    let read = call("rpc-called", "getFile", json!(["large"])).await;
    let expected = (0..length).map(|index: usize| u8::try_from((index * 7919) % 251).expect("a byte"));
    assert!(read.body.into_iter().eq(expected));
    let listed = expect_result("listFiles", json!([])).await;
    assert!(listed.as_array().expect("an array").iter().any(|file| file["key"] == "large" && file["size"] == length));

    expect_thrown("uploadFile", json!(["large", {"$": "brokenStream", "length": 12_000_000}])).await;
    assert_eq!(Reply::to(user.head("/files?key=large")).await.header("Content-Length"), length.to_string());
}

#[tokio::test]
async fn set_data_accepts_every_kind_of_value() {
    let user = Customer::new("rpc-called");
    for value in [json!(null), json!(true), json!(1.5), json!("text"), json!([1, [2]]), json!({"a": {"b": null}})] {
        assert_eq!(expect_result("setData", json!(["k", value])).await, json!({"success": true, "key": "k"}));
        assert_eq!(expect_result("getData", json!(["k"])).await, value);
        expect_json(user.get("/data?key=k"), json!({"key": "k", "value": value})).await;
    }
    expect_result("setData", json!(["k", {"$": "date", "text": "2026-11-21T20:00:00Z"}])).await;
    assert_eq!(expect_result("getData", json!(["k"])).await, "2026-11-21T20:00:00.000Z");
    expect_thrown("setData", json!(["k", {"$": "undefined"}])).await;
    expect_success(user.post_json("/data", r#"{"key":"m","value":1,"metadata":{"a":1}}"#)).await;
    let listed = expect_result("listData", json!([])).await;
    assert!(listed.as_array().expect("an array").contains(&json!({"key": "m", "metadata": {"a": 1}})), "{listed}");
    assert_eq!(expect_result("deleteData", json!(["k"])).await, json!({"success": true}));
    assert_eq!(expect_result("getData", json!(["k"])).await, Value::Null);
}

#[tokio::test]
async fn query_database_is_executed_and_counted() {
    let before = expect_result("getStats", json!([])).await;
    let query = expect_result("queryDatabase", json!(["SELECT ? AS a, ? AS b", ["x", null]])).await;
    assert_eq!(query["results"], json!([{"a": "x", "b": null}]));
    assert_eq!(expect_result("queryDatabase", json!(["SELECT 1 AS a"])).await["results"], json!([{"a": 1}]));
    let after = expect_result("getStats", json!([])).await;
    let count = |stats: &Value| stats["activity"]["byOperation"]["queryDatabase"].as_u64().unwrap_or_default();
    assert_eq!(count(&after), count(&before) + 2);
    // `getStats` returns the same as `GET /stats`.
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
        ("queryDatabase", json!(["SELECT ?", [[1]]]), "`params` must be strings"),
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

/// Checks the methods of the bundle that is deployed, and that calls of others fail.
#[tokio::test]
async fn no_other_method_can_be_called() {
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/../customer-worker/build/index.js");
    let bundle = fs::read_to_string(bundle).expect("the bundle");
    // `class c extends WorkerEntrypoint{fetch(e){return ...}uploadFile(e,t){return ...}...}`
    let classes: Vec<&str> = bundle.split(" extends ").skip(1).collect();
    assert_eq!(classes.len(), 1, "one class extends another");
    let methods = classes[0].split_once('{').expect("a body").1.split_once("}}").expect("an end").0;
    let mut names: Vec<&str> = methods.split('}').map(|method| method.split_once('(').expect("a method").0).collect();
    names.sort_unstable();
    let mut expected = [&METHODS[..], &["fetch"]].concat();
    expected.sort_unstable();
    assert_eq!(names, expected);
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
async fn the_entrypoint_is_also_exported_by_name() {
    let reply = call("UserWorker", "setData", json!(["named", 1])).await;
    assert_eq!(reply.json(), json!({"success": true, "key": "named"}), "{reply}");
    assert_eq!(expect_result("getData", json!(["named"])).await, 1);
    let reply = call("UserWorker", "fetch", json!(["http://x/data?key=named"])).await;
    assert_eq!(reply.status, 200, "{reply}");
}
