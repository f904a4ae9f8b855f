//! `/stats`: what a customer has stored, and done.

use edge::task::Begun;
use shared::{Problem, Usage, reply};

use crate::bindings::{kv, r2, rfc3339};
use crate::usage;

/// `GET /stats`. Counted by listing what is really there, all of it: a number that is read, changed and written back
/// would lose one of two uploads at once.
pub async fn stats() -> Result<String, Problem> {
    let (files, kv_keys) = (Begun::new(r2::count()), Begun::new(kv::count()));
    let usage = usage::total().await?;
    let (files, kv_keys) = (files.end().await?, kv_keys.end().await?);
    let by_operation = usage.by_operation();
    let activity = reply::Activity {
        total_operations: by_operation.values().sum(),
        last_activity: usage.last().map(rfc3339),
        by_operation,
        window_days: Usage::WINDOW_DAYS,
    };
    let storage = reply::Storage { kv_keys, r2_objects: files.count };
    Ok(reply::to_json(&reply::Stats { files, activity, storage }))
}
