//! Storage over the API: authentication, rejected requests, and what remains of deleted storage.

use std::path::Path;

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use tests::api::{expect_error, expect_result};
use tests::{AWKWARD_KEYS, Dev, Reply, escaped, expect_success, run_to_failure};

use super::Platform;

#[tokio::test]
async fn the_api_requires_its_token() {
    let platform = Platform::start(&["--api-token", "a-token-of-my-own"]).await;
    assert_eq!(platform.api.environment["CLOUDFLARE_API_TOKEN"], "a-token-of-my-own");
    let base = &platform.api.environment["CLOUDFLARE_API_BASE_URL"];
    let account = &platform.api.environment["CLOUDFLARE_ACCOUNT_ID"];
    let client = tests::client();
    let url = format!("{base}/accounts/{account}/r2/buckets");
    expect_error(client.get(&url), 401, 10000).await;
    for wrong in ["", "a-token-of-my-ow", "a-token-of-my-own2", "b-token-of-my-own"] {
        expect_error(client.get(&url).bearer_auth(wrong), 401, 10000).await;
    }
    expect_error(client.get(&url).basic_auth("a-token-of-my-own", Some("")), 401, 10000).await;
    // No page in a browser may call the API: preflights fail.
    let preflight = client.request(Method::OPTIONS, &url).header("Origin", "https://evil.example");
    let reply = Reply::to(preflight.header("Access-Control-Request-Method", "POST")).await;
    assert_eq!(reply.status, 401, "{reply}");
    assert!(!reply.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{reply}");
    // Unknown paths require the token, too.
    expect_error(client.get(format!("{base}/nowhere")), 401, 10000).await;
    expect_error(client.get(format!("{base}/nowhere")).bearer_auth("a-token-of-my-own"), 404, 7003).await;
    let other = client.get(format!("{base}/accounts/{}/r2/buckets", "0".repeat(32)));
    expect_error(other.bearer_auth("a-token-of-my-own"), 403, 10000).await;
    expect_result(platform.api.get("/r2/buckets")).await;

    // The dispatcher's port does not reach the storage.
    let url = format!("{}/.storage?storage=kv:x&operation=kv.list", platform.dev.url);
    for secret in ["", "undefined", "a-token-of-my-own"] {
        let reply = Reply::to(client.post(&url).header("Platform-Storage", secret)).await;
        assert_eq!(reply.json()["code"], "missing_user_id", "{reply}");
    }
    let errors = run_to_failure(platform.state.path(), &["--api-token", "sh'ort"]).await;
    assert!(errors.contains("a token is 8 or more"), "{errors}");
}

#[tokio::test]
async fn a_port_in_use_is_reported() {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let state = tempfile::TempDir::new().expect("a folder");
    let errors = run_to_failure(state.path(), &["--api-port", &port]).await;
    assert!(errors.contains(&format!("port {port} is in use; choose another with --api-port")), "{errors}");
}

#[tokio::test]
async fn duplicate_names_and_unknown_resources_are_rejected() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    let post = |path: &str, json: Value| api.request(Method::POST, path).body(json.to_string());
    let delete = |path: &str| api.request(Method::DELETE, path);
    for (path, body, status, code) in [
        ("/storage/kv/namespaces", json!({"title": "customer-user1"}), 400, 10014),
        ("/storage/kv/namespaces", json!({"title": ""}), 400, 10047),
        ("/storage/kv/namespaces", json!({}), 400, 10026),
        ("/r2/buckets", json!({"name": "customer-user1"}), 409, 10004),
        ("/r2/buckets", json!({"name": "Upper"}), 400, 10005),
        ("/r2/buckets", json!({"name": "a"}), 400, 10005),
        ("/d1/database", json!({"name": "customer-user1"}), 400, 7502),
        ("/d1/database", json!({"name": ""}), 400, 7400),
        ("/queues", json!({"queue_name": "a b"}), 400, 11003),
        ("/workers/dispatch/namespaces", json!({"name": "customers"}), 409, 100_118),
        ("/workers/dispatch/namespaces", json!({"name": "a/b"}), 400, 100_117),
    ] {
        expect_error(post(path, body), status, code).await;
    }
    for (path, code) in [
        ("/storage/kv/namespaces/none", 10013),
        ("/storage/kv/namespaces/none/values/a", 10013),
        ("/r2/buckets/none", 10006),
        ("/r2/buckets/none/objects/a", 10006),
        ("/d1/database/none", 7404),
        ("/queues/none", 11000),
        ("/workers/dispatch/namespaces/none", 100_119),
        ("/workers/dispatch/namespaces/none/scripts/a", 100_119),
        ("/workers/scripts/none", 10007),
        ("/workers/services/none", 10007),
        ("/nothing", 7003),
    ] {
        expect_error(api.get(path), 404, code).await;
        if !path.contains("none/") && path != "/nothing" {
            expect_error(delete(path), 404, code).await;
        }
    }
    // A bucket is only visible in its own jurisdiction.
    expect_result(post("/r2/buckets", json!({"name": "european"})).header("cf-r2-jurisdiction", "eu")).await;
    expect_error(api.get("/r2/buckets/european"), 404, 10006).await;
    expect_result(api.get("/r2/buckets/european").header("cf-r2-jurisdiction", "eu")).await;
    expect_error(api.get("/r2/buckets/european").header("cf-r2-jurisdiction", "mars"), 400, 10003).await;

    let queue = api.post("/queues", json!({"queue_name": "jobs"})).await;
    expect_error(post("/queues", json!({"queue_name": "jobs"})), 409, 11009).await;
    let path = format!("/queues/{}", queue["queue_id"].as_str().expect("an id"));
    assert_eq!(expect_result(api.get(&path)).await["queue_name"], "jobs");
    expect_result(delete(&path)).await;
    assert_eq!(expect_result(api.get("/queues?name=jobs")).await, json!([]));

    // Lists have pages.
    let page = Reply::to(api.get("/d1/database?per_page=1&page=2")).await.json();
    assert_eq!(page["result"].as_array().map(Vec::len), Some(1), "{page}");
    assert_eq!(page["result_info"], json!({"page": 2, "per_page": 1, "count": 1, "total_count": 2}));
    let first = Reply::to(api.get("/r2/buckets?per_page=1")).await.json();
    let cursor = first["result_info"]["cursor"].as_str().expect("the list has a second page");
    let second = Reply::to(api.get(&format!("/r2/buckets?per_page=1&cursor={cursor}"))).await.json();
    assert_eq!(second["result"]["buckets"][0]["name"], "customer-user2", "{second}");
    assert_eq!(second["result_info"]["cursor"], "", "{second}");
    for path in ["/d1/database?page=0", "/storage/kv/namespaces?per_page=x", "/r2/buckets?per_page=x"] {
        expect_error(api.get(path), 400, 10001).await;
    }
}

