//! Reply bodies of the routes for values.

use serde::Serialize;
use serde_json::value::RawValue;

/// The reply to storing a value.
#[derive(Debug, Serialize)]
pub struct DataStored {
    /// `true`.
    pub success: bool,
    /// The value's key.
    pub key: String,
}

/// A page of keys of values.
#[derive(Debug, Serialize)]
pub struct DataList {
    /// The keys, in the order of their bytes.
    pub keys: Vec<ListedKey>,
    /// Whether more pages follow.
    pub truncated: bool,
    /// The cursor of the next page, if one follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A key in a [`DataList`].
#[derive(Debug, Serialize)]
pub struct ListedKey {
    /// The key.
    pub key: String,
    /// The value's metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// The time when the value expires, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<u64>,
}
