//! The bodies of successful replies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{JsonObject, json};

/// `GET /` of the customer Worker and `GET /healthz` of the dispatcher.
#[derive(Debug)]
pub struct Health<'a> {
    /// `"ok"`.
    pub status: &'static str,
    /// Who answers: the user id that the request was for, or `"dispatcher"`. `null` where a customer Worker is asked
    /// without a dispatcher in front.
    pub worker: Option<&'a str>,
    /// The answering crate's version.
    pub version: &'static str,
    /// The deployment that answers, where it knows.
    pub deployment: Option<Deployment>,
}

impl Health<'_> {
    /// The body.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut health = JsonObject::begin();
        health.text("status", self.status);
        match self.worker {
            Some(worker) => health.text("worker", worker),
            None => health.json("worker", "null"),
        };
        health.text("version", self.version);
        if let Some(Deployment { id, tag, timestamp }) = &self.deployment {
            let deployment = JsonObject::begin().text("id", id).text("tag", tag).text("timestamp", timestamp).end();
            health.json("deployment", &deployment);
        }
        health.end()
    }
}

/// A deployed version of a Worker
/// (<https://developers.cloudflare.com/workers/runtime-apis/bindings/version-metadata/>).
#[derive(Debug)]
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
pub struct FileStored<'a> {
    /// `true`.
    pub success: bool,
    /// The file's key.
    pub key: &'a str,
    /// Bytes.
    pub size: u64,
    /// R2's own, unquoted.
    pub etag: &'a str,
    /// As it will be sent back.
    pub content_type: &'a str,
}

/// A value was stored.
#[derive(Debug, Serialize)]
pub struct DataStored<'a> {
    /// `true`.
    pub success: bool,
    /// The value's key.
    pub key: &'a str,
}

/// What was to be deleted is not there (any more).
#[derive(Debug, Serialize)]
pub struct Deleted {
    /// `true`.
    pub success: bool,
}

/// An upload in parts has begun.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadCreated<'a> {
    /// The file's key.
    pub key: &'a str,
    /// What the following requests name the upload by.
    pub upload_id: &'a str,
}

/// A part was stored. Also what the client says of each part to complete the upload.
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
    /// What keys that were put together have in common, up to the delimiter.
    pub prefixes: Vec<String>,
    /// Whether there is more. A page with content types may be short all the same.
    pub truncated: bool,
    /// Where to go on, if there is more.
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
    /// When, after RFC 3339.
    pub uploaded: String,
    /// R2's own, unquoted.
    pub etag: String,
    /// Its type, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// What a page of values' keys ends with, after its `keys`: an array of [`ListedKey`] in the order of their bytes.
#[derive(Debug, Serialize)]
pub struct PageEnd {
    /// Whether there is more.
    pub truncated: bool,
    /// Where to go on, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A key of a page.
#[derive(Debug, Serialize)]
pub struct ListedKey {
    /// The key.
    pub key: String,
    /// What is kept with the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// When it goes away, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<u64>,
}

/// What a customer has stored, and done.
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
    /// When the last one was, after RFC 3339.
    pub last_activity: Option<String>,
    /// How many of each kind.
    pub by_operation: BTreeMap<&'static str, u64>,
    /// For how long an isolate's count is kept after its last operation.
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