#[tokio::test]
async fn keys_and_expirations_are_returned_unchanged() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    let id = api.kv_namespace("values").await;
    let path = format!("/storage/kv/namespaces/{id}");
    let keys: Vec<&str> = AWKWARD_KEYS.into_iter().filter(|key| ![".", ".."].contains(key)).collect();
    for (at, key) in keys.iter().enumerate() {
        let value = api.request(Method::PUT, &format!("{path}/values/{}", escaped(key))).body(format!("{at}"));
        expect_result(value).await;
    }
    for (at, key) in keys.iter().enumerate() {
        let reply = Reply::to(api.get(&format!("{path}/values/{}", escaped(key)))).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, &*format!("{at}")), "{key:?}");
    }
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = Reply::to(api.get(&format!("{path}/keys?limit=10&cursor={cursor}"))).await.json();
        listed.extend(
            page["result"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|key| key["name"].as_str().expect("a name").to_owned()),
        );
        cursor = page["result_info"]["cursor"].as_str().expect("a cursor").to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    let mut expected = keys.clone();
    expected.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, expected);

    let put = |query: &str| api.request(Method::PUT, &format!("{path}/values/e{query}")).body("v");
    expect_result(put("?expiration_ttl=3600")).await;
    let page = expect_result(api.get(&format!("{path}/keys?prefix=e"))).await;
    let expiring = page.as_array().expect("a list").iter().find(|key| key["name"] == "e").expect("the key is listed");
    assert!(expiring["expiration"].is_u64(), "{page}");
    // If the simulator rejects a value, the API replies with a client error.
    expect_error(put("?expiration_ttl=1"), 400, 10033).await;
    expect_error(put("?expiration_ttl=soon"), 400, 10033).await;
    let bulk =
        json!([{"key": "b1", "value": "aGk=", "base64": true}, {"key": "b2", "value": "2", "metadata": {"m": 1}}]);
    expect_result(api.request(Method::PUT, &format!("{path}/bulk")).body(bulk.to_string())).await;
    let values = api.post(&format!("{path}/bulk/get"), json!({"keys": ["b1", "b2", "none"]})).await;
    assert_eq!(values, json!({"values": {"b1": "hi", "b2": "2", "none": null}}));
    assert_eq!(expect_result(api.get(&format!("{path}/metadata/b2"))).await, json!({"m": 1}));
    expect_result(api.request(Method::DELETE, &format!("{path}/bulk")).body(json!(["b1"]).to_string())).await;
    expect_error(api.get(&format!("{path}/values/b1")), 404, 10009).await;
    expect_error(api.get(&format!("{path}/metadata/b1")), 404, 10009).await;
}

