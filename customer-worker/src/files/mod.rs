//! `/files`: files in the customer's R2 bucket.

mod download;
mod form;
mod parts_writer;
pub mod uploads;

use shared::files::{FileHeaders, FileKey, FileList, FileStored, FilesPage};
use shared::http::{Deleted, Preconditions, Problem, Query};
use wasm_bindgen::JsValue;
use web_sys::Request;
use worker::Env;

use crate::bindings::{FileStore, MAX_PUT_LEN, PutResult, WriteCondition};
use crate::body::{content_length, header};

pub use download::{download, head, open};
pub use form::upload_form;
pub use parts_writer::PartsWriter;

/// `PUT /files?key=`: stores the body as a file. It is streamed to R2, and never enters Wasm.
pub async fn upload(env: &Env, request: &Request, query: Query<'_>) -> Result<FileStored, Problem> {
    let key = FileKey::from_query(query)?;
    let headers = headers(request)?;
    let condition = WriteCondition::new(&conditions(request))?;
    require_length(request, "a file that is not uploaded in parts")?;
    store(&FileStore::from_env(env)?, &key, body_stream(request), &headers, &condition).await
}

/// `GET /files`: lists a page of files.
pub async fn list(env: &Env, page: &FilesPage) -> Result<FileList, Problem> {
    FileStore::from_env(env)?.list(page).await
}

/// `DELETE /files?key=`: deletes a file, if it exists.
pub async fn delete(env: &Env, key: &FileKey) -> Result<Deleted, Problem> {
    FileStore::from_env(env)?.delete(key).await?;
    Ok(Deleted { success: true })
}

/// Stores a file with one R2 `put`, if the condition holds.
pub async fn store(
    files: &FileStore,
    key: &FileKey,
    content: JsValue,
    headers: &FileHeaders,
    condition: &WriteCondition,
) -> Result<FileStored, Problem> {
    let stored = files.put(key, content, headers, condition).await?.ok_or_else(Problem::precondition_failed)?;
    Ok(stored_response(stored, key, headers))
}

/// Refuses a request with preconditions. R2 cannot check them for multipart uploads or when a file is deleted.
pub fn refuse_conditions(request: &Request) -> Result<(), Problem> {
    if conditions(request).are_none() { Ok(()) } else { Err(Problem::condition_not_supported()) }
}

/// Reads a request's preconditions.
fn conditions(request: &Request) -> Preconditions {
    Preconditions::read(|name| header(request, name))
}

/// Reads the headers of an upload that are stored with the file.
fn headers(request: &Request) -> Result<FileHeaders, Problem> {
    FileHeaders::read(|name| header(request, name))
}

/// Refuses a body without a `Content-Length`, which R2 needs, and a body that is too large for one R2 `put`. `subject`
/// names the body in the problem.
fn require_length(request: &Request, subject: &str) -> Result<(), Problem> {
    if content_length(request).ok_or_else(Problem::length_required)? > MAX_PUT_LEN {
        return Err(Problem::too_large(subject, MAX_PUT_LEN));
    }
    Ok(())
}

/// Returns a request's body as R2 takes it: a stream, or empty text.
fn body_stream(request: &Request) -> JsValue {
    request.body().map_or_else(|| "".into(), JsValue::from)
}

/// Returns the reply for a file that was stored.
fn stored_response(stored: PutResult, key: &FileKey, headers: &FileHeaders) -> FileStored {
    FileStored {
        success: true,
        key: key.as_str().to_owned(),
        size: stored.size,
        etag: stored.etag,
        content_type: headers.content_type.as_str().to_owned(),
    }
}
