//! The bindings of a script's process do what they do in Miniflare itself. Run this when a version of workerd or Miniflare
//! changes: the processes reach the simulators in ways that nobody documents.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::Reply;
use tests::api::expect_result;

use super::Platform;

#[tokio::test]
async fn bindings_of_a_process_do_what_they_do_in_miniflare() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
    let native = format!("native={fixtures}/probe.toml");
    let platform = Platform::start(&[&native, "process"]).await;
    let api = &platform.api;
    let kv = api.kv_namespace("probe").await;
    api.post("/r2/buckets", json!({ "name": "probe-process" })).await;
    let database = api.post("/d1/database", json!({ "name": "probe" })).await["uuid"].clone();
    let bindings = json!([
        { "type": "kv_namespace", "name": "KV", "namespace_id": kv },
        { "type": "r2_bucket", "name": "R2", "bucket_name": "probe-process" },
        { "type": "d1", "name": "DB", "id": database },
        { "type": "ratelimit", "name": "LIMIT", "namespace_id": "8002", "simple": { "limit": 3, "period": 60 } },
    ]);
    let metadata = json!({ "compatibility_date": "2026-11-17", "bindings": bindings });
    let source = include_str!("../../fixtures/probe.js");
    expect_result(api.upload("process", source, metadata)).await;

    let results = async |id: &str| -> Value { Reply::to(platform.customer(id).get("/")).await.json() };
    let (native, process) = (results("native").await, results("process").await);
    let (native, process) = (native.as_object().expect("results"), process.as_object().expect("results"));
    assert!(native.len() > 45, "{} probes", native.len());
    let different: Vec<String> = native
        .iter()
        .filter(|(name, result)| process.get(*name) != Some(result))
        .map(|(name, result)| format!("{name}: {result} in Miniflare, {:?} in a process", process.get(name)))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
    // The probes have not all failed in the same way.
    assert_eq!((&native["kv get text"], &native["d1 first"]), (&"a text".into(), &"ü'".into()));
    assert_eq!(native["r2 get range"], "234");
    assert_eq!(native["rate limit"], json!([true, true, true, false]));
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}
