//! Uploads that Cloudflare rejects are rejected locally, with its error codes where they are known, and change nothing.

use std::fs;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tests::api::{SCRIPTS, expect_error, expect_result, text};
use tests::{Reply, expect_success, noise};

use super::Platform;

const SCRIPT: &str = "export default { fetch() { return Response.json(1); } };";

/// Returns the upload of a script with these modules: their names, media types and contents.
fn upload(
    api: &tests::LocalApi,
    metadata: &Value,
    modules: &[(&'static str, &str, Vec<u8>)],
) -> reqwest::RequestBuilder {
    let form = Form::new().percent_encode_noop().text("metadata", metadata.to_string());
    let form = modules.iter().fold(form, |form, (name, kind, content)| {
        let part = Part::bytes(content.clone()).file_name(*name).mime_str(kind).expect("a media type");
        form.part(*name, part)
    });
    api.request(Method::PUT, &format!("{SCRIPTS}/user3")).multipart(form)
}

#[tokio::test]
async fn metadata_and_settings_are_validated() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    expect_result(api.upload("user3", SCRIPT, json!({"tags": ["kept"]}))).await;
    let before = expect_result(api.get(&format!("{SCRIPTS}/user3/settings"))).await;

    let variables = |count: usize, size: usize| {
        let variable = |at| json!({"type": "plain_text", "name": format!("V{at}"), "text": "x".repeat(size)});
        json!({"bindings": (0..count).map(variable).collect::<Vec<_>>()})
    };
    let binding = |binding: Value| json!({"bindings": [binding]});
    for (metadata, code, reason) in [
        (binding(json!({"type": "banana", "name": "B"})), 10021, "binding B of type banana is invalid"),
        (binding(json!({"name": "B"})), 10021, "is invalid"),
        (binding(json!({"type": "plain_text", "text": "x"})), 10052, "no name"),
        (binding(json!({"type": "plain_text", "name": "a-b", "text": "x"})), 10021, "cannot be a binding's name"),
        (binding(json!({"type": "plain_text", "name": "9", "text": "x"})), 10021, "cannot be a binding's name"),
        (binding(json!({"type": "vectorize", "name": "V"})), 10021, "must have a index_name"),
        (binding(json!({"type": "queue", "name": "Q"})), 10021, "must have a queue_name"),
        (binding(json!({"type": "queue", "name": "Q", "queue_name": "none"})), 11000, "Queue 'none' not found"),
        (
            binding(
                json!({"type": "ratelimit", "name": "R", "namespace_id": "1", "simple": {"limit": 5, "period": 7}}),
            ),
            10021,
            "10 or 60",
        ),
        (variables(129, 1), 10055, "129 variables"),
        (variables(1, 5121), 10054, "V0 has 5121 bytes"),
        (binding(json!({"type": "json", "name": "J", "json": "x".repeat(5119)})), 10054, "J has 5121 bytes"),
        (json!({"tags": ["1", "2", "3", "4", "5", "6", "7", "8", "9"]}), 10021, "9 tags"),
        (json!({"compatibility_date": "2999-01-01"}), 10021, "in the future"),
        (json!({"compatibility_date": "17.11.2026"}), 10021, "write it as"),
        (json!({"compatibility_flags": ["no_such_flag"]}), 10021, "No such compatibility flag"),
        (json!({"compatibility_flags": ["webgpu"]}), 10021, "is experimental and cannot yet be used"),
        (json!({"compatibility_flags": ["python_workers"]}), 10021, "Python is not supported"),
        (
            binding(json!({"type": "durable_object_namespace", "name": "O", "class_name": "Room"})),
            10061,
            "--new-class migration",
        ),
        (json!({"migrations": {"new_tag": "v1", "new_sqlite_classes": ["Room"]}}), 10070, "class 'Room'"),
        (json!({"exports": {"Room": {"type": "durable-object", "storage": "sqlite"}}}), 10070, "class 'Room'"),
    ] {
        let message = expect_error(api.upload("user3", SCRIPT, metadata.clone()), 400, code).await;
        assert!(message.contains(reason), "{metadata}: {message}");
        // A change of only the settings is validated as well, even for a customer with the platform's Worker.
        if code != 10070 {
            for script in ["user3", "user1"] {
                let form = Form::new().text("settings", metadata.to_string());
                let settings = api.request(Method::PATCH, &format!("{SCRIPTS}/{script}/settings")).multipart(form);
                let message = expect_error(settings, 400, code).await;
                assert!(message.contains(reason), "{script}: {metadata}: {message}");
            }
        }
    }
    for (name, size, code) in [("a-b", 1, 10021), ("", 1, 10052), ("S", 5121, 10054)] {
        let secret = json!({"name": name, "text": "x".repeat(size), "type": "secret_text"}).to_string();
        let put = api.request(Method::PUT, &format!("{SCRIPTS}/user3/secrets")).body(secret);
        expect_error(put, 400, code).await;
    }
    let tags = json!(["1", "2", "3", "4", "5", "6", "7", "8"]);
    let nine = json!(["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    let put = |tags: &Value| api.request(Method::PUT, &format!("{SCRIPTS}/user3/tags")).body(tags.to_string());
    expect_error(put(&nine), 400, 10021).await;
    expect_result(put(&tags)).await;
    expect_error(api.request(Method::PUT, &format!("{SCRIPTS}/user3/tags/9")), 400, 10021).await;
    expect_result(put(&json!(["kept"]))).await;

    assert_eq!(expect_result(api.get(&format!("{SCRIPTS}/user3/settings"))).await, before);
    assert_eq!(Reply::to(platform.customer("user3").get("/")).await.json(), 1);
    expect_success(platform.customer("user1").get("/")).await;
    // The maximum is accepted.
    api.post("/queues", json!({"queue_name": "jobs"})).await;
    let mut maximum = variables(127, 1);
    let bindings = maximum["bindings"].as_array_mut().expect("a list");
    bindings.push(json!({"type": "json", "name": "LARGE", "json": "x".repeat(5118)}));
    bindings.push(json!({"type": "queue", "name": "Q", "queue_name": "jobs"}));
    maximum["tags"] = tags;
    expect_result(api.upload("user3", SCRIPT, maximum)).await;
}

#[tokio::test]
async fn durable_object_classes_must_be_exported_until_deleted() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    let room = |class: &str| {
        format!(
            "import {{ DurableObject }} from 'cloudflare:workers';
            export class {class} extends DurableObject {{ fetch() {{ return Response.json('{class}'); }} }}
            export default {{ fetch(request, env) {{ return env.O.get(env.O.idFromName('a')).fetch(request); }} }};"
        )
    };
    let binding = |class: &str| json!([{"type": "durable_object_namespace", "name": "O", "class_name": class}]);
    let date = "2026-01-01";
    let bound = |class: &str| json!({"bindings": binding(class), "compatibility_date": date});
    let exports = json!({"Room": {"type": "durable-object", "storage": "sqlite"}});
    let first = json!({"bindings": binding("Room"), "exports": exports, "compatibility_date": date});
    expect_result(api.upload("user3", &room("Room"), first)).await;
    let user3 = platform.customer("user3");
    assert_eq!(Reply::to(user3.get("/")).await.json(), "Room");

    let message = expect_error(api.upload("user3", SCRIPT, json!({"compatibility_date": date})), 400, 10064).await;
    assert!(message.contains("'Room'") && message.contains("delete-class migration"), "{message}");
    expect_error(api.upload("user3", &room("Hall"), bound("Hall")), 400, 10061).await;
    let mut renamed = bound("Hall");
    renamed["migrations"] = json!({"new_tag": "v2", "renamed_classes": [{"from": "Room", "to": "Hall"}]});
    expect_error(api.upload("user3", &room("Room"), renamed.clone()), 400, 10070).await;
    assert_eq!(Reply::to(user3.get("/")).await.json(), "Room", "unchanged");
    expect_result(api.upload("user3", &room("Hall"), renamed)).await;
    assert_eq!(Reply::to(user3.get("/")).await.json(), "Hall");
}

#[tokio::test]
async fn modules_that_cannot_run_are_rejected_with_the_reason() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    let main = ("index.js", "application/javascript+module", SCRIPT.as_bytes().to_vec());
    let js = |source: &str| ("index.js", "application/javascript+module", source.as_bytes().to_vec());
    let python = b"from workers import Response".to_vec();
    let large = noise(11 << 20, 7);
    for (entry, modules, code, reason) in [
        ("index.js", vec![main.clone(), ("large.bin", "application/octet-stream", large.clone())], 10027, "10 MiB"),
        ("index.js", vec![main.clone(), ("a.py", "text/x-python", python.clone())], 10021, "a.py: Python is not"),
        ("index.js", vec![main.clone(), ("a.py", "text/plain", python.clone())], 10021, "a.py: Python is not"),
        ("index.js", vec![main.clone(), ("a", "text/x-python", python.clone())], 10021, "a: Python is not supported"),
        ("index.js", vec![main.clone(), ("cf", "text/x-python-requirement", vec![])], 10021, "Python is not supported"),
        ("entry.py", vec![("entry.py", "text/x-python", python.clone())], 10021, "entry.py: Python is not supported"),
        ("entry.py", vec![("entry.py", "application/octet-stream", python.clone())], 10021, "Python is not supported"),
        ("index.js", vec![js("import x from 'lodash'; export default {};")], 10021, "Bundle the script first"),
        ("index.js", vec![js("import './other.js'; export default {};")], 10021, "the module other.js as well"),
        ("index.js", vec![js("import 'node:fs'; export default {};")], 10021, "nodejs_compat"),
        ("index.js", vec![main.clone(), ("x.json", "application/json", b"{".to_vec())], 10021, "not valid JSON"),
        ("index.js", vec![main.clone(), ("x.png", "image/png", vec![1])], 10021, "x.png is image/png"),
        ("x.json", vec![("x.json", "application/json", b"{}".to_vec())], 10021, "x.json is JSON"),
    ] {
        let message = expect_error(upload(api, &json!({"main_module": entry}), &modules), 400, code).await;
        assert!(message.contains(reason), "{message}");
    }
    expect_error(api.get(&format!("{SCRIPTS}/user3")), 404, 10092).await;
    // A large module that compresses well is accepted, and source maps do not count.
    let modules = [
        main,
        ("zeros.bin", "application/octet-stream", vec![0; 11 << 20]),
        ("index.js.map", "application/source-map", large),
    ];
    expect_result(upload(api, &json!({"main_module": "index.js"}), &modules)).await;
    assert_eq!(Reply::to(platform.customer("user3").get("/")).await.json(), 1);
}

#[tokio::test]
async fn python_is_rejected_from_every_client() {
    let platform = Platform::start(&[]).await;
    let folder = platform.state.path().join("python");
    fs::create_dir(&folder).expect("a folder");
    let source = "from workers import WorkerEntrypoint, Response\n\nclass Default(WorkerEntrypoint):\n    \
                  async def fetch(self, request):\n        return Response('x')\n";
    fs::write(folder.join("entry.py"), source).expect("a file");
    let config = "name = \"user3\"\nmain = \"entry.py\"\ncompatibility_date = \"2026-01-01\"\n\
                  compatibility_flags = [\"python_workers\"]\n";
    fs::write(folder.join("wrangler.toml"), config).expect("a file");
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();

    let modules = tests::repository().join("node_modules");
    let mut wrangler = platform.api.command(&modules.join("node/bin/node"));
    wrangler.arg(modules.join("wrangler/bin/wrangler.js")).args(["deploy", "--dispatch-namespace", "customers", "-c"]);
    let output = wrangler.arg(path("wrangler.toml")).output().await.expect("wrangler runs");
    let printed = text(&output.stdout) + &text(&output.stderr);
    assert!(!output.status.success() && printed.contains("Python is not supported"), "{printed}");

    for script in [path("entry.py"), path("")] {
        let arguments = ["customer", "create", "user3", "--no-build", "--script", &script];
        let output = platform.api.platform(&arguments).await;
        let errors = text(&output.stderr);
        assert!(!output.status.success() && errors.contains("Python is not supported"), "{script}: {errors}");
    }
    expect_error(platform.api.get(&format!("{SCRIPTS}/user3")), 404, 10092).await;
}
