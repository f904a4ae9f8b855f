//! Counts the customer's operations: in memory, and from there in KV every few seconds. No operation costs a write of its
//! own, and no count is read, changed and written back, which would lose one of two at the same time.
//!
//! Each isolate keeps a running total under an id of its own. The sum of all is the count. Only what an isolate had not
//! written yet when it was evicted is missing.

use std::cell::RefCell;
use std::time::Duration;

use js_sys::Date;
use shared::customer::{Operation, Usage};
use shared::http::Problem;
use worker::{Context, Delay, Env};

use crate::bindings::DataStore;

/// How long an operation may wait to be written.
const INTERVAL: Duration = Duration::from_secs(5);

/// A write that is overdue by this, in milliseconds, will not happen: its request was ended.
const OVERDUE: f64 = 30_000.0;

thread_local! {
    static COUNTER: RefCell<Counter> = const { RefCell::new(Counter::new()) };
}

/// What this isolate has counted.
struct Counter {
    /// Its id, made at its first operation.
    isolate: Option<String>,
    usage: Usage,
    /// When the next write is due, in milliseconds since 1970, if one is scheduled.
    due: Option<f64>,
}

impl Counter {
    const fn new() -> Self {
        Self { isolate: None, usage: Usage::new(), due: None }
    }

    /// Counts an operation at `now`. Returns whether a write must be scheduled.
    fn count(&mut self, operation: Operation, now: f64) -> bool {
        self.usage.count(operation, now);
        let scheduled = self.due.is_some_and(|due| now < due + OVERDUE);
        if !scheduled {
            self.due = Some(now + INTERVAL.as_secs_f64() * 1000.0);
        }
        !scheduled
    }

    /// What is to be written now. The next operation schedules the next write.
    fn flush(&mut self) -> Usage {
        self.due = None;
        self.usage.clone()
    }
}

/// Counts an operation that succeeded.
pub fn count(operation: Operation, env: &Env, ctx: &Context) {
    if COUNTER.with_borrow_mut(|counter| counter.count(operation, Date::now())) {
        ctx.wait_until(write_later(env.clone()));
    }
}

/// The operations of all isolates: those of others as they have been written, this one's as they are.
pub async fn total(data: &DataStore) -> Result<Usage, Problem> {
    let mut usage = data.usage_of_others(&isolate()).await?;
    COUNTER.with_borrow(|counter| usage.add(&counter.usage));
    Ok(usage)
}

async fn write_later(env: Env) {
    Delay::from(INTERVAL).await;
    let usage = COUNTER.with_borrow_mut(Counter::flush);
    // Operations of a customer without a KV namespace are counted in memory alone.
    if let Ok(data) = DataStore::from_env(&env)
        && let Err(problem) = data.put_usage(&isolate(), &usage).await
    {
        edge::log_problem(&problem, "");
    }
}

fn isolate() -> String {
    let new = || edge::new_request_id().as_str().to_owned();
    COUNTER.with_borrow_mut(|counter| counter.isolate.get_or_insert_with(new).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_write_is_scheduled_for_all_operations_of_an_interval() {
        let mut counter = Counter::new();
        assert!(counter.count(Operation::GetData, 1000.0));
        assert!(!counter.count(Operation::GetData, 1001.0));
        assert!(!counter.count(Operation::SetData, 5999.0));
        assert_eq!(counter.flush().by_operation().into_iter().collect::<Vec<_>>(), [("getData", 2), ("setData", 1)]);
        assert!(counter.count(Operation::GetData, 6001.0));
    }

    #[test]
    fn a_write_that_never_happened_is_scheduled_again() {
        let mut counter = Counter::new();
        assert!(counter.count(Operation::GetData, 0.0));
        assert!(!counter.count(Operation::GetData, 34_999.0));
        assert!(counter.count(Operation::GetData, 35_000.0));
        assert!(!counter.count(Operation::GetData, 35_001.0));
    }
}
