//! Storage that fails at random, before or after it has done what it was asked, or takes its time: a success that is answered
//! is true, and everything else is a problem.

use std::time::Duration;

use tests::Customer;
use tests::ledger::{self, Weather, Writer, tally};
use tokio::time::Instant;

#[tokio::test]
async fn what_is_answered_is_true_whatever_storage_does() {
    run(Duration::from_secs(10)).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn what_is_answered_is_true_for_minutes() {
    run(Duration::from_mins(super::setting("SOAK_MINUTES", 5))).await;
}

async fn run(time: Duration) {
    let mut writers = Vec::new();
    for number in 0..16 {
        let user = Customer::new("unreliable");
        writers.push(Writer::new(user, &format!("w{number}"), Weather::Faults, number).await);
    }
    let mut writers = ledger::work(writers, Instant::now() + time).await;
    ledger::verify(&mut writers).await;
    let sum = tally(&writers);
    println!("storage that fails: {sum}");
    let share = sum.problems["storage_unavailable"] * 100 / (sum.acknowledged + sum.reads);
    assert!((2..50).contains(&share), "{sum}");
    assert!(sum.in_doubt > 0, "{sum}");
}
