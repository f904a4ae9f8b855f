//! Reply bodies of the routes for files.

use serde::{Deserialize, Serialize};

use crate::json;

/// The reply to storing a file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileStored {
    /// `true`.
    pub success: bool,
    /// The file's key.
    pub key: String,
    /// The file's size, in bytes.
    pub size: u64,
    /// R2's etag, without quotation marks.
    pub etag: String,
    /// The content type that is sent back with the file.
    pub content_type: String,
}

/// The reply to creating a multipart upload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadCreated {
    /// The file's key.
    pub key: String,
    /// The id of the upload, for the requests that follow.
    pub upload_id: String,
}

/// The reply to storing a part. To complete the upload, the client sends the same object for each part.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UploadedPart {
    /// The part's number, 1 to 10000.
    #[serde(deserialize_with = "json::whole_number")]
    pub part_number: u16,
    /// R2's etag of the part, without quotation marks.
    pub etag: String,
}

/// A page of files.
#[derive(Debug, Serialize)]
pub struct FileList {
    /// The files, in the order of their keys.
    pub files: Vec<ListedFile>,
    /// The common prefixes of the keys that the delimiter groups.
    pub prefixes: Vec<String>,
    /// Whether more pages follow. If so, a page with content types may have fewer entries than its limit.
    pub truncated: bool,
    /// The cursor of the next page, if one follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A file in a [`FileList`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedFile {
    /// The file's key.
    pub key: String,
    /// The file's size, in bytes.
    pub size: u64,
    /// The time of the upload (RFC 3339).
    pub uploaded: String,
    /// R2's etag, without quotation marks.
    pub etag: String,
    /// The content type, if the request includes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}
