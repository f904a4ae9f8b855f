//! `kill -9` in the middle of writes: afterwards, acknowledged writes are stored, and no write is stored in part.

use std::time::Duration;

use http::StatusCode;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tests::ledger::{self, ExpectedFailures, Tally, Writer};
use tests::processes::{expect_gone, pids, processes};
use tests::{Customer, Dev, Reply, expect_success};
use tokio::time::{Instant, sleep};

const CUSTOMERS: [&str; 2] = ["a", "b"];

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    kill_during_writes(5).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn acknowledged_writes_survive_many_kills() {
    kill_during_writes(super::setting("SOAK_ROUNDS", 20)).await;
}

/// Kills processes or the platform at least `min_rounds` times, and until more than `20 * min_rounds` writes were
/// acknowledged. A round on a slow machine has few.
async fn kill_during_writes(min_rounds: u64) {
    let state = TempDir::new().expect("a folder");
    let mut dev = start(&state).await;
    let mut writers_by_customer = Vec::new();
    for id in CUSTOMERS {
        let mut writers = Vec::new();
        for number in 0..6 {
            let user = Customer::at(&dev.url, id);
            let name = format!("w{number}");
            writers.push(Writer::new(user, &name, ExpectedFailures::Crashes, number).await);
        }
        writers_by_customer.push(writers);
    }
    let (mut round, mut sum) = (0, Tally::default());
    while round < min_rounds || sum.acknowledged <= min_rounds * 20 {
        assert!(round < min_rounds * 5, "too few writes are acknowledged: {sum}");
        let delay = Duration::from_millis(fastrand::u64(200..2500));
        let end = Instant::now() + delay + Duration::from_secs(1);
        let tasks: Vec<_> =
            writers_by_customer.into_iter().map(|writers| tokio::spawn(ledger::run_until(writers, end))).collect();
        sleep(delay).await;
        // Kills the hub, its runtime, all other processes, all of them, and the whole platform in turn.
        let all = processes(state.path());
        let is_hub = |line: &str| line.contains("hub.js");
        let is_hubs_runtime = |line: &str| line.contains("--debug-port=unix:hub");
        let is_process = |line: &str| line.contains("--debug-port=unix:p");
        let killed: Vec<String> = match round % 5 {
            0 => all.into_iter().filter(|line| is_hub(line)).collect(),
            1 => all.into_iter().filter(|line| is_hubs_runtime(line)).collect(),
            2 => all.into_iter().filter(|line| is_process(line)).collect(),
            3 => all.into_iter().filter(|line| is_hub(line) || is_hubs_runtime(line) || is_process(line)).collect(),
            _ => {
                dev.kill().await;
                Vec::new()
            }
        };
        let killed = pids(&killed);
        for pid in &killed {
            kill(Pid::from_raw(pid.parse().expect("a process id")), Signal::SIGKILL).expect("the process runs");
        }
        writers_by_customer = Vec::new();
        for task in tasks {
            writers_by_customer.push(task.await.expect("every reply matches the ledger"));
        }
        if killed.is_empty() {
            dev = start(&state).await;
            let reconnect = |(writers, id): (Vec<Writer>, &str)| {
                writers.into_iter().map(|writer| writer.with_customer(Customer::at(&dev.url, id))).collect()
            };
            writers_by_customer = writers_by_customer.into_iter().zip(CUSTOMERS).map(reconnect).collect();
        }
        wait_until_served(&dev).await;
        for writers in &mut writers_by_customer {
            ledger::verify(writers).await;
        }
        round += 1;
        sum = Tally::default();
        for writers in &writers_by_customer {
            sum += &ledger::total(writers);
        }
    }
    println!("{round} kills: {sum}");
    assert!(sum.in_doubt + sum.lost > 0, "{sum}");
    assert!(dev.stop(Signal::SIGINT).await.success());
}

async fn start(state: &TempDir) -> Dev {
    Dev::start(state.path(), &["--customer", "a", "--customer", "b"]).await
}

/// Waits until every customer is served again.
async fn wait_until_served(dev: &Dev) {
    let started = Instant::now();
    for id in CUSTOMERS {
        loop {
            let request = Customer::at(&dev.url, id).get("/data").timeout(Duration::from_secs(15));
            if request.send().await.is_ok_and(|reply| reply.status() == StatusCode::OK) {
                break;
            }
            assert!(started.elapsed() < Duration::from_mins(2), "customer {id} is not served again");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// A runtime that hangs is killed, and started again.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_hub_that_does_not_answer_is_started_again() {
    let state = TempDir::new().expect("a folder");
    let dev = start(&state).await;
    let user = Customer::at(&dev.url, "a");
    expect_success(user.post_json("/data", r#"{"key":"key","value":"kept"}"#)).await;
    let all = processes(state.path());
    let hubs_runtime: Vec<String> = all.into_iter().filter(|line| line.contains("--debug-port=unix:hub")).collect();
    let stopped = pids(&hubs_runtime);
    assert_eq!(stopped.len(), 1, "{hubs_runtime:?}");
    kill(Pid::from_raw(stopped[0].parse().expect("a process id")), Signal::SIGSTOP).expect("the process runs");
    wait_until_served(&dev).await;
    assert_eq!(Reply::to(user.get("/data?key=key")).await.json()["value"], "kept");
    expect_gone(&stopped).await;
    assert!(dev.stop(Signal::SIGINT).await.success());
}
