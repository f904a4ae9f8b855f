//! `cargo xtask dev`, started and stopped: what it keeps, what it leaves, and what it says when it cannot.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use http::StatusCode;
use nix::sys::signal::Signal;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tempfile::TempDir;
use tests::processes::{expect_gone, pids, processes};
use tests::{Customer, Dev, Reply, expect_json, expect_success, run_to_failure};

fn state() -> TempDir {
    TempDir::new().expect("a folder")
}

#[tokio::test]
async fn storage_survives_a_restart_and_no_process_a_stop() {
    let state = state();
    for (round, signal) in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().enumerate() {
        let dev = Dev::start(state.path(), &[]).await;
        let (one, two) = (Customer::of(&dev.url, "user1"), Customer::of(&dev.url, "user2"));
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
        for program in ["xtask", "wrangler", "workerd"] {
            assert!(processes.iter().any(|line| line.contains(program)), "{program} in {processes:#?}");
        }
        assert!(dev.stop(signal).await.success(), "{signal}");
        expect_gone(&pids(&processes)).await;
    }
}

/// A platform that is killed cannot stop anything itself; what it started notices.
#[tokio::test]
async fn a_killed_platform_leaves_no_process_and_its_storage() {
    let state = state();
    let dev = Dev::start(state.path(), &[]).await;
    expect_success(Customer::of(&dev.url, "user1").post_json("/data", r#"{"key":"k","value":"kept"}"#)).await;
    let processes = processes(state.path());
    assert!(processes.iter().any(|line| line.contains("workerd")), "{processes:#?}");
    assert!(!dev.stop(Signal::SIGKILL).await.success());
    expect_gone(&pids(&processes)).await;

    let dev = Dev::start(state.path(), &[]).await;
    expect_json(Customer::of(&dev.url, "user1").get("/data?key=k"), json!({"key": "k", "value": "kept"})).await;
    assert!(dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn a_port_in_use_is_said_at_once() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let said = run_to_failure(state().path(), &["--port", &port]).await;
    assert_eq!(said, format!("error: port {port} is in use; choose another with --port\n"));
}

/// What a flag decides is not silently decided twice.
#[tokio::test]
async fn variables_that_have_a_flag_are_refused() {
    for arguments in [&["--var", "AUTH:token"][..], &["--auth", "token", "--var", "TOKEN_SECRETS:[]"]] {
        let said = run_to_failure(state().path(), arguments).await;
        assert!(said.contains("is not for --var"), "{said}");
    }
    let said = run_to_failure(state().path(), &["--var", "nonsense"]).await;
    assert!(said.contains("NAME:VALUE"), "{said}");
}

#[tokio::test]
async fn a_state_folder_serves_one_platform_at_a_time() {
    let state = state();
    let dev = Dev::start(state.path(), &["--customer", "a"]).await;
    let said = run_to_failure(state.path(), &[]).await;
    assert!(said.contains("another local platform uses") && said.contains("--state"), "{said}");
    // The one that runs is not disturbed.
    assert_eq!(Reply::to(Customer::of(&dev.url, "a").get("/")).await.status, StatusCode::OK);
    assert!(dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn a_state_folder_that_cannot_be_is_said() {
    let state = state();
    let file = state.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let said = run_to_failure(&file, &[]).await;
    assert!(said.starts_with("error: cannot use ") && said.contains("as the state folder"), "{said}");
}

#[tokio::test]
async fn customers_that_cannot_be_are_said() {
    for (customer, reason) in [("User1", "a user id is 1 to 48 of a-z, 0-9 and -"), ("own=missing.js", "missing.js")] {
        let said = run_to_failure(state().path(), &["--customer", customer]).await;
        assert!(said.contains(reason), "{said}");
    }
    let said = run_to_failure(state().path(), &["--customer", "a", "--customer", "a"]).await;
    assert_eq!(said, "error: customer a is there twice\n");
}

/// wrangler starts a runtime that crashed again, on another port.
#[tokio::test]
async fn a_runtime_that_crashes_comes_back() {
    let state = state();
    let dev = Dev::start(state.path(), &["--customer", "a"]).await;
    let user = Customer::of(&dev.url, "a");
    expect_success(user.post_json("/data", r#"{"key":"k","value":"kept"}"#)).await;
    for round in 0..2 {
        let runtimes: Vec<String> =
            processes(state.path()).into_iter().filter(|line| line.contains("workerd serve")).collect();
        assert_eq!(runtimes.len(), 2, "{runtimes:#?}");
        let pid: i32 = pids(&runtimes[round..])[0].parse().expect("a process id");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
        let started = Instant::now();
        loop {
            let request = user.get("/data?key=k").timeout(Duration::from_secs(15)).send().await;
            if let Ok(reply) = request
                && reply.status() == StatusCode::OK
            {
                assert_eq!(reply.text().await.expect("text"), r#"{"key":"k","value":"kept"}"#);
                break;
            }
            assert!(started.elapsed() < Duration::from_mins(1), "round {round}: it does not come back");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// It says what would run, and disturbs nothing that does.
#[tokio::test]
async fn the_command_can_be_printed() {
    let state = state();
    let dev = Dev::start(state.path(), &["--customer", "a"]).await;
    let said = run_to_failure(state.path(), &["--print-command"]).await;
    assert!(said.contains("another local platform uses"), "{said}");
    assert_eq!(Reply::to(Customer::of(&dev.url, "a").get("/")).await.status, StatusCode::OK);
    assert!(dev.stop(Signal::SIGINT).await.success());
    let xtask = std::env::var_os("XTASK").expect("XTASK is set");
    let printed =
        Command::new(xtask).args(["dev", "--print-command", "--state"]).arg(state.path()).output().expect("xtask runs");
    let printed = String::from_utf8(printed.stdout).expect("text");
    assert!(printed.contains("npx wrangler dev -c ") && printed.contains("customer-a/wrangler.json"), "{printed}");
}
