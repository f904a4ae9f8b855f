//! `/data`: JSON values in the customer's KV namespace.

use js_sys::{Date, JSON, JsString};
use shared::data::{DataKey, DataList, DataPage, DataStored, SetData};
use shared::http::{Deleted, Problem, is_json};
use shared::json::to_text;
use wasm_bindgen::JsValue;
use web_sys::{Request, Response};
use worker::Env;

use crate::bindings::DataStore;
use crate::body::{BufferedBody, JSON_TYPE, require_content_type};

/// `GET /data?key=`: returns a value, byte for byte as it was stored. It may have up to 25 MiB, so it stays outside
/// Wasm.
pub async fn get(env: &Env, key: &DataKey) -> Result<Response, Problem> {
    let entry = DataStore::from_env(env)?.get_with_metadata(key).await?;
    let (value, metadata) = entry.ok_or_else(Problem::data_not_found)?;
    let before = format!("{{\"key\":{},\"value\":", to_text(&key.as_str()));
    let after = metadata.map_or_else(|| "}".to_owned(), |metadata| format!(",\"metadata\":{metadata}}}"));
    Ok(edge::json_text_reply(&JsString::from(before).concat(&value).concat(&after.into())))
}

/// `POST /data`: stores a value.
pub async fn set(env: &Env, request: &Request) -> Result<DataStored, Problem> {
    require_content_type(request, is_json, JSON_TYPE)?;
    let store = DataStore::from_env(env)?;
    let body = BufferedBody::read(request, SetData::MAX_BODY_LEN).await?;
    let SetData { key, value, expiry, metadata } = SetData::parse(&body.bytes, now())?;
    let metadata = metadata.map(|metadata| parse_metadata(metadata.get())).transpose()?;
    body.store(store.put(&key, &body.js_bytes_of(value.get()), expiry, metadata.as_ref())).await?;
    Ok(stored(&key))
}

/// `GET /data`: lists keys.
pub async fn list(env: &Env, page: &DataPage) -> Result<DataList, Problem> {
    DataStore::from_env(env)?.list(page).await
}

/// `DELETE /data?key=`: deletes a value, if it exists.
pub async fn delete(env: &Env, key: &DataKey) -> Result<Deleted, Problem> {
    DataStore::from_env(env)?.delete(key).await?;
    Ok(Deleted { success: true })
}

/// Returns the reply for a value that was stored.
pub fn stored(key: &DataKey) -> DataStored {
    DataStored { success: true, key: key.as_str().to_owned() }
}

/// Parses metadata into the object that KV stores. Checks its length again, because KV limits the length of the
/// object's own JSON, which may be longer than the text in the body.
fn parse_metadata(text: &str) -> Result<JsValue, Problem> {
    let metadata = JSON::parse(text).map_err(|thrown| Problem::invalid_body(&edge::error_message(&thrown)))?;
    let json = JSON::stringify(&metadata).map(String::from).expect("parsed JSON can be written");
    if json.len() > SetData::MAX_METADATA_LEN {
        return Err(Problem::invalid_body("`metadata` may have at most 1024 bytes"));
    }
    Ok(metadata)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since 1970")]
fn now() -> u64 {
    (Date::now() / 1000.0) as u64
}
