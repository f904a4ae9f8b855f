//! `/stats`: counts of files, values and operations.

use std::time::Duration;

use futures::{StreamExt, stream};
use nix::sys::signal::Signal;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{Customer, Dev, Reply, expect_problem, expect_success, storage};

fn store_file(user: &Customer, number: usize) -> RequestBuilder {
    user.put(&format!("/files?key=f/{number}")).header("Content-Length", number).body("x".repeat(number))
}

fn store_value(user: &Customer, number: usize) -> RequestBuilder {
    user.post_json("/data", json!({"key": format!("v/{number}"), "value": number}).to_string())
}

async fn stats(user: &Customer) -> Value {
    expect_success(user.get("/stats")).await.json()
}

/// Expects these counts of what is stored.
async fn expect_stored(user: &Customer, files: usize, total_size: usize, kv_keys: usize) {
    let stats = stats(user).await;
    assert_eq!(stats["files"], json!({"count": files, "totalSize": total_size}));
    assert_eq!(stats["storage"], json!({"kvKeys": kv_keys, "r2Objects": files}));
}

/// A page of a list has 1000 entries, so that counting needs two pages. 50 clients write concurrently.
#[tokio::test]
async fn stats_count_all_files_and_values() {
    const COUNT: usize = 1100;
    let user = &Customer::new("count1");
    expect_stored(user, 0, 0, 0).await;

    stream::iter(0..COUNT)
        .for_each_concurrent(50, async |number| drop(expect_success(store_file(user, number)).await))
        .await;
    let size = COUNT * (COUNT - 1) / 2;
    expect_stored(user, COUNT, size, 0).await;

    stream::iter(0..COUNT)
        .for_each_concurrent(50, async |number| drop(expect_success(store_value(user, number)).await))
        .await;
    expect_stored(user, COUNT, size, COUNT).await;

    // Overwriting changes no counts, deleting does.
    expect_success(store_file(user, 7)).await;
    expect_success(store_value(user, 7)).await;
    expect_success(user.delete("/files?key=f/10")).await;
    expect_success(user.delete("/data?key=v/10")).await;
    expect_stored(user, COUNT - 1, size - 10, COUNT - 1).await;
}