/// Returns the paths of a folder's files that contain a text.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            paths.extend(files_with(&path, text));
        } else if std::fs::read(&path).expect("a file").windows(text.len()).any(|window| window == text.as_bytes()) {
            paths.push(path.display().to_string());
        }
    }
    paths
}

#[tokio::test]
async fn deleted_storage_is_removed_from_disk_and_the_rest_stays() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    for id in ["user1", "user2"] {
        let customer = platform.customer(id);
        let secret = format!("the-secret-of-{id}");
        expect_success(customer.post_json("/data", json!({"key": "k", "value": secret}).to_string())).await;
        expect_success(customer.put("/files?key=k").body(secret.clone())).await;
        expect_success(customer.post_json("/db/query", r#"{"sql":"CREATE TABLE t (a)"}"#)).await;
        let insert = json!({"sql": "INSERT INTO t VALUES (?)", "params": [secret]});
        expect_success(customer.post_json("/db/query", insert.to_string())).await;
    }
    let storage = platform.state.path().join("storage");
    let delete = |path: String| expect_result(api.request(Method::DELETE, &path));
    delete(format!("{}/user1", tests::api::SCRIPTS)).await;
    expect_error(api.request(Method::DELETE, "/r2/buckets/customer-user1"), 409, 10008).await;
    let objects = expect_result(api.get("/r2/buckets/customer-user1/objects?per_page=10")).await;
    assert_eq!(objects[0]["key"], "k", "{objects}");
    let keys = json!(["k"]).to_string();
    expect_result(api.request(Method::DELETE, "/r2/buckets/customer-user1/objects").body(keys)).await;
    delete("/r2/buckets/customer-user1".to_owned()).await;
    let of_user1 = |list: Value, name: &'static str| {
        list.as_array()
            .expect("a list")
            .iter()
            .find(|item| item[name] == "customer-user1")
            .cloned()
            .expect("the resource is listed")
    };
    let kv = of_user1(expect_result(api.get("/storage/kv/namespaces?per_page=100")).await, "title");
    delete(format!("/storage/kv/namespaces/{}", kv["id"].as_str().expect("an id"))).await;
    let d1 = of_user1(expect_result(api.get("/d1/database")).await, "name");
    delete(format!("/d1/database/{}", d1["uuid"].as_str().expect("an id"))).await;
    assert_eq!(Reply::to(platform.customer("user1").get("/")).await.json()["code"], "unknown_user");

    // The runtime holds the files open. They are removed when it does not run.
    let state = platform.state;
    assert!(platform.dev.stop(Signal::SIGTERM).await.success());
    let dev = Dev::start(state.path(), &[]).await;
    assert_eq!(Reply::to(tests::Customer::at(&dev.url, "user1").get("/")).await.json()["code"], "unknown_user");
    assert_eq!(files_with(&storage, "the-secret-of-user1"), [""; 0]);
    let user2 = tests::Customer::at(&dev.url, "user2");
    assert_eq!(expect_success(user2.get("/data?key=k")).await.json()["value"], "the-secret-of-user2");
    assert_eq!(Reply::to(user2.get("/files?key=k")).await.text(), "the-secret-of-user2");
    let rows = expect_success(user2.post_json("/db/query", r#"{"sql":"SELECT a FROM t"}"#)).await.json();
    assert_eq!(rows["results"], json!([{"a": "the-secret-of-user2"}]));
}

#[tokio::test]
async fn a_recreated_bucket_is_empty() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    let source = "export default { async fetch(request, env) {
        if (request.method === 'PUT') await env.B.put('k', 'of the old one');
        return Response.json((await env.B?.list())?.objects.map((object) => object.key) ?? null);
    } };";
    let bindings = json!({"bindings": [{"type": "r2_bucket", "name": "B", "bucket_name": "again"}]});
    api.post("/r2/buckets", json!({"name": "again"})).await;
    expect_result(api.upload("old", source, bindings.clone())).await;
    let (old, new) = (platform.customer("old"), platform.customer("new"));
    assert_eq!(Reply::to(old.get("/")).await.json(), json!([]));
    expect_result(api.request(Method::DELETE, "/r2/buckets/again")).await;
    // The bucket is deleted, and a script that is bound to it does not create it again.
    assert_eq!(Reply::to(old.get("/")).await.json(), Value::Null);
    api.post("/r2/buckets", json!({"name": "again"})).await;
    expect_result(api.upload("new", source, bindings)).await;
    assert_eq!(Reply::to(new.get("/")).await.json(), json!([]));
    assert_eq!(Reply::to(new.put("/").body("")).await.json(), json!(["k"]));
}
