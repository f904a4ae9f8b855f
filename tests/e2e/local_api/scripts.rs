//! Scripts over the API: which uploads are accepted, which settings they keep, and that a script reaches only its own
//! resources.

use std::path::Path;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tests::api::{SCRIPTS, expect_error, expect_result, text};
use tests::{Customer, Reply, expect_problem, expect_success};
use tokio::process::Command;

use super::Platform;

/// A Worker that replies with its bindings.
const ENV: &str = "export default { fetch(_, env) { return Response.json(env); } };";

/// Returns the JSON that a customer's Worker replies with.
async fn reply_json(customer: &Customer) -> Value {
    Reply::to(customer.get("/")).await.json()
}

/// Returns a request that changes a script's settings.
fn settings(api: &tests::LocalApi, script: &str, settings: &Value) -> reqwest::RequestBuilder {
    let form = Form::new().text("settings", settings.to_string());
    api.request(Method::PATCH, &format!("{SCRIPTS}/{script}/settings")).multipart(form)
}

#[tokio::test]
async fn commands_from_cloudflares_documentation_work_unchanged() {
    // https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/configuration/bindings/
    let platform = Platform::start(&[]).await;
    let kv = platform.api.kv_namespace("settings").await;
    let value = format!("/storage/kv/namespaces/{kv}/values/settings");
    expect_result(platform.api.request(Method::PUT, &value).body("dark")).await;
    platform.api.post("/r2/buckets", json!({"name": "my-bucket"})).await;
    let worker = platform.state.path().join("worker.js");
    let source = "export default {
        async fetch(request, env) {
            const value = await env.USER_KV.get('settings');
            return Response.json({ value, bindings: Object.keys(env).sort() });
        },
    };";
    std::fs::write(&worker, source).expect("a file");
    let first = r#"curl -X PUT \
  "https://api.cloudflare.com/client/v4/accounts/<account-id>/workers/dispatch/namespaces/<namespace>/scripts/<script-name>" \
  -H "Content-Type: multipart/form-data" \
  -H "Authorization: Bearer <api-token>" \
  -F 'metadata={
    "main_module": "worker.js",
    "bindings": [
      {
        "type": "kv_namespace",
        "name": "USER_KV",
        "namespace_id": "<kv-namespace-id>"
      }
    ]
  }' \
  -F 'worker.js=@/path/to/worker.js'"#;
    let second = r#"curl -X PUT \
  "https://api.cloudflare.com/client/v4/accounts/<account-id>/workers/dispatch/namespaces/<namespace>/scripts/<script-name>" \
  -H "Content-Type: multipart/form-data" \
  -H "Authorization: Bearer <api-token>" \
  -F 'metadata={
    "bindings": [
      {
        "type": "r2_bucket",
        "name": "STORAGE",
        "bucket_name": "<bucket-name>"
      }
    ],
    "keep_bindings": ["kv_namespace"]
  }'"#;
    let variable = |name: &str| &*platform.api.environment[name];
    for (command, bindings) in [(first, json!(["USER_KV"])), (second, json!(["STORAGE", "USER_KV"]))] {
        let command = [
            ("https://api.cloudflare.com/client/v4", variable("CLOUDFLARE_API_BASE_URL")),
            ("<account-id>", variable("CLOUDFLARE_ACCOUNT_ID")),
            ("<api-token>", variable("CLOUDFLARE_API_TOKEN")),
            ("<namespace>", "customers"),
            ("<script-name>", "user3"),
            ("<kv-namespace-id>", &kv),
            ("<bucket-name>", "my-bucket"),
            ("/path/to/worker.js", worker.to_str().expect("UTF-8")),
        ]
        .into_iter()
        .fold(command.to_owned(), |command, (placeholder, value)| command.replace(placeholder, value));
        let output = Command::new("sh").args(["-c", &command]).output().await.expect("a shell");
        let reply: Value = serde_json::from_str(&text(&output.stdout)).expect("JSON");
        assert_eq!((&reply["success"], &reply["result"]["id"]), (&json!(true), &json!("user3")), "{reply}");
        let expected = json!({"value": "dark", "bindings": bindings});
        assert_eq!(reply_json(&platform.customer("user3")).await, expected);
    }
}

