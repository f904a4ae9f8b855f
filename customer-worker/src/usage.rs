//! Counts the customer's operations.
//!
//! Each isolate counts in memory, and writes its totals to KV every few seconds, under a key of its own. So not every
//! operation costs a KV write. Isolates need separate keys because KV cannot increment a number atomically. The
//! customer's usage is the sum over all isolates. If an isolate is evicted, the operations since its last write are
//! not counted.

use std::cell::RefCell;
use std::time::Duration;

use js_sys::Date;
use shared::customer::{Operation, Usage};
use shared::http::Problem;
use worker::{Context, Delay, Env};

use crate::bindings::DataStore;

/// The time from the operation that schedules a write to the write.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long a write may be overdue, in milliseconds, before it is scheduled again. The request that scheduled it has
/// then been cancelled.
const OVERDUE: f64 = 30_000.0;

thread_local! {
    static COUNTER: RefCell<Counter> = const { RefCell::new(Counter::new()) };
}

/// The operations that this isolate has counted.
struct Counter {
    /// The isolate's id, created when it is first needed.
    isolate_id: Option<String>,
    usage: Usage,
    /// The time of the next write, in milliseconds since 1970, if one is scheduled.
    write_due: Option<f64>,
}

impl Counter {
    const fn new() -> Self {
        Self { isolate_id: None, usage: Usage::new(), write_due: None }
    }

    /// Counts an operation at `now`. Returns whether a write must be scheduled.
    fn count(&mut self, operation: Operation, now: f64) -> bool {
        self.usage.count(operation, now);
        let scheduled = self.write_due.is_some_and(|due| now < due + OVERDUE);
        if !scheduled {
            self.write_due = Some(now + INTERVAL.as_secs_f64() * 1000.0);
        }
        !scheduled
    }

    /// Returns the totals to write now. The next operation schedules the next write.
    fn start_write(&mut self) -> Usage {
        self.write_due = None;
        self.usage.clone()
    }
}

/// Counts an operation that succeeded.
pub fn count(operation: Operation, env: &Env, ctx: &Context) {
    if COUNTER.with_borrow_mut(|counter| counter.count(operation, Date::now())) {
        ctx.wait_until(write_later(env.clone()));
    }
}

/// Returns the sum over all isolates: the totals that the others have written, and this isolate's current totals.
pub async fn total(data: &DataStore) -> Result<Usage, Problem> {
    let mut usage = data.usage_of_others(&isolate_id()).await?;
    COUNTER.with_borrow(|counter| usage.add(&counter.usage));
    Ok(usage)
}

async fn write_later(env: Env) {
    Delay::from(INTERVAL).await;
    let usage = COUNTER.with_borrow_mut(Counter::start_write);
    // For a customer without a KV namespace, operations are counted only in memory.
    if let Ok(data) = DataStore::from_env(&env)
        && let Err(problem) = data.put_usage(&isolate_id(), &usage).await
    {
        edge::log_problem(&problem, "");
    }
}

fn isolate_id() -> String {
    let new = || edge::new_request_id().as_str().to_owned();
    COUNTER.with_borrow_mut(|counter| counter.isolate_id.get_or_insert_with(new).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_within_an_interval_share_one_write() {
        let mut counter = Counter::new();
        assert!(counter.count(Operation::GetData, 1000.0));
        assert!(!counter.count(Operation::GetData, 1001.0));
        assert!(!counter.count(Operation::SetData, 5999.0));
        assert_eq!(
            counter.start_write().by_operation().into_iter().collect::<Vec<_>>(),
            [("getData", 2), ("setData", 1)]
        );
        assert!(counter.count(Operation::GetData, 6001.0));
    }

    #[test]
    fn an_overdue_write_is_scheduled_again() {
        let mut counter = Counter::new();
        assert!(counter.count(Operation::GetData, 0.0));
        assert!(!counter.count(Operation::GetData, 34_999.0));
        assert!(counter.count(Operation::GetData, 35_000.0));
        assert!(!counter.count(Operation::GetData, 35_001.0));
    }
}
