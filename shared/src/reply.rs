//! The bodies of successful replies.

use serde::Serialize;

/// `GET /` of the customer Worker and `GET /healthz` of the dispatcher.
#[derive(Debug, Serialize)]
pub struct Health<'a> {
    /// `"ok"`.
    pub status: &'static str,
    /// Who answers: the user id that the request was for, or `"dispatcher"`. `null` where a customer Worker is asked
    /// without a dispatcher in front.
    pub worker: Option<&'a str>,
    /// The answering crate's version.
    pub version: &'static str,
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

/// What a customer has stored.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// The files.
    pub files: Files,
    /// What is in each of the customer's stores.
    pub storage: Storage,
}

/// The files of [`Stats`].
#[derive(Debug, Default, Serialize)]
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
    serde_json::to_string(reply).expect("replies hold strings and numbers alone, which always serialise")
}
