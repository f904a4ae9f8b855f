//! `/files/uploads`: multipart uploads. Each part is sent in its own request. R2 stores the parts until the upload is
//! completed or aborted, and deletes the parts of an abandoned upload after seven days
//! (<https://developers.cloudflare.com/r2/objects/multipart-objects/>).

use shared::files::{FileHeaders, FileKey, FileStored, UploadCreated, UploadedPart, multipart_upload};
use shared::http::{Deleted, Problem, Query, is_json};
use web_sys::Request;
use worker::Env;

use super::{body_stream, headers, refuse_conditions, require_length, stored_response};
use crate::bindings::FileStore;
use crate::body::{BufferedBody, JSON_TYPE, refuse_content_encoding, require_content_type};

/// `POST /files/uploads?key=`: creates an upload.
pub async fn create(env: &Env, request: &Request, query: Query<'_>) -> Result<UploadCreated, Problem> {
    let key = FileKey::from_query(query)?;
    let headers = headers(request)?;
    refuse_conditions(request)?;
    let upload = FileStore::from_env(env)?.create_upload(&key, &headers).await?;
    Ok(UploadCreated { key: key.as_str().to_owned(), upload_id: upload.id()? })
}

/// `PUT /files/uploads?key=&uploadId=&partNumber=`: stores a part.
pub async fn put_part(env: &Env, request: &Request, query: Query<'_>) -> Result<UploadedPart, Problem> {
    let key = FileKey::from_query(query)?;
    let (id, number) = (multipart_upload::upload_id(query)?, multipart_upload::part_number(query)?);
    refuse_conditions(request)?;
    // `Content-Encoding` applies to the whole file, so it is sent when the upload is created.
    refuse_content_encoding(request)?;
    let upload = FileStore::from_env(env)?.resume_upload(&key, &id)?;
    require_length(request, "a part")?;
    upload.upload_part(number, body_stream(request))?.finish().await
}

/// `POST /files/uploads/complete?key=&uploadId=`: completes an upload, which creates the file from its parts.
pub async fn complete(env: &Env, request: &Request, query: Query<'_>) -> Result<FileStored, Problem> {
    let key = FileKey::from_query(query)?;
    let id = multipart_upload::upload_id(query)?;
    refuse_conditions(request)?;
    require_content_type(request, is_json, JSON_TYPE)?;
    let files = FileStore::from_env(env)?;
    let body = BufferedBody::read(request, multipart_upload::MAX_PARTS_LEN).await?;
    let parts = multipart_upload::parse_parts(&body.bytes)?;
    let upload = files.resume_upload(&key, &id)?;
    let stored = body.store(upload.complete(&parts)).await?;
    drop(body);
    // R2's result does not include the headers that were sent when the upload was created.
    let headers = files.head(&key).await?.map_or_else(FileHeaders::default, |file| file.headers);
    Ok(stored_response(stored, &key, &headers))
}

/// `DELETE /files/uploads?key=&uploadId=`: aborts an upload.
pub async fn abort(env: &Env, query: Query<'_>) -> Result<Deleted, Problem> {
    let key = FileKey::from_query(query)?;
    let id = multipart_upload::upload_id(query)?;
    FileStore::from_env(env)?.resume_upload(&key, &id)?.abort().await?;
    Ok(Deleted { success: true })
}
