//! `kill -9` in the middle of writes: what was acknowledged is there afterwards, and nothing is there by halves.

use std::time::Duration;

use http::StatusCode;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tests::ledger::{self, Tally, Weather, Writer, tally};
use tests::processes::{pids, processes};
use tests::{Customer, Dev};
use tokio::time::{Instant, sleep};

const CUSTOMERS: [&str; 2] = ["a", "b"];

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    rounds(4).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn what_was_acknowledged_survives_many_kills() {
    rounds(super::setting("SOAK_ROUNDS", 20)).await;
}

/// Kills at least so many times, and until twenty writes for each of them were acknowledged: on a slow machine a round sees few.
async fn rounds(least: u64) {
    let state = TempDir::new().expect("a folder");
    let mut dev = start(&state).await;
    let mut crews = Vec::new();
    for id in CUSTOMERS {
        let mut crew = Vec::new();
        for number in 0..6 {
            let user = Customer::of(&dev.url, id);
            crew.push(Writer::new(user, &format!("w{number}"), Weather::Crashes, number).await);
        }
        crews.push(crew);
    }
    let (mut round, mut sum) = (0, Tally::default());
    while round < least || sum.acknowledged <= least * 20 {
        assert!(round < least * 5, "hardly anything is acknowledged: {sum}");
        let moment = Duration::from_millis(fastrand::u64(200..2500));
        let until = Instant::now() + moment + Duration::from_secs(1);
        let working: Vec<_> = crews.into_iter().map(|crew| tokio::spawn(ledger::work(crew, until))).collect();
        sleep(moment).await;
        // Each runtime by itself, both of them, and the whole platform.
        let runtimes: Vec<String> =
            processes(state.path()).into_iter().filter(|line| line.contains("workerd serve")).collect();
        let runtimes = pids(&runtimes);
        let killed = match round % 4 {
            0 => &runtimes[..1],
            1 => &runtimes[1..],
            2 => &runtimes[..],
            _ => {
                dev.stop_hard().await;
                &[]
            }
        };
        for pid in killed {
            kill(Pid::from_raw(pid.parse().expect("a process id")), Signal::SIGKILL).expect("it runs");
        }
        crews = Vec::new();
        for crew in working {
            crews.push(crew.await.expect("what was answered is true"));
        }
        if killed.is_empty() {
            dev = start(&state).await;
            let moved = |(crew, id): (Vec<Writer>, &str)| {
                crew.into_iter().map(|writer| writer.moved(Customer::of(&dev.url, id))).collect()
            };
            crews = crews.into_iter().zip(CUSTOMERS).map(moved).collect();
        }
        expect_back(&dev).await;
        for crew in &mut crews {
            ledger::verify(crew).await;
        }
        round += 1;
        sum = Tally::default();
        for crew in &crews {
            sum += &tally(crew);
        }
    }
    println!("{round} kills: {sum}");
    assert!(sum.in_doubt + sum.lost > 0, "{sum}");
    assert!(dev.stop(Signal::SIGINT).await.success());
}

async fn start(state: &TempDir) -> Dev {
    Dev::start(state.path(), &["--customer", "a", "--customer", "b"]).await
}

/// Waits for a runtime that wrangler starts again.
async fn expect_back(dev: &Dev) {
    let started = Instant::now();
    for id in CUSTOMERS {
        loop {
            let request = Customer::of(&dev.url, id).get("/data").timeout(Duration::from_secs(15));
            if request.send().await.is_ok_and(|reply| reply.status() == StatusCode::OK) {
                break;
            }
            assert!(started.elapsed() < Duration::from_mins(1), "it does not come back");
            sleep(Duration::from_millis(200)).await;
        }
    }
}
