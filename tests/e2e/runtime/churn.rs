//! Customers that come and go leave nothing behind.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use tests::api::{SCRIPTS, expect_result};
use tests::processes::{descriptors, memory_in_use, processes};
use tests::{Reply, expect_success};
use tokio::time::{interval, sleep};

use super::Platform;

#[tokio::test]
async fn deleted_customers_leave_nothing_behind() {
    let platform = Platform::start(&["stays"]).await;
    // The first one lets the simulators make files of their own.
    come_and_go(&platform, 0).await;
    let before = Count::of(&platform).await;
    for number in 1..4 {
        come_and_go(&platform, number).await;
    }
    let after = Count::of(&platform).await;
    assert_eq!((before.sockets, before.databases), (after.sockets, after.databases));
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// 500 customers an hour; `SOAK_MINUTES` is the time.
#[tokio::test]
#[ignore = "takes minutes"]
async fn memory_and_files_do_not_grow_with_customers_that_come_and_go() {
    let minutes = crate::reliability::setting("SOAK_MINUTES", 5);
    let platform = Platform::start(&["stays"]).await;
    come_and_go(&platform, 0).await;
    let before = Count::of(&platform).await;
    let (started, fifth) = (Instant::now(), Duration::from_mins(minutes) / 5);
    let mut pace = interval(Duration::from_hours(1) / 500);
    let (mut number, mut peaks) = (1, Vec::new());
    for part in 1..=5 {
        let mut peak = 0;
        while started.elapsed() < fifth * part {
            pace.tick().await;
            come_and_go(&platform, number).await;
            number += 1;
            peak = peak.max(memory_in_use(platform.state()));
        }
        peaks.push(peak / 1_000_000);
    }
    // Replaced processes have up to 30 seconds for their requests, and as long again for their `waitUntil`.
    sleep(Duration::from_mins(1)).await;
    let after = Count::of(&platform).await;
    println!("{number} customers in {minutes} minutes: {peaks:?} MB; {before:?} before, {after:?} after");
    assert!(peaks[4] * 10 <= peaks[3] * 11, "memory grows: {peaks:?}");
    assert_eq!((before.sockets, before.databases), (after.sockets, after.databases));
    assert!(after.descriptors <= before.descriptors + 10, "{before:?} {after:?}");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// Creates a customer, uses all of its storage, changes its Worker, and deletes it.
async fn come_and_go(platform: &Platform, number: usize) {
    let (api, id) = (&platform.api, format!("guest{number}"));
    let kv = api.kv_namespace(&id).await;
    api.post("/r2/buckets", json!({ "name": id })).await;
    let database = api.post("/d1/database", json!({ "name": id })).await["uuid"].as_str().expect("an id").to_owned();
    let upload = async |version: &str| {
        let metadata = json!({ "compatibility_date": "2026-11-17", "bindings": [
            { "type": "kv_namespace", "name": "KV", "namespace_id": kv },
            { "type": "r2_bucket", "name": "R2", "bucket_name": id },
            { "type": "d1", "name": "DB", "id": database },
        ] });
        let source = format!(
            "export default {{ async fetch(request, {{ KV, R2, DB }}) {{
                await KV.put('key', 'value'); await R2.put('key', 'value'); await DB.exec('SELECT 1');
                const kept = [await KV.get('key'), await (await R2.get('key')).text(), {version:?}];
                await R2.delete('key');
                return Response.json(kept); }} }};"
        );
        expect_result(api.upload(&id, &source, metadata)).await;
    };
    for version in ["v1", "v2"] {
        upload(version).await;
        let reply = Reply::to(platform.customer(&id).get("/")).await;
        assert_eq!(reply.json(), json!(["value", "value", version]), "{reply}");
    }
    for path in [
        format!("{SCRIPTS}/{id}"),
        format!("/storage/kv/namespaces/{kv}"),
        format!("/r2/buckets/{id}"),
        format!("/d1/database/{database}"),
    ] {
        expect_result(api.request(Method::DELETE, &path)).await;
    }
    let gone: Value = Reply::to(platform.customer(&id).get("/")).await.json();
    assert_eq!(gone["code"], "unknown_user");
    expect_success(platform.customer("stays").get("/")).await;
}

/// What a platform uses that could grow.
#[derive(Debug)]
struct Count {
    sockets: usize,
    databases: usize,
    descriptors: usize,
}

impl Count {
    /// Counts once it is quiet.
    async fn of(platform: &Platform) -> Self {
        let entries = |folder: &Path| fs::read_dir(folder).map_or(0, Iterator::count);
        let run = platform.state().join("run");
        // The simulators close the files of what nobody uses after ten seconds.
        sleep(Duration::from_secs(15)).await;
        let all = processes(platform.state());
        let own: Vec<String> = all.into_iter().filter(|line| !line.contains("--debug-port=unix:p")).collect();
        Self {
            sockets: entries(&run.join("scripts")) + entries(&run.join("databases")),
            databases: entries(&platform.state().join("storage/v3/d1/miniflare-D1DatabaseObject")),
            descriptors: descriptors(&own),
        }
    }
}
