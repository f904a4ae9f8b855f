//! `/stats`: how much a customer has stored, and its operations.

use futures::join;
use js_sys::Date;
use shared::customer::{Activity, Stats, StoredCounts, Usage};
use shared::http::Problem;
use worker::Env;

use crate::bindings::{DataStore, FileStore};
use crate::usage;

/// `GET /stats`: returns the customer's stats. Files and keys are counted by listing them. A stored count would be
/// wrong after two uploads at the same time, because R2 and KV cannot increment a number atomically.
pub async fn stats(env: &Env) -> Result<Stats, Problem> {
    let data = DataStore::from_env(env)?;
    let count_files = async { FileStore::from_env(env)?.count().await };
    let (usage, files, kv_keys) = join!(usage::total(&data), count_files, data.count());
    let (usage, files, kv_keys) = (usage?, files?, kv_keys?);
    let by_operation = usage.by_operation();
    let activity = Activity {
        total_operations: by_operation.values().sum(),
        last_activity: usage.last_operation().map(|last| Date::new(&last.into()).to_iso_string().into()),
        by_operation,
        window_days: Usage::WINDOW_DAYS,
    };
    Ok(Stats { files, activity, storage: StoredCounts { kv_keys, r2_objects: files.count } })
}
