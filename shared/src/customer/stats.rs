//! The body of the reply of `GET /stats`.

use std::collections::BTreeMap;

use serde::Serialize;

/// What a customer has stored and done.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// The files.
    pub files: FileTotals,
    /// The operations.
    pub activity: Activity,
    /// What is in each of the customer's stores.
    pub storage: StoredCounts,
}

/// The operations of [`Stats`].
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// All of them.
    pub total_operations: u64,
    /// When the last one was (RFC 3339).
    pub last_activity: Option<String>,
    /// How many of each kind.
    pub by_operation: BTreeMap<&'static str, u64>,
    /// How long an isolate's count is kept after its last operation.
    pub window_days: u32,
}

/// The files of [`Stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileTotals {
    /// How many there are.
    pub count: u64,
    /// All their bytes.
    pub total_size: u64,
}

/// The stores of [`Stats`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredCounts {
    /// Values under the customer's own keys.
    pub kv_keys: u64,
    /// Objects in the customer's bucket.
    pub r2_objects: u64,
}
