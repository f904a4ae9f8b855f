//! `/files/uploads`: large files in parts, each in a request of its own. R2 keeps them until the upload is completed or
//! aborted; what is left over goes after seven days
//! (<https://developers.cloudflare.com/r2/objects/multipart-objects/>).

use shared::{FileHeaders, FileKey, Problem, Query, is_json, reply, upload};
use wasm_bindgen::JsValue;
use web_sys::Request;

use super::{headers, refuse_conditions, require_length, said_of};
use crate::bindings::r2;
use crate::body::{Body, content_length, require_type};

/// `POST /files/uploads?key=`: begins one.
pub async fn create(request: &Request, query: Query<'_>) -> Result<String, Problem> {
    let key = FileKey::from_query(query)?;
    let sent = headers(request)?;
    refuse_conditions(request)?;
    let upload = r2::create_upload(&key, &sent).await?;
    Ok(reply::to_json(&reply::UploadCreated { key: key.as_str(), upload_id: &upload.id() }))
}

/// `PUT /files/uploads?key=&uploadId=&partNumber=`: stores a part.
pub async fn put_part(request: &Request, query: Query<'_>) -> Result<String, Problem> {
    let key = FileKey::from_query(query)?;
    let (id, number) = (upload::upload_id(query)?, upload::part_number(query)?);
    refuse_conditions(request)?;
    let upload = r2::resume_upload(&key, &id)?;
    require_length(content_length(request), "a part")?;
    let part = upload.send(number, &request.body().map_or_else(|| "".into(), JsValue::from))?;
    Ok(reply::to_json(&part.arrival().await?))
}

/// `POST /files/uploads/complete?key=&uploadId=`: makes a file of the parts.
pub async fn complete(request: &Request, query: Query<'_>) -> Result<String, Problem> {
    let key = FileKey::from_query(query)?;
    let id = upload::upload_id(query)?;
    refuse_conditions(request)?;
    require_type(request, is_json, "application/json")?;
    r2::FILES.require()?;
    let body = Body::read(request, upload::MAX_PARTS_LEN).await?;
    let parts = upload::parse_parts(&body.text)?;
    let stored = r2::resume_upload(&key, &id)?.complete(&parts).await?;
    // What `complete` answers does not have the headers that the upload was begun with.
    let headers = r2::head(&key).await?.map_or_else(FileHeaders::default, |found| found.headers);
    Ok(said_of(&stored, &key, &headers))
}

/// `DELETE /files/uploads?key=&uploadId=`: gives it up.
pub async fn abort(query: Query<'_>) -> Result<String, Problem> {
    let key = FileKey::from_query(query)?;
    let id = upload::upload_id(query)?;
    r2::resume_upload(&key, &id)?.abort().await?;
    Ok(reply::to_json(&reply::Deleted { success: true }))
}
