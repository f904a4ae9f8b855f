//! `cargo platform customer` against the local platform.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tests::api::{expect_result, text};
use tests::processes::{memory, processes};
use tests::{Customer, Reply, expect_json, expect_problem, expect_success};

use super::Platform;

/// Stores a text in each kind of a customer's storage.
async fn fill(customer: &Customer, what: &str) {
    expect_success(customer.post_json("/data", json!({"key": "k", "value": what}).to_string())).await;
    expect_success(customer.put("/files?key=k").body(what.to_owned())).await;
    let insert =
        json!({"statements": [{"sql": "CREATE TABLE t (a)"}, {"sql": "INSERT INTO t VALUES (?)", "params": [what]}]});
    expect_success(customer.post_json("/db/batch", insert.to_string())).await;
}

/// Expects the text that [`fill`] stored, and nothing else.
async fn expect_filled(customer: &Customer, what: &str) {
    expect_json(customer.get("/data?key=k"), json!({"key": "k", "value": what})).await;
    assert_eq!(Reply::to(customer.get("/files?key=k")).await.text(), what);
    let rows = expect_success(customer.post_json("/db/query", r#"{"sql":"SELECT a FROM t"}"#)).await.json();
    assert_eq!(rows["results"], json!([{"a": what}]));
    let stats = expect_success(customer.get("/stats")).await.json();
    assert_eq!(stats["storage"], json!({"kvKeys": 1, "r2Objects": 1}));
}

/// Returns the names of all storage and all scripts of the account.
async fn everything(platform: &Platform) -> Value {
    let names = async |path: &str, list: &str, name: &str| {
        let result = expect_result(platform.api.get(path)).await;
        let list = if list.is_empty() { &result } else { &result[list] };
        let mut names: Vec<Value> = list.as_array().expect("a list").iter().map(|item| item[name].clone()).collect();
        names.sort_by_key(ToString::to_string);
        names
    };
    json!({
        "kv": names("/storage/kv/namespaces?per_page=1000", "", "title").await,
        "r2": names("/r2/buckets", "buckets", "name").await,
        "d1": names("/d1/database?per_page=1000", "", "name").await,
        "scripts": names(tests::api::SCRIPTS, "", "id").await,
    })
}

#[tokio::test]
async fn customers_are_created_deployed_to_and_deleted() {
    let platform = Platform::start(&[]).await;
    let (user3, user4) = (platform.customer("user3"), platform.customer("user4"));
    expect_problem(user3.get("/"), 404, "unknown_user").await;
    let before = everything(&platform).await;

    // Runs the tool as an operator does: it builds the Worker, and reads the API's token from the state folder.
    let folder = platform.state.path().to_str().expect("UTF-8");
    let output = platform.api.platform(&["customer", "create", "user3", "--local", "--state", folder]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(["user3", "customer-user3"].iter().all(|name| printed.contains(name)), "{printed}");
    fill(&user3, "of user3").await;
    let stats = expect_success(user3.get("/stats")).await.json();
    assert_eq!(stats["files"]["count"], 1);

    platform.api.customer(&["create", "user4", "--no-build"]).await;
    expect_problem(user4.get("/data?key=k"), 404, "data_not_found").await;
    fill(&user4, "of user4").await;
    expect_filled(&user3, "of user3").await;
    // Creating the customers again changes nothing.
    let all = everything(&platform).await;
    platform.api.customer(&["create", "user4", "user3", "--no-build"]).await;
    assert_eq!(everything(&platform).await, all);
    expect_filled(&user4, "of user4").await;

    // A changed Worker is deployed to both customers, and their data stays.
    let changed = platform.state.path().join("changed");
    copy(&tests::repository().join("customer-worker/build"), &changed);
    let wrapper = "import Worker from './worker.js';
        export default class extends Worker {
            async fetch(request) {
                const reply = new Response((await super.fetch(request)).body);
                reply.headers.set('Changed', 'yes');
                return reply;
            }
        }";
    fs::rename(changed.join("index.js"), changed.join("worker.js")).expect("renamed");
    fs::write(changed.join("index.js"), wrapper).expect("written");
    let script = changed.to_str().expect("UTF-8");
    assert!(!Reply::to(user3.get("/")).await.headers.contains_key("Changed"));
    platform.api.customer(&["deploy", "user3", "user4", "--script", script]).await;
    for (customer, what) in [(&user3, "of user3"), (&user4, "of user4")] {
        assert_eq!(Reply::to(customer.get("/data?key=k")).await.header("Changed"), "yes");
        let data = Reply::to(customer.get("/data?key=k")).await.json();
        assert_eq!(data, json!({"key": "k", "value": what}));
    }
    // `--all` deploys to the other customers, and does not overwrite the Workers of these two.
    let deployed = platform.api.customer(&["deploy", "--all", "--no-build"]).await.to_string();
    assert!(deployed.contains("user1") && deployed.contains("unchanged"), "{deployed}");
    assert_eq!(Reply::to(user3.get("/")).await.header("Changed"), "yes");
    expect_success(platform.customer("user1").get("/stats")).await;

    let output = platform.api.platform(&["customer", "delete", "user3"]).await;
    assert_eq!(output.status.code(), Some(2), "without --yes nothing is deleted: {}", text(&output.stderr));
    platform.api.customer(&["delete", "user3", "--yes"]).await;
    expect_problem(user3.get("/"), 404, "unknown_user").await;
    let data = Reply::to(user4.get("/data?key=k")).await.json();
    assert_eq!(data, json!({"key": "k", "value": "of user4"}));
    platform.api.customer(&["delete", "user4", "--yes"]).await;
    assert_eq!(everything(&platform).await, before, "nothing remains");
    let output = platform.api.platform(&["customer", "delete", "user3", "--yes"]).await;
    assert_eq!(output.status.code(), Some(1), "an unknown customer must be an error: {}", text(&output.stdout));

    // A customer that is created again has none of its old data.
    platform.api.customer(&["create", "user3", "--no-build"]).await;
    let stats = expect_success(user3.get("/stats")).await.json();
    assert_eq!(stats["storage"], json!({"kvKeys": 0, "r2Objects": 0}));
    expect_problem(user3.post_json("/db/query", r#"{"sql":"SELECT a FROM t"}"#), 400, "sql_error").await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for name in ["index.js", "index_bg.wasm"] {
        fs::copy(from.join(name), to.join(name)).expect("copied");
    }
}

#[tokio::test]
async fn repeated_deployments_of_a_generated_config_keep_the_storage() {
    let platform = Platform::start(&[]).await;
    let user3 = platform.customer("user3");
    platform.api.customer(&["create", "user3", "--no-build"]).await;
    fill(&user3, "of user3").await;
    let path = platform.state.path().join("wrangler.user3.toml");
    let path = path.to_str().expect("UTF-8");
    platform.api.customer(&["config", "user3", "--output", path]).await;
    for _ in 0..2 {
        platform.api.wrangler(&["deploy", "-c", path, "--dispatch-namespace", "customers", "--no-bundle"]).await;
        expect_filled(&user3, "of user3").await;
    }
    let shown = platform.api.customer(&["show", "user3"]).await.to_string();
    assert!(shown.contains("customer-user3") && !shown.contains("customer-user1"), "{shown}");
}

#[tokio::test]
async fn customer_commands_update_the_records() {
    let platform = Platform::start(&["--records"]).await;
    let user3 = platform.customer("user3");
    let manifest = platform.state.path().join("user3.toml");
    fs::write(&manifest, "plan = \"pro\"\nvars = { GREETING = \"hi\" }\nsecrets = [\"PLATFORM_URL\"]\n")
        .expect("a file");
    let manifest = manifest.to_str().expect("UTF-8");
    let worker = platform.state.path().join("worker.js");
    fs::write(&worker, "export default { fetch(_, env) { return Response.json([env.GREETING, env.PLATFORM_URL]); } };")
        .expect("a file");
    let worker = worker.to_str().expect("UTF-8");
    platform.api.customer(&["create", "user3", "--manifest", manifest, "--script", worker]).await;
    assert_eq!(Reply::to(user3.get("/")).await.json(), json!(["hi", platform.dev.url]));
    let shown = platform.api.customer(&["show", "user3"]).await.to_string();
    assert!(shown.contains("\"pro\"") && !shown.contains(&platform.dev.url), "secrets must not be shown: {shown}");

    platform.api.customer(&["suspend", "user3"]).await;
    expect_problem(user3.get("/"), 403, "customer_suspended").await;
    expect_success(platform.customer("user1").get("/")).await;
    platform.api.customer(&["resume", "user3"]).await;
    assert_eq!(Reply::to(user3.get("/")).await.status, 200);
    let listed = platform.api.customer(&["list"]).await.to_string();
    assert!(["user1", "user2", "user3"].iter().all(|id| listed.contains(id)), "{listed}");
    let stats = platform.api.customer(&["stats", "user1"]).await.to_string();
    assert!(stats.contains("r2Objects"), "{stats}");
    platform.api.customer(&["delete", "user3", "--yes"]).await;
    expect_problem(user3.get("/"), 404, "unknown_user").await;
    platform.api.customer(&["delete", "user1", "--yes", "--keep-data"]).await;
    expect_problem(platform.customer("user1").get("/"), 404, "unknown_user").await;
    let remaining = everything(&platform).await;
    assert_eq!(remaining["r2"], json!(["customer-user1", "customer-user2"]), "its storage stays");
    assert_eq!(remaining["scripts"], json!(["user2"]));
    // Without records, a customer cannot be suspended.
    drop(platform);
    let without = Platform::start(&[]).await;
    let output = without.api.platform(&["customer", "suspend", "user1"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("CUSTOMERS"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn resources_of_another_customer_are_rejected() {
    let platform = Platform::start(&["--records"]).await;
    let before = everything(&platform).await;
    let namespaces = expect_result(platform.api.get("/storage/kv/namespaces?per_page=1000")).await;
    let id = |title: &str| {
        let all = namespaces.as_array().expect("a list");
        let namespace = all.iter().find(|namespace| namespace["title"] == title).expect(title);
        namespace["id"].as_str().expect("an id").to_owned()
    };
    let manifest = platform.state.path().join("user3.toml");
    for (binding, reason) in [
        (format!("type = \"kv_namespace\", namespace_id = \"{}\"", id("customer-user1")), "user1"),
        (format!("type = \"kv_namespace\", namespace_id = \"{}\"", id("customers")), "the platform's own"),
        ("type = \"r2_bucket\", bucket_name = \"customer-user2\"".to_owned(), "user2"),
        ("type = \"dispatch_namespace\", namespace = \"customers\"".to_owned(), "the platform's own"),
        (
            "type = \"durable_object_namespace\", class_name = \"A\", script_name = \"user1\"".to_owned(),
            "shared = true",
        ),
    ] {
        fs::write(&manifest, format!("bindings = [{{ name = \"X\", {binding} }}]")).expect("a file");
        let arguments = ["customer", "create", "user3", "--no-build", "--manifest", manifest.to_str().expect("UTF-8")];
        let output = platform.api.platform(&arguments).await;
        assert_eq!(output.status.code(), Some(1), "{binding}");
        assert!(text(&output.stderr).contains(reason), "{binding}: {}", text(&output.stderr));
        assert_eq!(everything(&platform).await, before, "{binding}: nothing must be created before the rejection");
    }
    // Marked as shared, it is allowed.
    let shared = format!(
        "bindings = [{{ name = \"X\", type = \"kv_namespace\", namespace_id = \"{}\", shared = true }}]",
        id("customer-user1")
    );
    fs::write(&manifest, shared).expect("a file");
    platform.api.customer(&["create", "user3", "--no-build", "--manifest", manifest.to_str().expect("UTF-8")]).await;
    expect_success(platform.customer("user3").get("/")).await;
}

#[tokio::test]
async fn fifty_customers_are_created_at_once() {
    let platform = Platform::start(&[]).await;
    let runtime = || memory(&processes(platform.state.path()), "workerd serve");
    let before = runtime();
    let ids: Vec<String> = (0..50).map(|number| format!("fifty{number}")).collect();
    let mut arguments = vec!["create", "--no-build"];
    arguments.extend(ids.iter().map(String::as_str));
    let started = Instant::now();
    platform.api.customer(&arguments).await;
    let created = started.elapsed();
    for id in &ids {
        expect_success(platform.customer(id).post_json("/data", json!({"key": "id", "value": id}).to_string())).await;
    }
    let replied = started.elapsed();
    for id in &ids {
        expect_json(platform.customer(id).get("/data?key=id"), json!({"key": "id", "value": id})).await;
    }
    println!(
        "50 customers created in {created:?}, all replied after {replied:?}; the runtime had {} MiB before and has {} MiB",
        before >> 20,
        runtime() >> 20
    );
}
