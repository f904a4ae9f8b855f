//! `/files`: files in the customer's R2 bucket.

mod download;
mod form;
mod parts;
pub mod uploads;

use edge::header::Several;
use shared::{FileHeaders, FileKey, FilesPage, Preconditions, Problem, Query, reply};
use wasm_bindgen::JsValue;
use web_sys::Request;

use crate::bindings::r2::{self, MAX_PUT_LEN, OnlyIf, Stored};

pub use download::{download, inspect, open};
pub use form::upload_form;
pub use parts::PartsWriter;

/// `PUT /files?key=`: stores the body, which goes to R2 as the runtime's own stream.
pub async fn upload(request: &Request, query: Query<'_>) -> Result<String, Problem> {
    let key = FileKey::from_query(query)?;
    let sent = Several::read(request, &SENT);
    let [kept @ .., if_match, if_none_match, if_unmodified_since, length] = sent.values();
    let headers = FileHeaders::read(kept)?;
    let only_if = OnlyIf::new(&Preconditions::read([if_match, if_none_match, None, if_unmodified_since]))?;
    require_length(length.and_then(|length| length.parse().ok()), "a file in one piece")?;
    store(&key, request, &headers, &only_if).await
}

/// What is asked of each upload in one piece. `If-Modified-Since` means nothing to it (RFC 9110, 13.1.3).
static SENT: [&str; 10] = {
    let [a, b, c, d, e, f] = FileHeaders::HEADERS;
    let [if_match, if_none_match, _, if_unmodified_since] = Preconditions::HEADERS;
    [a, b, c, d, e, f, if_match, if_none_match, if_unmodified_since, "Content-Length"]
};

/// What R2 takes in one piece (`what`) must be of a length that is known, and not too large.
fn require_length(length: Option<u64>, what: &str) -> Result<(), Problem> {
    if length.ok_or_else(Problem::length_required)? > MAX_PUT_LEN {
        return Err(Problem::too_large(what, MAX_PUT_LEN));
    }
    Ok(())
}

/// A request's headers that are kept with a file.
fn headers(request: &Request) -> Result<FileHeaders, Problem> {
    FileHeaders::read(Several::read(request, &FileHeaders::HEADERS).values())
}

/// A request's conditions.
fn conditions(request: &Request) -> Preconditions {
    Preconditions::read(Several::read(request, &Preconditions::HEADERS).values())
}

/// R2 does not compare anything when an upload in parts becomes a file, nor when a file is deleted.
pub fn refuse_conditions(request: &Request) -> Result<(), Problem> {
    if conditions(request).are_none() { Ok(()) } else { Err(Problem::condition_not_supported()) }
}

/// Stores a file in one piece, and answers what is said of it.
pub async fn store(
    key: &FileKey,
    content: &JsValue,
    headers: &FileHeaders,
    only_if: &OnlyIf,
) -> Result<String, Problem> {
    let stored = r2::put(key, content, headers, only_if).await?.ok_or_else(Problem::precondition_failed)?;
    Ok(said_of(&stored, key, headers))
}

/// `DELETE /files?key=`: deletes a file, if it is there.
pub async fn delete(key: &FileKey) -> Result<String, Problem> {
    r2::delete(key).await?;
    Ok(reply::to_json(&reply::Deleted { success: true }))
}

/// `GET /files`: lists files, with one R2 list.
pub async fn list(page: &FilesPage) -> Result<String, Problem> {
    let r2::FilePage { files, prefixes, cursor } = r2::list(page).await?;
    Ok(reply::to_json(&reply::FileList { files, prefixes, truncated: cursor.is_some(), cursor }))
}

/// What is said of a file that was stored.
fn said_of(stored: &Stored, key: &FileKey, headers: &FileHeaders) -> String {
    reply::to_json(&reply::FileStored {
        success: true,
        key: key.as_str(),
        size: stored.size,
        etag: &stored.etag,
        content_type: headers.content_type.as_str(),
    })
}
