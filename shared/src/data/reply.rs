//! The bodies of replies about values.

use serde::Serialize;
use serde_json::value::RawValue;

/// A value was stored.
#[derive(Debug, Serialize)]
pub struct DataStored {
    /// `true`.
    pub success: bool,
    /// The value's key.
    pub key: String,
}

/// A page of values' keys.
#[derive(Debug, Serialize)]
pub struct DataList {
    /// In the order of their bytes.
    pub keys: Vec<ListedKey>,
    /// Whether there is more.
    pub truncated: bool,
    /// Where the next page starts, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A key of a page.
#[derive(Debug, Serialize)]
pub struct ListedKey {
    /// The key.
    pub key: String,
    /// The value's metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// When it expires, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<u64>,
}
