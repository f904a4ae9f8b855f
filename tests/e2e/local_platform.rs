//! `cargo xtask dev`: what remains after it stops or is killed, and its error messages.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use http::StatusCode;
use nix::sys::signal::Signal;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tempfile::TempDir;
use tests::processes::{expect_gone, pids, processes};
use tests::{Customer, Dev, Reply, expect_json, expect_success, run_to_failure};

/// Creates a folder for a platform's state.
fn state() -> TempDir {
    TempDir::new().expect("a folder")
}

#[tokio::test]
async fn a_stopped_platform_keeps_its_storage_and_leaves_no_process() {
    let state = state();
    for (round, signal) in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().enumerate() {
        let dev = Dev::start(state.path(), &[]).await;
        let (one, two) = (Customer::at(&dev.url, "user1"), Customer::at(&dev.url, "user2"));
        if round == 0 {
            let form = Form::new().text("key", "file").part("file", Part::text("content").file_name("f"));
            expect_success(one.post("/files").multipart(form)).await;
            expect_success(one.post_json("/data", r#"{"key":"value","value":1.10}"#)).await;
        }
        assert_eq!(Reply::to(one.get("/files?key=file")).await.text(), "content");
        assert_eq!(Reply::to(one.get("/data?key=value")).await.text(), r#"{"key":"value","value":1.10}"#);
        assert_eq!(Reply::to(two.get("/files?key=file")).await.status, StatusCode::NOT_FOUND);
        let stored = expect_success(one.get("/stats")).await.json();
        assert_eq!(stored["files"], json!({"count": 1, "totalSize": 7}));
        assert_eq!(stored["storage"], json!({"kvKeys": 1, "r2Objects": 1}));

        let processes = processes(state.path());
        for program in ["xtask", "hub.js", "workerd"] {
            assert!(processes.iter().any(|line| line.contains(program)), "{program} in {processes:#?}");
        }
        assert!(dev.stop(signal).await.success(), "{signal}");
        expect_gone(&pids(&processes)).await;
    }
}

/// A platform that is killed cannot stop its processes. They have to notice that it has ended.
#[tokio::test]
async fn a_killed_platform_keeps_its_storage_and_leaves_no_process() {
    let state = state();
    let dev = Dev::start(state.path(), &[]).await;
    expect_success(Customer::at(&dev.url, "user1").post_json("/data", r#"{"key":"k","value":"kept"}"#)).await;
    let processes = processes(state.path());
    assert!(processes.iter().any(|line| line.contains("workerd")), "{processes:#?}");
    assert!(!dev.stop(Signal::SIGKILL).await.success());
    expect_gone(&pids(&processes)).await;

    let dev = Dev::start(state.path(), &[]).await;
    expect_json(Customer::at(&dev.url, "user1").get("/data?key=k"), json!({"key": "k", "value": "kept"})).await;
    assert!(dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let stderr = run_to_failure(state().path(), &["--port", &port]).await;
    assert_eq!(stderr, format!("error: port {port} is in use; choose another with --port\n"));
}

/// Otherwise a flag and `--var` could set the same variable to different values.
#[tokio::test]
async fn var_refuses_variables_that_have_a_flag() {
    for arguments in [&["--var", "AUTH:token"][..], &["--auth", "token", "--var", "TOKEN_SECRETS:[]"]] {
        let stderr = run_to_failure(state().path(), arguments).await;
        assert!(stderr.contains("is not for --var"), "{stderr}");
    }
    let stderr = run_to_failure(state().path(), &["--var", "nonsense"]).await;
    assert!(stderr.contains("NAME:VALUE"), "{stderr}");
}

#[tokio::test]
async fn a_state_folder_serves_one_platform_at_a_time() {
    let state = state();
    let dev = Dev::start(state.path(), &["--customer", "a"]).await;
    let stderr = run_to_failure(state.path(), &[]).await;
    assert!(stderr.contains("another local platform uses") && stderr.contains("--state"), "{stderr}");
    // The running platform is not affected.
    assert_eq!(Reply::to(Customer::at(&dev.url, "a").get("/")).await.status, StatusCode::OK);
    assert!(dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn an_unusable_state_folder_is_an_error() {
    let state = state();
    let file = state.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let stderr = run_to_failure(&file, &[]).await;
    assert!(stderr.starts_with("error: cannot use ") && stderr.contains("as the state folder"), "{stderr}");
}

#[tokio::test]
async fn invalid_customers_are_an_error() {
    for (customer, reason) in [("User1", "a user id is 1 to 48 of a-z, 0-9 and -"), ("own=missing.js", "missing.js")] {
        let stderr = run_to_failure(state().path(), &["--customer", customer]).await;
        assert!(stderr.contains(reason), "{stderr}");
    }
    let stderr = run_to_failure(state().path(), &["--customer", "a", "--customer", "a"]).await;
    assert_eq!(stderr, "error: customer a is there twice\n");
}

/// Whether a line of `ps` is of a kind of processes.
type IsOfKind = fn(&str) -> bool;

#[tokio::test]
async fn every_process_that_is_killed_is_started_again() {
    let state = state();
    let dev = Dev::start(state.path(), &["--customer", "a"]).await;
    let user = Customer::at(&dev.url, "a");
    expect_success(user.post_json("/data", r#"{"key":"k","value":"kept"}"#)).await;
    let kinds: [(&str, IsOfKind); 4] = [
        ("the hub", |line| line.contains("hub.js")),
        ("the hub's runtime", |line| line.contains("--debug-port=unix:hub")),
        ("the dispatcher", |line| line.contains("=unix:p") && line.contains("--experimental")),
        ("a script", |line| line.contains("=unix:p") && !line.contains("--experimental")),
    ];
    for (name, is_of_kind) in kinds {
        let all: Vec<String> = processes(state.path()).into_iter().filter(|line| is_of_kind(line)).collect();
        assert!(!all.is_empty(), "{name} runs");
        for pid in pids(&all) {
            let pid = nix::unistd::Pid::from_raw(pid.parse().expect("a process id"));
            nix::sys::signal::kill(pid, Signal::SIGKILL).expect("the process runs");
        }
        let started = Instant::now();
        loop {
            let request = user.get("/data?key=k").timeout(Duration::from_secs(15)).send().await;
            if let Ok(reply) = request
                && reply.status() == StatusCode::OK
            {
                assert_eq!(reply.text().await.expect("text"), r#"{"key":"k","value":"kept"}"#);
                break;
            }
            assert!(started.elapsed() < Duration::from_mins(1), "{name} is not started again");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        println!("{name} was killed: served again after {} ms", started.elapsed().as_millis());
    }
    let all = pids(&processes(state.path()));
    assert!(dev.stop(Signal::SIGINT).await.success());
    expect_gone(&all).await;
}