/// 50 clients send 1000 operations for longer than the interval at which counts are written to KV, so that some happen
/// during a write. No operation causes a write of its own.
#[tokio::test]
async fn a_thousand_concurrent_operations_are_all_counted() {
    let user = &Customer::new("count3");
    let nothing = json!({"totalOperations": 0, "lastActivity": null, "byOperation": {}, "windowDays": 30});
    assert_eq!(stats(user).await["activity"], nothing);

    // Requests that do not reach storage or fail are not counted.
    expect_success(user.get("/")).await;
    expect_problem(user.get("/nothing"), 404, "not_found").await;
    expect_problem(user.get("/data?key=v/0"), 404, "data_not_found").await;
    expect_problem(user.get("/files?key="), 400, "invalid_key").await;
    expect_problem(user.post_json("/data", "{"), 400, "invalid_json").await;
    expect_problem(user.post_json("/db/query", r#"{"sql":"SELECT x"}"#), 400, "sql_error").await;
    assert_eq!(stats(user).await["activity"], nothing);

    stream::iter(0..200)
        .for_each_concurrent(50, async |number| {
            expect_success(store_value(user, number)).await;
            expect_success(user.get(&format!("/data?key=v/{number}"))).await;
            expect_success(store_file(user, number)).await;
            assert_eq!(Reply::to(user.get(&format!("/files?key=f/{number}"))).await.status, 200);
            tokio::time::sleep(Duration::from_millis(u64::from(number % 4 == 0) * 2000)).await;
            match number % 4 {
                0 => drop(expect_success(user.get("/data?limit=1")).await),
                1 => drop(expect_success(user.get("/files?limit=1")).await),
                2 => drop(expect_success(user.delete(&format!("/data?key=v/{number}"))).await),
                _ => drop(expect_success(user.delete(&format!("/files?key=f/{number}"))).await),
            }
        })
        .await;
    let activity = stats(user).await["activity"].clone();
    let by_operation = json!({
        "setData": 200, "getData": 200, "uploadFile": 200, "getFile": 200,
        "listData": 50, "listFiles": 50, "deleteData": 50, "deleteFile": 50,
    });
    assert_eq!((&activity["totalOperations"], &activity["byOperation"]), (&1000.into(), &by_operation));
    let last = activity["lastActivity"].as_str().expect("a time");
    assert!(last.len() == 24 && last.ends_with('Z'), "{last}");

    // In KV, each isolate writes one key.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let written = storage::query(
        "kv",
        "SELECT metadata FROM _mf_entries WHERE key LIKE 'usage/%' AND metadata LIKE '%\"setData\":200%'",
    );
    assert_eq!(written.len(), 1, "{written:?}");
}

/// Covers the operations that the other tests in this file do not count.
#[tokio::test]
async fn each_operation_is_counted_under_its_name() {
    let user = Customer::new("parts");
    let before = stats(&user).await["activity"]["byOperation"].clone();
    let upload = expect_success(user.post("/files/uploads?key=counted")).await.json();
    let id = tests::escaped(upload["uploadId"].as_str().expect("an id"));
    let part = user.put(&format!("/files/uploads?key=counted&uploadId={id}&partNumber=1")).body("x");
    let part = expect_success(part).await.json();
    let complete = format!("/files/uploads/complete?key=counted&uploadId={id}");
    expect_success(user.post_json(&complete, json!({"parts": [part]}).to_string())).await;
    let upload = expect_success(user.post("/files/uploads?key=counted")).await.json();
    let id = tests::escaped(upload["uploadId"].as_str().expect("an id"));
    expect_success(user.delete(&format!("/files/uploads?key=counted&uploadId={id}"))).await;
    let etag = Reply::to(user.head("/files?key=counted")).await.header("ETag").to_owned();
    assert_eq!(Reply::to(user.get("/files?key=counted").header("If-None-Match", etag)).await.status, 304);
    assert_eq!(Reply::to(user.get("/files?key=counted").header("Range", "bytes=0-0")).await.status, 206);
    expect_success(user.post_json("/db/query", r#"{"sql":"SELECT 1"}"#)).await;
    expect_success(user.post_json("/db/batch", r#"{"statements":[{"sql":"SELECT 1"}]}"#)).await;

    let after = stats(&user).await["activity"]["byOperation"].clone();
    for (operation, minimum) in [
        ("createUpload", 2),
        ("uploadPart", 1),
        ("completeUpload", 1),
        ("abortUpload", 1),
        ("getFile", 3),
        ("queryDatabase", 1),
        ("batchDatabase", 1),
    ] {
        // Other tests use this customer, too.
        let count = |counts: &Value| counts[operation].as_u64().unwrap_or_default();
        assert!(count(&after) >= count(&before) + minimum, "{operation}: {before} {after}");
    }
}

#[tokio::test]
async fn counts_survive_a_restart() {
    let state = TempDir::new().expect("a folder");
    let dev = Dev::start(state.path(), &["--customer", "a"]).await;
    let user = Customer::at(&dev.url, "a");
    for number in 0..10 {
        expect_success(store_value(&user, number)).await;
    }
    let before = stats(&user).await["activity"].clone();
    assert_eq!(before["totalOperations"], 10);
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(dev.stop(Signal::SIGINT).await.success());

    let dev = Dev::start(state.path(), &["--customer", "a"]).await;
    let user = Customer::at(&dev.url, "a");
    assert_eq!(stats(&user).await["activity"], before);
    expect_success(store_value(&user, 10)).await;
    assert_eq!(stats(&user).await["activity"]["byOperation"], json!({"setData": 11}));
    assert!(dev.stop(Signal::SIGINT).await.success());
}
