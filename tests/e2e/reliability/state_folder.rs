//! A state folder that cannot be written to, or is there no longer: a sentence says so, and nothing is said to be stored that
//! is not.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;
use tests::{Customer, Dev, Disk, Reply, expect_json, expect_problem, expect_success, noise, run_to_failure_on};

#[tokio::test]
async fn a_disk_that_cannot_be_written_to_is_said() {
    for (options, reason) in
        [("ro", "Read-only file system"), ("size=64k", "is full"), ("nr_inodes=1", "No space left")]
    {
        let Some(disk) = Disk::new(options) else { return };
        let said = run_to_failure_on(&disk).await;
        assert!(said.starts_with("error: ") && said.lines().count() == 1 && said.contains(reason), "{options}: {said}");
    }
}

#[tokio::test]
async fn a_disk_that_becomes_full_loses_nothing() {
    let Some(disk) = Disk::new("size=1m") else { return };
    let dev = Dev::start_on(&disk).await;
    let user = Customer::of(&dev.url, "a");
    expect_success(user.put("/files?key=file").body("content")).await;
    expect_success(user.post_json("/data", r#"{"key":"k","value":"kept"}"#)).await;
    // From outside, the disk is seen through the platform's process.
    let ballast = format!("/proc/{}/root{}/ballast", dev.pid(), disk.state.path().display());
    fs::write(&ballast, noise(1 << 20, 80)).expect_err("it is larger than what is left");

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

    fs::remove_file(&ballast).expect("it is there");
    expect_success(user.put("/files?key=other").body("x")).await;
    assert_eq!(Reply::to(user.get("/files?key=other")).await.text(), "x");
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// The simulators would go on with what nobody can open again, and say that it was stored.
#[tokio::test]
async fn a_state_folder_that_is_deleted_ends_the_platform() {
    let state = TempDir::new().expect("a folder");
    let folder = state.path().join("state");
    let dev = Dev::start(&folder, &["--customer", "a"]).await;
    expect_success(Customer::of(&dev.url, "a").put("/files?key=file").body("content")).await;
    fs::remove_dir_all(&folder).expect("it is there");
    let said = tokio::time::timeout(Duration::from_mins(1), dev.failed()).await.expect("it ends soon");
    assert!(said.contains("is gone, and all that was stored in it"), "{said}");
}
