//! `/data`: JSON values in the customer's KV namespace.

use js_sys::{Date, JSON, JsString};
use shared::{DataKey, DataPage, Problem, SetData, is_json, reply};
use wasm_bindgen::JsValue;
use web_sys::{Request, Response};

use crate::bindings::kv;
use crate::body::{Body, require_type};

/// `GET /data?key=`: the value, in the very text that it was stored in.
pub async fn get(key: &DataKey) -> Result<Response, Problem> {
    let before = ["{\"key\":", &reply::to_json(&key.as_str()), ",\"value\":"].concat();
    let body = kv::show(key, &before).await?.ok_or_else(Problem::data_not_found)?;
    Ok(edge::json_reply(&body))
}

/// `POST /data`: stores a value.
pub async fn set(request: &Request) -> Result<String, Problem> {
    require_type(request, is_json, "application/json")?;
    kv::DATA.require()?;
    let body = Body::read(request, SetData::MAX_BODY_LEN).await?;
    let SetData { key, value, expiry, metadata } = SetData::parse(&body.text, now())?;
    let metadata = metadata.map(|metadata| parse_metadata(metadata.get())).transpose()?;
    kv::put(&key, &body.part(value.get()), expiry, metadata.as_ref()).await?;
    Ok(stored(&key))
}

/// What is said of a value that was stored.
pub fn stored(key: &DataKey) -> String {
    reply::to_json(&reply::DataStored { success: true, key: key.as_str() })
}

/// `GET /data`: lists keys.
pub async fn list(page: &DataPage) -> Result<Response, Problem> {
    let kv::KeyPage { keys, cursor } = kv::list(page).await?;
    let end = reply::to_json(&reply::PageEnd { truncated: cursor.is_some(), cursor });
    let members = format!(",{}", end.trim_start_matches('{'));
    Ok(edge::json_reply(&JsString::from("{\"keys\":").concat(&keys).concat(&members.into())))
}

/// `DELETE /data?key=`: deletes a value, if it is there.
pub async fn delete(key: &DataKey) -> Result<String, Problem> {
    kv::delete(key).await?;
    Ok(reply::to_json(&reply::Deleted { success: true }))
}

/// The object that KV keeps; its own JSON, whose length counts, may be longer than what came.
fn parse_metadata(text: &str) -> Result<JsValue, Problem> {
    let metadata = JSON::parse(text).map_err(|thrown| Problem::invalid_body(&edge::thrown_message(&thrown)))?;
    let json = JSON::stringify(&metadata).map(String::from).expect("what was parsed can be written");
    if json.len() > SetData::MAX_METADATA_LEN {
        return Err(Problem::invalid_body("`metadata` may have 1024 bytes at most"));
    }
    Ok(metadata)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since 1970")]
fn now() -> u64 {
    (Date::now() / 1000.0) as u64
}
