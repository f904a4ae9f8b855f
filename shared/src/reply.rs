//! The bodies of successful replies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json;

/// `GET /` of the customer Worker and `GET /healthz` of the dispatcher.
#[derive(Debug, Serialize)]
pub struct Health {
    /// `"ok"`.
    pub status: &'static str,
    /// Who answers: the user id that the request was for, or `"dispatcher"`. `null` where a customer Worker is called
    /// without a dispatcher in front.
    pub worker: Option<String>,
    /// The answering crate's version.
    pub version: &'static str,
    /// The deployment that answers, where it knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
}

/// A deployed version of a Worker
/// (<https://developers.cloudflare.com/workers/runtime-apis/bindings/version-metadata/>).
#[derive(Debug, Serialize)]
pub struct Deployment {
    /// Cloudflare's id of it.
    pub id: String,
    /// What it was tagged with.
    pub tag: String,
    /// When it was made (RFC 3339, UTC).
    pub timestamp: String,
}

/// A file was stored.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileStored {
    /// `true`.
    pub success: bool,
    /// The file's key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// R2's own, unquoted.
    pub etag: String,
    /// As it will be sent back.
    pub content_type: String,
}

/// A value was stored.
#[derive(Debug, Serialize)]
pub struct DataStored {
    /// `true`.
    pub success: bool,
    /// The value's key.
    pub key: String,
}

/// Something was deleted, or did not exist.
#[derive(Debug, Serialize)]
pub struct Deleted {
    /// `true`.
    pub success: bool,
}

/// A multipart upload was started.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadCreated {
    /// The file's key.
    pub key: String,
    /// The id that further requests name it by.
    pub upload_id: String,
}

/// A part was stored. The client sends the same for each part to complete the upload.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Part {
    /// 1 to 10000.
    #[serde(deserialize_with = "json::whole")]
    pub part_number: u16,
    /// R2's own, unquoted.
    pub etag: String,
}

/// A page of files.
#[derive(Debug, Serialize)]
pub struct FileList {
    /// In the order of their keys.
    pub files: Vec<ListedFile>,
    /// The common prefixes of keys that are grouped by the delimiter.
    pub prefixes: Vec<String>,
    /// Whether there is more. A page with content types may be short even then.
    pub truncated: bool,
    /// Where the next page starts, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A file of a [`FileList`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedFile {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was uploaded (RFC 3339).
    pub uploaded: String,
    /// R2's own, unquoted.
    pub etag: String,
    /// Its type, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
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

/// What a customer has stored and done.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// The files.
    pub files: Files,
    /// The operations.
    pub activity: Activity,
    /// What is in each of the customer's stores.
    pub storage: Storage,
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
pub struct Files {
    /// How many there are.
    pub count: u64,
    /// All their bytes.
    pub total_size: u64,
}

/// The stores of [`Stats`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Values under the customer's own keys.
    pub kv_keys: u64,
    /// Objects in the customer's bucket.
    pub r2_objects: u64,
}

/// Writes a reply's body.
#[must_use]
pub fn to_json(reply: &impl Serialize) -> String {
    json::to_text(reply)
}
