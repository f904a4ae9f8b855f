//! The body of the reply of `GET /stats`.

use std::collections::BTreeMap;

use serde::Serialize;

/// A customer's storage and activity.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// The number and size of the files.
    pub files: FileTotals,
    /// The customer's operations.
    pub activity: Activity,
    /// The number of entries in each of the customer's stores.
    pub storage: StoredCounts,
}

/// The customer's operations, in [`Stats`].
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// The total number of operations.
    pub total_operations: u64,
    /// The time of the last operation (RFC 3339).
    pub last_activity: Option<String>,
    /// The number of operations of each kind.
    pub by_operation: BTreeMap<&'static str, u64>,
    /// How long an isolate's counts are stored after its last operation, in days.
    pub window_days: u32,
}

/// The number and size of the customer's files, in [`Stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileTotals {
    /// The number of files.
    pub count: u64,
    /// The total size, in bytes.
    pub total_size: u64,
}

/// The number of entries in each of the customer's stores, in [`Stats`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredCounts {
    /// The number of the customer's values in its KV namespace.
    pub kv_keys: u64,
    /// The number of objects in the customer's R2 bucket.
    pub r2_objects: u64,
}
