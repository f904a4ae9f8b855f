//! The bodies of replies about files.

use serde::{Deserialize, Serialize};

use crate::json;

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
pub struct UploadedPart {
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
