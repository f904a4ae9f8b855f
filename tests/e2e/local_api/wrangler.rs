//! wrangler, configured only with the address and the token of the API.

use std::fs;

use serde_json::json;
use tests::api::{SCRIPTS, expect_result};
use tests::{Reply, expect_json, expect_problem, expect_success};

use super::Platform;

/// Returns the id in the configuration that wrangler suggests.
fn suggested<'a>(printed: &'a str, name: &str) -> &'a str {
    let (_, rest) = printed.split_once(&format!("{name} = \"")).unwrap_or_else(|| panic!("{name} in {printed}"));
    rest.split('"').next().expect("the closing quote")
}

#[tokio::test]
async fn a_customer_can_be_created_with_wrangler_alone() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    let kv = api.wrangler(&["kv", "namespace", "create", "customer-user5"]).await;
    api.wrangler(&["r2", "bucket", "create", "customer-user5"]).await;
    let d1 = api.wrangler(&["d1", "create", "customer-user5"]).await;
    for (kind, list) in
        [("kv", &["kv", "namespace", "list"][..]), ("r2", &["r2", "bucket", "list"]), ("d1", &["d1", "list", "--json"])]
    {
        let listed = api.wrangler(list).await;
        for name in ["customer-user1", "customer-user2", "customer-user5"] {
            assert!(listed.contains(name), "{kind}: {name} in {listed}");
        }
    }

    // The example configuration of a customer, with the id and the storage of this customer.
    let worker = tests::repository().join("customer-worker");
    let example = fs::read_to_string(worker.join("wrangler.example.toml")).expect("the example configuration");
    let config = example
        .replace("\"user1\"", "\"user5\"")
        .replace("customer-user1", "customer-user5")
        .replace("00000000-0000-0000-0000-000000000000", suggested(&d1, "database_id"))
        .replace("00000000000000000000000000000000", suggested(&kv, "id"))
        .replace("build/index.js", &worker.join("build/index.js").canonicalize().expect("built").to_string_lossy());
    let (head, build) = config.split_once("[build]").expect("the example has a [build] section");
    let config = format!("{head}{}", &build[build.find("[observability]").expect("the section after [build]")..]);
    let path = platform.state.path().join("wrangler.user5.toml");
    fs::write(&path, config).expect("a file");
    let path = path.to_str().expect("UTF-8");
    let deploy = ["deploy", "-c", path, "--dispatch-namespace", "customers", "--no-bundle"];
    let printed = api.wrangler(&deploy).await;
    assert!(printed.contains("Dispatch Namespace: customers"), "{printed}");

    let user5 = platform.customer("user5");
    expect_json(user5.get("/"), json!({"status": "ok", "worker": "user5", "version": env!("CARGO_PKG_VERSION")})).await;
    expect_success(user5.post_json("/data", r#"{"key":"a","value":1}"#)).await;
    expect_success(user5.put("/files?key=a").body("abc")).await;
    expect_success(user5.post_json("/db/query", r#"{"sql":"CREATE TABLE t (a)"}"#)).await;
    assert_eq!(Reply::to(platform.customer("user1").get("/data?key=a")).await.status, 404);

    // A second deployment keeps the storage.
    api.wrangler(&deploy).await;
    let stats = expect_success(user5.get("/stats")).await.json();
    assert_eq!(stats["storage"], json!({"kvKeys": 1, "r2Objects": 1}));
    expect_success(user5.post_json("/db/query", r#"{"sql":"SELECT * FROM t"}"#)).await;
}

#[tokio::test]
async fn a_plain_javascript_worker_runs_behind_the_dispatcher() {
    let platform = Platform::start(&[]).await;
    let folder = platform.state.path().join("plain");
    fs::create_dir(&folder).expect("a folder");
    // wrangler bundles the JavaScript modules, and uploads the text module beside them.
    fs::write(folder.join("greeting.txt"), "hello").expect("a file");
    fs::write(folder.join("part.js"), "export const part = (n) => n + 1;").expect("a file");
    let worker = r#"
        import greeting from "./greeting.txt";
        import { part } from "./part.js";
        export class Room {
            constructor(state) { this.state = state; }
            async fetch() {
                const visits = part((await this.state.storage.get("visits")) ?? 0);
                await this.state.storage.put("visits", visits);
                return new Response(String(visits));
            }
        }
        export default {
            async fetch(request, env) {
                await env.JOBS.send("a job");
                const room = env.ROOM.get(env.ROOM.idFromName("a"));
                const visits = await (await room.fetch("https://room/")).text();
                return Response.json({ greeting, visits, text: env.TEXT, json: env.JSON, names: Object.keys(env).sort() });
            },
        };"#;
    fs::write(folder.join("index.js"), worker).expect("a file");
    let config = r#"
        name = "plain"
        main = "index.js"
        compatibility_date = "2026-11-17"
        vars = { TEXT = "it's \"text\" ü", JSON = { a = [1, 2.5] } }
        durable_objects = { bindings = [{ name = "ROOM", class_name = "Room" }] }
        migrations = [{ tag = "v1", new_sqlite_classes = ["Room"] }]
        ai = { binding = "AI" }
        queues = { producers = [{ binding = "JOBS", queue = "jobs" }] }
    "#;
    fs::write(folder.join("wrangler.toml"), config).expect("a file");
    let config = folder.join("wrangler.toml");
    let deploy = ["deploy", "-c", config.to_str().expect("UTF-8"), "--dispatch-namespace", "customers"];
    platform.api.wrangler(&["queues", "create", "jobs"]).await;
    platform.api.wrangler(&deploy).await;
    let plain = platform.customer("plain");
    let visit = async |visits: &str| {
        let reply = Reply::to(plain.get("/anything")).await;
        let expected = json!({
            "greeting": "hello",
            "visits": visits,
            "text": "it's \"text\" ü",
            "json": {"a": [1, 2.5]},
            // Workers AI does not exist locally, as the upload's reply says.
            "names": ["JOBS", "JSON", "ROOM", "TEXT"],
        });
        assert_eq!(reply.json(), expected, "{reply}");
    };
    visit("1").await;
    // A second deployment keeps the Durable Objects: wrangler skips the migration because of the stored tag.
    platform.api.wrangler(&deploy).await;
    visit("2").await;
    let script = expect_result(platform.api.get(&format!("{SCRIPTS}/plain"))).await;
    assert_eq!(script["script"]["migration_tag"], "v1");

    // Deleting the script deletes its Durable Objects: a new script with its name has none.
    expect_result(platform.api.request(reqwest::Method::DELETE, &format!("{SCRIPTS}/plain"))).await;
    expect_problem(plain.get("/"), 404, "unknown_user").await;
    platform.api.wrangler(&deploy).await;
    visit("1").await;
}

#[tokio::test]
async fn wrangler_manages_namespaces_values_files_and_databases() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    for (arguments, expected) in [
        (&["list"][..], "namespace_name: 'customers'"),
        (&["create", "staging"], "Created dispatch namespace \"staging\""),
        (&["get", "staging"], "script_count: 0"),
        (&["rename", "staging", "testing"], "Renamed dispatch namespace"),
        (&["list"], "namespace_name: 'testing'"),
        (&["delete", "testing"], "Deleted dispatch namespace"),
    ] {
        let printed = api.wrangler(&[&["dispatch-namespace"], arguments].concat()).await;
        assert!(printed.contains(expected), "{arguments:?}: {printed}");
    }

    // The Workers see the values that wrangler writes, and wrangler sees theirs.
    let user1 = platform.customer("user1");
    expect_success(user1.post_json("/data", r#"{"key":"theirs","value":[1.10]}"#)).await;
    let namespaces = expect_result(api.get("/storage/kv/namespaces?per_page=100")).await;
    let namespaces = namespaces.as_array().expect("a list");
    let id = namespaces
        .iter()
        .find(|namespace| namespace["title"] == "customer-user1")
        .expect("the namespace is listed")["id"]
        .clone();
    let id = id.as_str().expect("an id");
    let key = async |arguments: &[&str]| {
        api.wrangler(&[&["kv", "key"], arguments, &["--remote", "--namespace-id", id]].concat()).await
    };
    key(&["put", "data/../ours ü", "{\"b\":2}", "--metadata", "{\"m\":1}"]).await;
    let expected = json!({"key": "../ours ü", "value": {"b": 2}, "metadata": {"m": 1}});
    expect_json(user1.get("/data?key=..%2Fours%20%C3%BC"), expected).await;
    let listed = key(&["list"]).await;
    assert!(listed.contains("data/theirs") && listed.contains("data/../ours ü"), "{listed}");
    assert_eq!(key(&["get", "data/theirs"]).await.trim_end(), "[1.10]");
    key(&["delete", "data/theirs"]).await;
    expect_problem(user1.get("/data?key=theirs"), 404, "data_not_found").await;

    // The same for files.
    let file = platform.state.path().join("file");
    fs::write(&file, "content").expect("a file");
    let object = async |arguments: &[&str]| api.wrangler(&[&["r2", "object"], arguments, &["--remote"]].concat()).await;
    let path = file.to_str().expect("UTF-8");
    object(&["put", "customer-user1/a/b c", "--file", path, "--content-type", "text/x-test"]).await;
    let reply = Reply::to(user1.get("/files?key=a%2Fb%20c")).await;
    assert_eq!((reply.text(), reply.header("Content-Type")), ("content", "text/x-test"));
    assert_eq!(object(&["get", "customer-user1/a/b c", "--pipe"]).await, "content");
    object(&["delete", "customer-user1/a/b c"]).await;
    expect_problem(user1.get("/files?key=a%2Fb%20c"), 404, "file_not_found").await;

    // The same for the database.
    let sql = ["d1", "execute", "customer-user1", "--remote", "--yes", "--json", "--command"];
    let printed = api.wrangler(&[&sql[..], &["SELECT 1 + 1 AS two"]].concat()).await;
    assert!(printed.contains("\"two\": 2"), "{printed}");
}
