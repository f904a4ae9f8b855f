//! Counts the customer's operations: in memory, and from there to KV now and then. No operation costs a write of its
//! own, and none is read, changed and written back, which would lose one of two at once.
//!
//! Each isolate keeps a running total under an id of its own. Together they are the count, so that only what an isolate
//! had not written yet when it was evicted is missing.

use std::cell::RefCell;

use edge::task::{self, settled};
use js_sys::Promise;
use shared::{Operation, Problem, Usage};
use wasm_bindgen::prelude::*;

use crate::bindings::kv;

/// How long an operation may wait to be written.
const INTERVAL: f64 = 5000.0;

/// A write that was due this long ago will not happen: its request was cut short.
const OVERDUE: f64 = 30_000.0;

thread_local! {
    static COUNTED: RefCell<Counted> = const { RefCell::new(Counted { isolate: None, usage: Usage::new(), due: None }) };
}

/// What this isolate has counted.
struct Counted {
    /// Its id, made up at its first operation.
    isolate: Option<String>,
    usage: Usage,
    /// When what is not written yet will be.
    due: Option<f64>,
}

/// Counts an operation that succeeded.
pub fn count(operation: Operation) {
    let now = task::now();
    let flush = COUNTED.with_borrow_mut(|counted| {
        counted.usage.count(operation, now);
        let waiting = counted.due.is_some_and(|due| now < due + OVERDUE);
        if !waiting {
            counted.due = Some(now + INTERVAL);
        }
        !waiting
    });
    if flush {
        edge::wait_until(flush_later());
    }
}

/// All isolates' operations: the others' as they have written them, this one's as they are.
pub async fn total() -> Result<Usage, Problem> {
    let mut usage = kv::usage_but(&isolate()).await?;
    COUNTED.with_borrow(|counted| usage.add(&counted.usage));
    Ok(usage)
}

async fn flush_later() {
    let pause = Promise::new(&mut |resolve, _| set_timeout(&resolve, INTERVAL));
    settled(Ok(pause)).await.expect("a timer ends");
    // What is counted from here on makes the next write due.
    let usage = COUNTED.with_borrow_mut(|counted| {
        counted.due = None;
        counted.usage.clone()
    });
    // A customer without a KV namespace has its operations counted in memory alone.
    if kv::DATA.is_attached()
        && let Err(problem) = kv::put_usage(&isolate(), &usage).await
    {
        edge::log_problem(&problem, "");
    }
}

fn isolate() -> String {
    COUNTED.with_borrow_mut(|counted| counted.isolate.get_or_insert_with(random_uuid).clone())
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = randomUUID)]
    fn random_uuid() -> String;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &js_sys::Function, milliseconds: f64);
}