#[tokio::test]
async fn unspecified_settings_are_kept_or_reset_as_documented() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    let user3 = platform.customer("user3");
    let bindings = json!([
        {"type": "plain_text", "name": "TEXT", "text": "a'b\"c\nü"},
        {"type": "json", "name": "JSON", "json": {"a": [1, null]}},
        {"type": "secret_text", "name": "SECRET", "text": "hush`'\""},
    ]);
    let metadata = json!({"bindings": bindings, "tags": ["a", "b"], "compatibility_date": "2026-01-01"});
    expect_result(api.upload("user3", ENV, metadata)).await;
    let all = json!({"TEXT": "a'b\"c\nü", "JSON": {"a": [1, null]}, "SECRET": "hush`'\""});
    assert_eq!(reply_json(&user3).await, all);

    // With `keep_bindings`, new code keeps the bindings of these types.
    expect_result(api.upload("user3", ENV, json!({"bindings": [], "keep_bindings": ["secret_text"]}))).await;
    assert_eq!(reply_json(&user3).await, json!({"SECRET": all["SECRET"]}));
    let inherited = json!([{"type": "inherit", "name": "SECRET"}, {"type": "plain_text", "name": "NEW", "text": "n"}]);
    expect_result(api.upload("user3", ENV, json!({"bindings": inherited}))).await;
    assert_eq!(reply_json(&user3).await, json!({"SECRET": all["SECRET"], "NEW": "n"}));

    // A change of the settings keeps the code. A secret without a text keeps its text.
    let stored = expect_result(api.get(&format!("{SCRIPTS}/user3/settings"))).await;
    let secret = json!({"type": "secret_text", "name": "SECRET"});
    assert_eq!(stored["bindings"][0], secret, "{stored}");
    assert_eq!(stored["tags"], json!(["a", "b"]), "new code must keep the tags: {stored}");
    let changed = json!({"bindings": [secret], "tags": ["c"], "observability": {"enabled": true}});
    let updated = expect_result(settings(api, "user3", &changed)).await;
    assert_eq!((&updated["tags"], &updated["observability"]), (&json!(["c"]), &json!({"enabled": true})), "{updated}");
    assert_eq!(reply_json(&user3).await, json!({"SECRET": all["SECRET"]}));

    // Single secrets.
    let secrets = format!("{SCRIPTS}/user3/secrets");
    let put = json!({"name": "OTHER", "text": "x", "type": "secret_text"}).to_string();
    expect_result(api.request(Method::PUT, &secrets).body(put)).await;
    assert_eq!(reply_json(&user3).await, json!({"SECRET": all["SECRET"], "OTHER": "x"}));
    let listed = expect_result(api.get(&secrets)).await;
    assert_eq!(listed, json!([secret, {"type": "secret_text", "name": "OTHER"}]), "texts are not returned");
    expect_result(api.request(Method::DELETE, &format!("{secrets}/OTHER"))).await;
    expect_error(api.request(Method::DELETE, &format!("{secrets}/OTHER")), 404, 10056).await;
    expect_error(api.get(&format!("{secrets}/OTHER")), 404, 10056).await;
    assert_eq!(reply_json(&user3).await, json!({"SECRET": all["SECRET"]}));

    // Lists and deletions filter by tags.
    expect_result(api.request(Method::PUT, &format!("{SCRIPTS}/user3/tags/d"))).await;
    assert_eq!(expect_result(api.get(&format!("{SCRIPTS}/user3/tags"))).await, json!(["c", "d"]));
    expect_result(api.request(Method::DELETE, &format!("{SCRIPTS}/user3/tags/c"))).await;
    let filtered = expect_result(api.get(&format!("{SCRIPTS}?tags=d:yes,c:no"))).await;
    assert_eq!(
        filtered.as_array().expect("a list").iter().map(|script| script["id"].clone()).collect::<Vec<_>>(),
        ["user3"]
    );
    expect_error(api.get(&format!("{SCRIPTS}?tags=d")), 400, 10026).await;
    expect_error(api.request(Method::DELETE, SCRIPTS), 400, 10026).await;

    // New code alone keeps the settings.
    let before = expect_result(api.get(&format!("{SCRIPTS}/user3/settings"))).await;
    let other = "export default { fetch(_, env) { return Response.json([env]); } };";
    let form = Form::new().text("metadata", r#"{"main_module":"index.js"}"#).text("index.js", other);
    expect_result(api.request(Method::PUT, &format!("{SCRIPTS}/user3/content")).multipart(form)).await;
    assert_eq!(reply_json(&user3).await, json!([{"SECRET": all["SECRET"]}]));
    assert_eq!(expect_result(api.get(&format!("{SCRIPTS}/user3/settings"))).await, before);

    // The code is returned as it was uploaded.
    let content = Reply::to(api.get(&format!("{SCRIPTS}/user3/content"))).await;
    assert_eq!(content.header("cf-entrypoint"), "index.js");
    assert!(content.text().contains(other), "{content}");

    expect_result(api.request(Method::DELETE, &format!("{SCRIPTS}?tags=d:yes"))).await;
    expect_problem(user3.get("/"), 404, "unknown_user").await;
    expect_success(platform.customer("user1").get("/")).await;
}

