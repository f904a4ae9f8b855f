//! Many customers at once, for long: every reply right, none a failure, and no memory that grows.

use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tests::ledger::{self, Tally, Weather, Writer, tally};
use tests::processes::{memory, processes};
use tests::{Customer, Dev};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[tokio::test]
async fn every_reply_is_right_under_load() {
    run(4, 40, Duration::from_secs(10)).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn every_reply_is_right_under_load_for_minutes() {
    let peaks = run(20, 200, Duration::from_mins(super::setting("SOAK_MINUTES", 5))).await;
    // The first fifth is for what is taken once.
    let (middle, end) = (peaks[1].max(peaks[2]), peaks[3].max(peaks[4]));
    assert!(end < middle + middle / 4, "memory grows: {peaks:?} MiB");
}

/// Answers the most memory, in MiB, that the runtimes had in each fifth of the time.
async fn run(customers: usize, connections: usize, time: Duration) -> Vec<u64> {
    let ids: Vec<String> = (0..customers).map(|number| format!("c{number}")).collect();
    let state = TempDir::new().expect("a folder");
    let arguments: Vec<&str> = ids.iter().flat_map(|id| ["--customer", id]).collect();
    let dev = Dev::start(state.path(), &arguments).await;
    let mut crews = Vec::new();
    for id in &ids {
        let mut crew = Vec::new();
        for number in 0..connections / customers {
            let seed = u64::try_from(crews.len() * connections + number).expect("small");
            crew.push(Writer::new(Customer::of(&dev.url, id), &format!("w{number}"), Weather::Fair, seed).await);
        }
        crews.push(crew);
    }
    let started = Instant::now();
    let mut working = JoinSet::new();
    for crew in crews {
        working.spawn(ledger::work(crew, started + time));
    }
    let mut peaks = vec![0; 5];
    while started.elapsed() < time {
        let fifth = (started.elapsed().as_millis() * 5 / time.as_millis()).min(4);
        let processes = processes(state.path());
        let now = memory(&processes, "workerd serve") >> 20;
        let peak: &mut u64 = &mut peaks[usize::try_from(fifth).expect("small")];
        *peak = now.max(*peak);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut sum = Tally::default();
    for mut crew in working.join_all().await {
        ledger::verify(&mut crew).await;
        sum += &tally(&crew);
    }
    let seconds = time.as_secs();
    println!(
        "{customers} customers, {connections} connections, {seconds} s: {sum}; the runtimes' memory, by fifths of the \
         time: {peaks:?} MiB"
    );
    assert!(sum.lost == 0 && sum.in_doubt == 0 && sum.problems.is_empty(), "{sum}");
    assert!(dev.stop(Signal::SIGINT).await.success());
    peaks
}
