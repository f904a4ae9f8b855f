//! Many customers at once: every reply is correct, no request fails, and memory does not grow.

use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tests::ledger::{self, ExpectedFailures, Tally, Writer};
use tests::processes::{memory, processes};
use tests::{Customer, Dev};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[tokio::test]
async fn every_reply_is_correct_under_load() {
    run(4, 40, Duration::from_secs(10)).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn every_reply_is_correct_under_load_for_minutes() {
    let peaks = run(20, 200, Duration::from_mins(super::setting("SOAK_MINUTES", 5))).await;
    // The first fifth is ignored, because some allocations are made only once.
    let (middle, end) = (peaks[1].max(peaks[2]), peaks[3].max(peaks[4]));
    assert!(end < middle + middle / 4, "memory grows: {peaks:?} MiB");
}

/// Returns the runtimes' peak memory in each fifth of the time, in MiB.
async fn run(customers: usize, connections: usize, duration: Duration) -> Vec<u64> {
    let ids: Vec<String> = (0..customers).map(|number| format!("c{number}")).collect();
    let state = TempDir::new().expect("a folder");
    let arguments: Vec<&str> = ids.iter().flat_map(|id| ["--customer", id]).collect();
    let dev = Dev::start(state.path(), &arguments).await;
    let mut writers_by_customer = Vec::new();
    for id in &ids {
        let mut writers = Vec::new();
        for number in 0..connections / customers {
            let seed = u64::try_from(writers_by_customer.len() * connections + number).expect("small");
            let (user, name) = (Customer::at(&dev.url, id), format!("w{number}"));
            writers.push(Writer::new(user, &name, ExpectedFailures::None, seed).await);
        }
        writers_by_customer.push(writers);
    }
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for writers in writers_by_customer {
        tasks.spawn(ledger::run_until(writers, started + duration));
    }
    let mut peaks = vec![0; 5];
    while started.elapsed() < duration {
        let fifth = (started.elapsed().as_millis() * 5 / duration.as_millis()).min(4);
        let processes = processes(state.path());
        let now = memory(&processes, "workerd serve") >> 20;
        let peak: &mut u64 = &mut peaks[usize::try_from(fifth).expect("small")];
        *peak = now.max(*peak);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut sum = Tally::default();
    for mut writers in tasks.join_all().await {
        ledger::verify(&mut writers).await;
        sum += &ledger::total(&writers);
    }
    let seconds = duration.as_secs();
    println!(
        "{customers} customers, {connections} connections, {seconds} s: {sum}; the runtimes' peak memory in each fifth \
         of the time: {peaks:?} MiB"
    );
    assert!(sum.lost == 0 && sum.in_doubt == 0 && sum.problems.is_empty(), "{sum}");
    assert!(dev.stop(Signal::SIGINT).await.success());
    peaks
}
