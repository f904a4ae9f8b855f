//! Storage that is slow or fails at random, before or after it has performed an operation: a reply with a success is
//! correct, and every other reply is a problem.

use std::time::Duration;

use tests::Customer;
use tests::ledger::{self, ExpectedFailures, Writer};
use tokio::time::Instant;

#[tokio::test]
async fn replies_are_correct_while_storage_fails() {
    run(Duration::from_secs(10)).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn replies_are_correct_while_storage_fails_for_minutes() {
    run(Duration::from_mins(super::setting("SOAK_MINUTES", 5))).await;
}

async fn run(duration: Duration) {
    let mut writers = Vec::new();
    for number in 0..16 {
        let (user, name) = (Customer::new("unreliable"), format!("w{number}"));
        writers.push(Writer::new(user, &name, ExpectedFailures::Storage, number).await);
    }
    let mut writers = ledger::run_until(writers, Instant::now() + duration).await;
    ledger::verify(&mut writers).await;
    let sum = ledger::total(&writers);
    println!("failing storage: {sum}");
    let share = sum.problems["storage_unavailable"] * 100 / (sum.acknowledged + sum.reads);
    assert!((2..50).contains(&share), "{sum}");
    assert!(sum.in_doubt > 0, "{sum}");
}
