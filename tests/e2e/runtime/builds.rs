//! Which builds run, and which leave the machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tests::api::{SCRIPTS, expect_result};
use tests::{Customer, Dev, Reply, repository};
use tokio::time::sleep;

use super::Platform;

#[tokio::test]
async fn the_tool_uploads_the_release_build() {
    let platform = Platform::start(&["user1"]).await;
    platform.api.customer(&["deploy", "user1"]).await;
    let script = expect_result(platform.api.get(&format!("{SCRIPTS}/user1"))).await;
    let digest = script["script"]["etag"].as_str().expect("the folder's name");
    let uploaded = fs::read(platform.state().join("scripts").join(digest).join("index_bg.wasm")).expect("a module");
    let release = fs::read(repository().join("customer-worker/build/index_bg.wasm")).expect("the build");
    assert!(uploaded == release);
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_changed_source_runs_within_seconds() {
    let checkout = crate::extending::copy(repository());
    symlink(repository().join("node_modules"), checkout.path().join("node_modules")).expect("a link");
    let state = TempDir::new().expect("a folder");
    let dev = Dev::start_developing(checkout.path(), state.path()).await;
    let user = Customer::at(&dev.url, "user1");
    let source = checkout.path().join("customer-worker/src/lib.rs");
    let original = fs::read_to_string(&source).expect("the source");
    assert_eq!(original.matches("status: \"ok\"").count(), 1);
    let change = |status: &str| original.replace("status: \"ok\"", status);
    for status in ["changed", "changed-again"] {
        fs::write(&source, change(&format!("status: {status:?}"))).expect("written");
        let started = Instant::now();
        while Reply::to(user.get("/")).await.json()["status"] != status {
            assert!(started.elapsed() < Duration::from_mins(1), "the change does not run");
            sleep(Duration::from_millis(50)).await;
        }
        println!("a changed line runs after {} ms", started.elapsed().as_millis());
    }
    // With a mistake in the sources, the last build that succeeded goes on.
    fs::write(&source, change("mistake: 1")).expect("written");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(Reply::to(user.get("/")).await.json()["status"], "changed-again");
    // What is deployed is built by other commands alone.
    assert!(!checkout.path().join("customer-worker/build").exists());
    let stderr = dev.stop_and_get_stderr().await;
    assert!(stderr.contains("no field named `mistake`") && stderr.contains("runs what it ran before"), "{stderr}");
}