#[tokio::test]
async fn modules_of_every_type_run() {
    let platform = Platform::start(&[]).await;
    let main = r#"
        import text from "./parts/a.txt";
        import data from "./parts/b.bin";
        import module from "./add.wasm";
        import common from "./common.cjs";
        import { more } from "../lib/more.js";
        export default { async fetch() {
            const { exports } = await WebAssembly.instantiate(module);
            return Response.json([text, data.byteLength, exports.add(2, 3), common.x, more]);
        } };"#;
    // (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
    let wasm = [
        0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10,
        9, 1, 7, 0, 32, 0, 32, 1, 106, 11,
    ];
    let modules: [(&str, &str, &[u8]); 6] = [
        ("src/index.js", "application/javascript+module", main.as_bytes()),
        ("src/parts/a.txt", "text/plain", b"hello"),
        ("src/parts/b.bin", "application/octet-stream", &[0, 255]),
        ("src/add.wasm", "application/wasm", &wasm),
        ("src/common.cjs", "application/javascript", b"module.exports = { x: 7 };"),
        ("./lib/more.js", "application/javascript+module", b"export const more = 'more';"),
    ];
    let metadata = json!({"main_module": "src/index.js", "compatibility_date": "2026-11-17"}).to_string();
    let form = modules.into_iter().fold(
        Form::new().percent_encode_noop().text("metadata", metadata),
        |form, (name, kind, content)| {
            let part = Part::bytes(content.to_owned()).file_name(name).mime_str(kind).expect("a media type");
            form.part(name, part)
        },
    );
    let upload = platform.api.request(Method::PUT, &format!("{SCRIPTS}/user3")).multipart(form);
    expect_result(upload).await;
    let reply = Reply::to(platform.customer("user3").get("/")).await;
    assert_eq!(reply.json(), json!(["hello", 2, 5, 7, "more"]), "{reply}");
}

