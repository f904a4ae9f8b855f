use std::collections::BTreeSet;

use anyhow::Result;
use cloudflare_api::Jurisdiction;
use serde_json::{Value, json};
use shared::customer::Plan;

use super::*;

fn parse(text: &str) -> Result<Manifest> {
    Manifest::parse(text, &"user1".parse().expect("an id"))
}

fn bindings(manifest: &Manifest) -> Value {
    let secret = |name: &str| (name == "API_KEY").then(|| "hush".to_owned());
    serde_json::to_value(manifest.bindings(secret).expect("all secrets are set")).expect("JSON")
}

#[test]
fn a_customer_without_a_file_gets_storage_and_nothing_else() {
    let manifest = parse("").expect("an empty file is valid");
    assert_eq!(manifest, Manifest::default());
    assert_eq!(manifest.storage, StorageSpec { kv: true, r2: true, d1: true, jurisdiction: None });
    assert_eq!(bindings(&manifest), json!([]));
}

#[test]
fn every_kind_of_binding_has_the_format_of_the_upload_api() {
    for (fields, expected) in [
        (r#"type = "ai""#, json!({"type": "ai"})),
        (r#"type = "analytics_engine", dataset = "d""#, json!({"type": "analytics_engine", "dataset": "d"})),
        (r#"type = "browser""#, json!({"type": "browser"})),
        (r#"type = "d1", id = "x", shared = true"#, json!({"type": "d1", "id": "x"})),
        (
            r#"type = "dispatch_namespace", namespace = "n", shared = true"#,
            json!({"type": "dispatch_namespace", "namespace": "n"}),
        ),
        (
            r#"type = "durable_object_namespace", class_name = "Room""#,
            json!({"type": "durable_object_namespace", "class_name": "Room"}),
        ),
        (
            r#"type = "durable_object_namespace", class_name = "Room", script_name = "s", shared = true"#,
            json!({"type": "durable_object_namespace", "class_name": "Room", "script_name": "s"}),
        ),
        (r#"type = "hyperdrive", id = "h""#, json!({"type": "hyperdrive", "id": "h"})),
        (r#"type = "json", json = { q = 1.5 }"#, json!({"type": "json", "json": {"q": 1.5}})),
        (r#"type = "kv_namespace", namespace_id = "1""#, json!({"type": "kv_namespace", "namespace_id": "1"})),
        (
            r#"type = "mtls_certificate", certificate_id = "m""#,
            json!({"type": "mtls_certificate", "certificate_id": "m"}),
        ),
        (r#"type = "plain_text", text = "p""#, json!({"type": "plain_text", "text": "p"})),
        (r#"type = "queue", queue_name = "jobs""#, json!({"type": "queue", "queue_name": "jobs"})),
        (
            r#"type = "r2_bucket", bucket_name = "b", jurisdiction = "eu", shared = true"#,
            json!({"type": "r2_bucket", "bucket_name": "b", "jurisdiction": "eu"}),
        ),
        (
            r#"type = "ratelimit", namespace_id = "1", simple = { limit = 9, period = 60 }"#,
            json!({"type": "ratelimit", "namespace_id": "1", "simple": {"limit": 9, "period": 60}}),
        ),
        (
            r#"type = "service", service = "s", entrypoint = "E", environment = "e", props = { a = 1 }"#,
            json!({"type": "service", "service": "s", "entrypoint": "E", "environment": "e", "props": {"a": 1}}),
        ),
        (
            r#"type = "secrets_store_secret", store_id = "s", secret_name = "n""#,
            json!({"type": "secrets_store_secret", "store_id": "s", "secret_name": "n"}),
        ),
        (r#"type = "pipelines", pipeline = "p""#, json!({"type": "pipelines", "pipeline": "p"})),
        (
            r#"type = "workflow", workflow_name = "w", class_name = "W", shared = true"#,
            json!({"type": "workflow", "workflow_name": "w", "class_name": "W"}),
        ),
        (r#"type = "vectorize", index_name = "i""#, json!({"type": "vectorize", "index_name": "i"})),
        (r#"type = "version_metadata""#, json!({"type": "version_metadata"})),
    ] {
        let manifest = parse(&format!("bindings = [{{ name = \"A\", {fields} }}]")).expect(fields);
        let mut expected = expected;
        expected["name"] = "A".into();
        assert_eq!(bindings(&manifest), json!([expected]));
    }
}

/// Returns the example of docs/customers.md.
fn documented_example() -> Manifest {
    let page = include_str!("../../../docs/customers.md");
    let example = page.split("```toml\n").nth(1).expect("an example").split("```").next().expect("an end");
    parse(example).expect("a manifest")
}

/// Operators start from the example, so it must have every type of binding.
#[test]
fn the_documented_example_is_valid_and_has_every_type() {
    let manifest = documented_example();
    let types: BTreeSet<String> = bindings(&manifest)
        .as_array()
        .expect("bindings")
        .iter()
        .map(|binding| binding["type"].as_str().expect("a type").to_owned())
        .collect();
    let expected = [
        "ai",
        "analytics_engine",
        "browser",
        "d1",
        "dispatch_namespace",
        "durable_object_namespace",
        "hyperdrive",
        "json",
        "kv_namespace",
        "mtls_certificate",
        "pipelines",
        "plain_text",
        "queue",
        "r2_bucket",
        "ratelimit",
        "secret_text",
        "secrets_store_secret",
        "service",
        "vectorize",
        "version_metadata",
        "workflow",
    ];
    assert_eq!(types, BTreeSet::from(expected.map(str::to_owned)));
    // The parser's error lists all types: none may be missing above.
    let unknown = parse("bindings = [{ name = 'A', type = 'none' }]").expect_err("unknown").to_string();
    assert_eq!(unknown.matches('`').count() / 2 - 1, expected.len(), "{unknown}");
}

/// The ownership checks see only resources. A type that names none must be one that no two customers can share.
#[test]
fn every_type_of_binding_names_a_resource_or_is_nobody_elses() {
    for binding in documented_example().bindings {
        let json = binding.to_json();
        let kind = json["type"].as_str().expect("a type");
        let own = ["ai", "browser", "json", "plain_text", "version_metadata"];
        assert_eq!(binding.resource().is_none(), own.contains(&kind), "{kind}");
    }
}

#[test]
fn variables_and_secrets_become_bindings() {
    let text = r#"
        plan = "pro"
        tags = ["eu", "beta"]
        secrets = ["API_KEY"]
        limits = { cpuMs = 50, subRequests = 20 }
        storage = { d1 = false, jurisdiction = "eu" }
        vars = { GREETING = "hello", FLAGS = { dark = true, ids = [1, 2] } }
    "#;
    let manifest = parse(text).expect("a manifest");
    assert_eq!(manifest.plan.as_ref().map(Plan::as_str), Some("pro"));
    assert_eq!(manifest.limits.cpu_ms.map(std::num::NonZero::get), Some(50));
    let expected_storage = StorageSpec { kv: true, r2: true, d1: false, jurisdiction: Some(Jurisdiction::Eu) };
    assert_eq!(manifest.storage, expected_storage);
    let expected = json!([
        {"name": "FLAGS", "type": "json", "json": {"dark": true, "ids": [1, 2]}},
        {"name": "GREETING", "type": "plain_text", "text": "hello"},
        {"name": "API_KEY", "type": "secret_text", "text": "hush"},
    ]);
    assert_eq!(bindings(&manifest), expected);
    let unset = manifest.bindings(|_| None).expect_err("no secret is set").to_string();
    assert_eq!(unset, "the secret API_KEY is not set in the environment");
}

#[test]
fn errors_name_the_line() {
    for (text, line, reason) in [
        ("plam = \"pro\"", 1, "unknown field `plam`"),
        ("\nplan = \"Pro\"", 2, "a plan is 1 to 32"),
        ("\n\n[limits]\ncpu = 1", 4, "unknown field `cpu`"),
        ("[limits]\ncpuMs = 0", 2, "nonzero"),
        ("[storage]\nkb = true", 2, "unknown field `kb`"),
        ("[script]\nmain = \"index.js\"", 1, "missing field `path`"),
        ("[script]\npath = \".\"\nmian = \"index.js\"", 3, "unknown field `mian`"),
        ("[storage]\njurisdiction = \"mars\"", 2, "unknown variant `mars`"),
        ("\n[[bindings]]\nname = \"A\"\ntype = \"kv\"", 4, "unknown variant `kv`"),
        ("\n\n[[bindings]]\ntype = \"ai\"", 3, "needs a `name`"),
        ("[[bindings]]\nname = \"A\"\ntype = \"queue\"", 1, "missing field `queue_name`"),
        (
            "[[bindings]]\nname = \"A\"\ntype = \"queue\"\nqueue = \"q\"",
            4,
            "unexpected keys in table: queue, available keys: queue_name",
        ),
        ("[[bindings]]\nname = \"A\"\ntype = \"ai\"\nmodel = \"m\"", 4, "unexpected keys in table: model"),
        ("[vars]\nA = 1\nB = 2026-11-22", 3, "JSON has no dates: put 2026-11-22 in quotation marks"),
        ("[vars]\nA = { b = [1.0, nan] }", 2, "JSON has no number"),
        ("[vars]\nA = -inf", 2, "JSON has no number -inf"),
        ("[[bindings]]\nname = 'A'\ntype = 'json'\njson = { on = 2026-11-22 }", 4, "json: on: JSON has no dates"),
        ("[[bindings]]\nname = \"A\"\ntype = \"secret_text\"\ntext = \"hush\"", 3, "to `secrets`"),
        ("[[bindings]]\nname = 1\ntype = 'ai'", 2, "`name`: invalid type: integer"),
        ("[[bindings]]\nname = 'A'\ntype = 'd1'\nid = 7", 4, "invalid type: integer `7`, expected a string"),
        ("[[bindings]]\nname = 'A'\ntype = 'ai'\nshared = true", 4, "`shared` is for resources"),
        ("[[bindings]]\nname = 'A'\ntype = 'd1'\nid = 'x'\nshared = 'yes'", 5, "`shared`: invalid type"),
        (
            "[[bindings]]\nname = 'A'\ntype = 'ratelimit'\n[bindings.simple]\nlimit = 1\nperiod = 30",
            6,
            "a period must be 10 or 60 seconds, not 30",
        ),
        (
            "[[bindings]]\nname = 'A'\ntype = 'ratelimit'\nnamespace_id = 'mine'\nsimple = { limit = 1, period = 10 }",
            4,
            "a namespace_id must be a positive integer",
        ),
        ("[[bindings]]\nname = 'A'\ntype = 'ai'\n[[bindings]]\nname = 'A'\ntype = 'browser'", 5, "two bindings"),
        ("[vars]\nA = 1\nUSER_KV = 1", 3, "two bindings called USER_KV"),
        ("secrets = [\n  'A',\n  'b-c',\n]", 3, "cannot be a binding's name"),
        ("tags = [\n  'eu',\n  'own-script',\n]", 3, "the tag own-script is reserved"),
        ("bindings = 1", 1, "bindings must be tables"),
        ("bindings = [1]", 1, "a binding must be a table"),
        ("vars = 1", 1, "vars: invalid type"),
        ("[vars]\nA = 1\nconstructor = 1", 3, "every JavaScript object has a member"),
        ("[[bindings]]\nname = 'A'\ntype = 'queue'\nqueue_name = ''", 4, "`queue_name` is empty"),
        ("[[bindings]]\nname = 'A'\ntype = 'ai'\nshared = false", 4, "`shared` is for resources"),
        (
            "[[bindings]]\nname = 'A'\ntype = 'ratelimit'\nsimple = { limit = 0, period = 10 }",
            4,
            "a limit must be at least 1",
        ),
    ] {
        let error = format!("{:#}", parse(text).expect_err(text));
        assert!(error.contains(&format!("line {line}")) && error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn variables_and_secrets_are_limited_in_number_and_length() {
    let vars = |count: usize| (0..count).map(|number| format!("V{number:03} = 1")).collect::<Vec<_>>().join("\n");
    parse(&format!("secrets = ['S']\n[vars]\n{}", vars(127))).expect("the maximum");
    let error = parse(&format!("secrets = ['S']\n[vars]\n{}", vars(128))).expect_err("one too many").to_string();
    assert_eq!(error, "line 130: there are 129 variables and secrets: a script can have at most 128");
    for (text, is_valid) in [("x".repeat(5120), true), ("x".repeat(5121), false)] {
        assert_eq!(parse(&format!("[vars]\nA = '{text}'")).is_ok(), is_valid);
        let manifest = parse("secrets = ['S']").expect("a manifest");
        assert_eq!(manifest.bindings(|_| Some(text.clone())).is_ok(), is_valid);
    }
}

#[test]
fn tags_are_limited_in_number_and_characters() {
    let seven = parse(r#"tags = ["a", "b", "c", "d", "e", "f", "g"]"#).expect("the maximum");
    assert_eq!(seven.tags.len(), 7);
    for (tags, reason) in [
        (r#"["a", "b", "c", "d", "e", "f", "g", "h"]"#, "there are 8 tags"),
        (r#"["own-script"]"#, "is reserved"),
        (r#"["customer-worker"]"#, "is reserved"),
        (r#"["a,b"]"#, "cannot be a tag"),
        (r#"["a&b"]"#, "cannot be a tag"),
        (r#"["a:b"]"#, "cannot be a tag"),
        (r#"[""]"#, "cannot be a tag"),
    ] {
        let error = parse(&format!("tags = {tags}")).expect_err(tags).to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn binding_names_are_unique_identifiers() {
    for text in [
        "secrets = [\"A\"]\n[vars]\nA = 1",
        "[vars]\nUSER_KV = 1",
        "[[bindings]]\nname = \"USER_DB\"\ntype = \"ai\"",
        "[[bindings]]\nname = \"A\"\ntype = \"ai\"\n[[bindings]]\nname = \"A\"\ntype = \"browser\"",
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(": there are two bindings called"), "{text}: {error}");
    }
    // A customer without its own database can use the name for another one.
    let text = "storage = { d1 = false }\n[[bindings]]\nname = \"USER_DB\"\ntype = \"d1\"\nid = \"x\"";
    assert_eq!(parse(text).expect("a manifest").bindings.len(), 1);
    for name in ["", "1A", "a-b", "a b", "é"] {
        let text = format!("[vars]\n\"{name}\" = 1");
        assert!(parse(&text).expect_err(name).to_string().contains("cannot be a binding's name"));
    }
}

#[test]
fn migrations_are_steps_with_tags_of_their_own() {
    let step = |fields: &str| format!("[[migrations]]\n{fields}\n");
    let manifest = parse(&step("tag = 'v1'\nnew_classes = ['A']\nrenamed_classes = [{ from = 'B', to = 'C' }]"));
    let migrations = manifest.expect("valid").migrations;
    assert_eq!(
        (&*migrations[0].tag, &*migrations[0].new_classes[0], &*migrations[0].renamed_classes[0].to),
        ("v1", "A", "C")
    );
    for (text, reason) in [
        (step("new_classes = ['A']"), "line 1: a migration needs a `tag`"),
        ([step("tag = 'v1'"), step("tag = 'v1'")].concat(), "line 3: there are two migrations with the tag v1"),
        (step("tag = 'v1'\nnew_class = ['A']"), "unknown field `new_class`"),
        (step("tag = 'v1'\nrenamed_classes = [{ from = 'A' }]"), "missing field `to`"),
        ("migrations = 'v1'".to_owned(), "line 1"),
    ] {
        let error = parse(&text).expect_err(&text).to_string();
        assert!(error.contains(reason), "{error}");
    }
}
