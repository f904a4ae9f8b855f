//! `/files/uploads`: multipart uploads, each part in a request of its own. R2 keeps the parts until the upload is completed
//! or aborted, and deletes those of an abandoned upload after seven days
//! (<https://developers.cloudflare.com/r2/objects/multipart-objects/>).

use shared::files::{FileHeaders, FileKey, FileStored, UploadCreated, UploadedPart, multipart_upload};
use shared::http::{Deleted, Problem, Query, is_json};
use web_sys::Request;
use worker::Env;

use super::{headers, refuse_conditions, require_length, stored_response, stream};
use crate::bindings::FileStore;
use crate::body::{self, Body, require_type};

/// `POST /files/uploads?key=`: starts an upload.
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
    // The coding is the whole file's, and goes with the upload's beginning.
    body::require_identity(request)?;
    let upload = FileStore::from_env(env)?.resume_upload(&key, &id)?;
    require_length(request, "a part")?;
    upload.send(number, stream(request))?.finish().await
}

/// `POST /files/uploads/complete?key=&uploadId=`: makes a file of the parts.
pub async fn complete(env: &Env, request: &Request, query: Query<'_>) -> Result<FileStored, Problem> {
    let key = FileKey::from_query(query)?;
    let id = multipart_upload::upload_id(query)?;
    refuse_conditions(request)?;
    require_type(request, is_json, body::JSON)?;
    let files = FileStore::from_env(env)?;
    let body = Body::read(request, multipart_upload::MAX_PARTS_LEN).await?;
    let parts = multipart_upload::parse_parts(&body.text)?;
    let upload = files.resume_upload(&key, &id)?;
    let stored = body.store(upload.complete(&parts)).await?;
    drop(body);
    // R2's answer does not have the headers that the upload was started with.
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