#[tokio::test]
async fn part_names_of_cloudflares_clients_and_old_scripts_are_accepted() {
    let platform = Platform::start(&[]).await;
    let put =
        |script: &str, metadata: &'static str, part: &'static str, file: Option<&'static str>, source: &'static str| {
            let kind = if file.is_some() { "application/javascript+module" } else { "application/javascript" };
            let content = Part::text(source).mime_str(kind).expect("a media type");
            let content = file.into_iter().fold(content, Part::file_name);
            let form = Form::new().text("metadata", metadata).part(part, content);
            platform.api.request(Method::PUT, &format!("{SCRIPTS}/{script}")).multipart(form)
        };
    expect_result(put("sdk", r#"{"main_module":"w.mjs"}"#, "files", Some("w.mjs"), ENV)).await;
    expect_result(put("plain", r#"{"main_module":"main"}"#, "main", Some("other"), ENV)).await;
    let old = "addEventListener('fetch', (event) => event.respondWith(Response.json('old')));";
    expect_result(put("old", r#"{"body_part":"script"}"#, "script", None, old)).await;
    assert_eq!(reply_json(&platform.customer("sdk")).await, json!({}));
    assert_eq!(reply_json(&platform.customer("plain")).await, json!({}));
    assert_eq!(reply_json(&platform.customer("old")).await, json!("old"));
}

#[tokio::test]
async fn invalid_uploads_are_rejected_and_change_nothing() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    expect_result(api.upload("user3", ENV, json!({"bindings": [{"type": "plain_text", "name": "V", "text": "1"}]})))
        .await;
    assert_eq!(reply_json(&platform.customer("user3")).await, json!({"V": "1"}));
    for (source, reason) in [
        ("export default { fetch( }", "SyntaxError"),
        ("throw new Error('boom'); export default {};", "boom"),
        ("import './none.js'; export default {};", "none.js"),
        ("for (;;); export default {};", "did not start within"),
    ] {
        let message = expect_error(api.upload("user3", source, json!({})), 400, 10021).await;
        assert!(message.contains(reason), "{message}");
    }
    for (metadata, code) in [
        (json!({"bindings": [{"type": "kv_namespace", "name": "K", "namespace_id": "none"}]}), 10041),
        (json!({"bindings": [{"type": "r2_bucket", "name": "B", "bucket_name": "none"}]}), 10085),
        (
            json!({"bindings": [{"type": "r2_bucket", "name": "B", "bucket_name": "customer-user1", "jurisdiction": "eu"}]}),
            10085,
        ),
        (json!({"bindings": [{"type": "d1", "name": "D", "id": "none"}]}), 10181),
        (json!({"bindings": [{"type": "plain_text"}]}), 10052),
        (json!({"bindings": [{"type": "ai", "name": "A"}, {"type": "ai", "name": "A"}]}), 10021),
        (json!({"bindings": [{"type": "secret_text", "name": "S"}]}), 10057),
        (json!({"compatibility_flags": ["no_such_flag"]}), 10021),
        (json!({"compatibility_date": "2999-01-01"}), 10021),
        (json!({"compatibility_date": "zzzz"}), 10021),
        (json!({"bindings": [{"type": "plain_text", "name": "constructor", "text": ""}]}), 10021),
        (json!({"bindings": [{"type": "analytics_engine", "name": "A"}]}), 10021),
        (json!({"bindings": [{"type": "durable_object_namespace", "name": "R"}]}), 10021),
        (json!({"migrations": {"new_tag": "v1", "new_classes": ["Room"]}}), 10070),
        (json!({"assets": {"jwt": "x"}}), 10021),
        (json!({"migrations": {"deleted_classes": ["None"]}}), 10061),
        (json!({"migrations": {"old_tag": "v1", "new_tag": "v2"}}), 10079),
    ] {
        let status = if code == 10079 { 412 } else { 400 };
        expect_error(api.upload("user3", ENV, metadata), status, code).await;
    }
    expect_error(api.upload("user3", " \n", json!({})), 400, 10068).await;
    let form = |parts: &[(&'static str, &'static str)]| {
        let form =
            parts.iter().fold(Form::new().percent_encode_noop(), |form, (name, content)| form.text(*name, *content));
        api.request(Method::PUT, &format!("{SCRIPTS}/user3")).multipart(form)
    };
    for parts in [
        &[("index.js", "export default {}")][..],
        &[("metadata", "{}"), ("index.js", "export default {}")],
        &[("metadata", "{")],
        &[("metadata", r#"{"main_module":"none.js"}"#), ("index.js", "export default {}")],
        &[("metadata", r#"{"main_module":"../index.js"}"#), ("../index.js", "export default {}")],
        &[("metadata", r#"{"main_module":"/index.js"}"#), ("/index.js", "export default {}")],
    ] {
        let reply = Reply::to(form(parts)).await;
        assert_eq!(reply.status, 400, "{parts:?}: {reply}");
    }
    // An upload without code needs an existing script.
    let nothing = Form::new().text("metadata", r#"{"bindings":[]}"#);
    expect_error(api.request(Method::PUT, &format!("{SCRIPTS}/none")).multipart(nothing), 404, 10092).await;
    expect_error(settings(api, "none", &json!({})), 404, 10092).await;
    expect_error(settings(api, "user3", &json!({"compatibility_flags": ["no_such_flag"]})), 400, 10021).await;
    let secret = json!({"name": "V", "text": "x", "type": "secret_text"}).to_string();
    expect_error(api.request(Method::PUT, &format!("{SCRIPTS}/user3/secrets")).body(secret), 400, 10053).await;
    let twice = Form::new().text("metadata", r#"{"main_module":"a.js"}"#).text("a.js", ENV).text("a.js", ENV);
    expect_error(api.request(Method::PUT, &format!("{SCRIPTS}/user3")).multipart(twice), 400, 10021).await;
    // Errors of the form parser have the API's envelope as well.
    expect_error(api.request(Method::PUT, &format!("{SCRIPTS}/user3")).body("no form"), 400, 10026).await;
    for name in ["Upper", "-a", "a b", &"a".repeat(64)] {
        expect_error(api.upload(name, ENV, json!({})), 400, 10016).await;
    }

    assert_eq!(reply_json(&platform.customer("user3")).await, json!({"V": "1"}), "unchanged");
    expect_success(platform.customer("user1").get("/")).await;
    let incoming = std::fs::read_dir(platform.state.path().join("incoming")).expect("a folder").count();
    assert_eq!(incoming, 0, "no rejected upload remains");
}

#[tokio::test]
async fn no_binding_reaches_another_customers_resources() {
    let platform = Platform::start(&["--records"]).await;
    let api = &platform.api;
    expect_success(platform.customer("user1").post_json("/data", r#"{"key":"k","value":"secret of user1"}"#)).await;
    // Names of Workers of the local platform that are not in the account, and classes of other scripts.
    let names = ["storage", "entry", "dispatcher", "customer-user1", "core:user:customer-user1", "user1"];
    let mut bindings: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(at, service)| json!({"type": "service", "name": format!("S{at}"), "service": service}))
        .collect();
    for (at, script) in names.iter().enumerate() {
        bindings.push(json!({
            "type": "durable_object_namespace", "name": format!("O{at}"), "class_name": "Room", "script_name": script,
        }));
    }
    bindings.push(json!({"type": "dispatch_namespace", "name": "D", "namespace": "customers"}));
    bindings.push(json!({"type": "ai", "name": "AI"}));
    let reply = Reply::to(api.upload("user3", ENV, json!({"bindings": bindings}))).await.json();
    let messages: Vec<&str> = reply["messages"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|message| message["message"].as_str().expect("a text"))
        .collect();
    assert_eq!(messages.len(), bindings.len(), "each binding must have a warning: {reply}");
    for (name, reason) in
        [("env.S0", "storage"), ("env.O0", "another script's"), ("env.D", "dispatch_namespace"), ("env.AI", "type ai")]
    {
        assert!(
            messages.iter().any(|message| message.contains(name) && message.contains(reason)),
            "{name}: {messages:?}"
        );
    }
    let records = format!("{}/user3", api.records().await);
    expect_result(api.request(Method::PUT, &records).body("{}")).await;
    assert_eq!(reply_json(&platform.customer("user3")).await, json!({}), "no binding must exist");

    // The script itself sends requests to the runtime's internal Worker.
    let attack = r#"
        export default { async fetch(request, env) {
            const replies = [];
            for (const headers of [{}, { "Platform-Storage": "" }, { "Platform-Storage": "undefined" }, { "MF-Route-Override": "storage" }]) {
                try {
                    const reply = await fetch("http://localhost/.storage?storage=kv:x&operation=kv.list", { method: "POST", headers });
                    replies.push([reply.status, await reply.text()]);
                } catch (error) { replies.push(String(error)); }
            }
            return Response.json(replies);
        } };"#;
    expect_result(api.upload("user3", attack, json!({"bindings": []}))).await;
    let replies = reply_json(&platform.customer("user3")).await.to_string();
    assert!(!replies.contains("secret") && !replies.contains("\"keys\""), "{replies}");

    // No port of the platform leads to the storage.
    let mut replies = 0;
    for port in tests::processes::ports(&tests::processes::processes(platform.state.path())) {
        let address = format!("127.0.0.1:{port}");
        let url = format!("http://{address}/.storage?storage=r2:customer-user1&operation=r2.list");
        let sent =
            tests::client().post(url).header("MF-Route-Override", "storage").timeout(std::time::Duration::from_secs(5));
        if let Ok(reply) = sent.send().await {
            assert_ne!(reply.status(), 200, "{address}");
            replies += 1;
        }
    }
    assert!(replies > 0, "some of the ports must reply");
}

#[tokio::test]
async fn records_decide_who_is_a_customer() {
    let platform = Platform::start(&["--records"]).await;
    let (api, user1) = (&platform.api, platform.customer("user1"));
    let records = api.records().await;
    expect_success(user1.get("/")).await;
    expect_result(api.request(Method::PUT, &format!("{records}/user1")).body(r#"{"suspended":true}"#)).await;
    expect_problem(user1.get("/"), 403, "customer_suspended").await;
    expect_result(api.request(Method::DELETE, &format!("{records}/user1"))).await;
    expect_problem(user1.get("/"), 404, "unknown_user").await;
    expect_success(platform.customer("user2").get("/")).await;
    let bindings = expect_result(api.get("/workers/scripts/dispatcher/settings")).await["bindings"].clone();
    let namespace = json!({"type": "dispatch_namespace", "name": "DISPATCHER", "namespace": "customers"});
    assert!(bindings.as_array().expect("a list").contains(&namespace), "{bindings}");
}

#[tokio::test]
async fn state_files_are_readable_only_by_their_owner() {
    use std::os::unix::fs::PermissionsExt;
    let platform = Platform::start(&[]).await;
    let secret = json!({"bindings": [{"type": "secret_text", "name": "S", "text": "hush-hush"}]});
    expect_result(platform.api.upload("user3", ENV, secret)).await;
    assert_eq!(reply_json(&platform.customer("user3")).await, json!({"S": "hush-hush"}));
    let state = platform.state.path();
    for file in ["account.json", "api-token", "env"] {
        let mode = std::fs::metadata(state.join(file)).expect(file).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(!Path::new(&state.join("account.new")).exists());
    // What a process is started with is there only while it starts.
    let run = std::fs::read_dir(state.join("run")).expect("a folder");
    let names = run.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let left: Vec<String> = names.filter(|name| name.contains(".capnp")).collect();
    assert!(left.is_empty(), "{left:?}");
}
