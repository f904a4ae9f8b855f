//! A state folder that is read-only, full or deleted: the platform reports it in one line, and acknowledges no write
//! that is not stored.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;
use tests::{Customer, Dev, Disk, Reply, expect_json, expect_problem, expect_success, noise, run_to_failure_on};

#[tokio::test]
async fn an_unwritable_disk_is_an_error() {
    for (options, reason) in
        [("ro", "Read-only file system"), ("size=64k", "is full"), ("nr_inodes=1", "No space left")]
    {
        let Some(disk) = Disk::new(options) else { return };
        let stderr = run_to_failure_on(&disk).await;
        let is_one_line = stderr.starts_with("error: ") && stderr.lines().count() == 1;
        assert!(is_one_line && stderr.contains(reason), "{options}: {stderr}");
    }
}

#[tokio::test]
async fn a_full_disk_loses_no_acknowledged_write() {
    let Some(disk) = Disk::new("size=1m") else { return };
    let dev = Dev::start_on(&disk).await;
    let user = Customer::at(&dev.url, "a");
    expect_success(user.put("/files?key=file").body("content")).await;
    expect_success(user.post_json("/data", r#"{"key":"k","value":"kept"}"#)).await;
    // The disk is mounted for the platform's processes only, so this path goes through one of them.
    let ballast = format!("/proc/{}/root{}/ballast", dev.pid(), disk.state.path().display());
    fs::write(&ballast, noise(1 << 20, 80)).expect_err("it is larger than the free space");

    let mut stored = Vec::new();
    for number in 0..8 {
        let value = json!({"key": format!("large{number}"), "value": "x".repeat(30_000)}).to_string();
        if Reply::to(user.post_json("/data", value)).await.status == 200 {
            stored.push(number);
        }
    }
    expect_problem(user.put("/files?key=other").body("x"), 503, "storage_unavailable").await;
    expect_problem(user.get("/files?key=other"), 404, "file_not_found").await;
    assert_eq!(Reply::to(user.get("/files?key=file")).await.text(), "content");
    expect_json(user.get("/data?key=k"), json!({"key": "k", "value": "kept"})).await;
    for number in 0..8 {
        let reply = Reply::to(user.get(&format!("/data?key=large{number}"))).await;
        assert_eq!(reply.status, if stored.contains(&number) { 200 } else { 404 }, "{reply}");
    }

    fs::remove_file(&ballast).expect("it exists");
    expect_success(user.put("/files?key=other").body("x")).await;
    assert_eq!(Reply::to(user.get("/files?key=other")).await.text(), "x");
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// Otherwise the simulators would go on writing to deleted files and acknowledge the writes.
#[tokio::test]
async fn deleting_the_state_folder_ends_the_platform() {
    let state = TempDir::new().expect("a folder");
    let folder = state.path().join("state");
    let dev = Dev::start(&folder, &["--customer", "a"]).await;
    expect_success(Customer::at(&dev.url, "a").put("/files?key=file").body("content")).await;
    fs::remove_dir_all(&folder).expect("it exists");
    let stderr = tokio::time::timeout(Duration::from_mins(1), dev.wait_for_failure()).await.expect("it ends soon");
    assert!(stderr.contains("is gone, and all that was stored in it"), "{stderr}");
}
