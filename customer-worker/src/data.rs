//! `/data`: JSON values in the customer's KV namespace.

use js_sys::JsString;
use shared::{DataKey, Problem, Query, SetData, is_json, reply};
use web_sys::{Request, Response};

use crate::bindings::Bindings;
use crate::body;

/// `GET /data?key=`: the value, in the very text that it was stored in.
pub async fn get(query: Query<'_>, bindings: &Bindings) -> Result<Response, Problem> {
    let key = DataKey::from_query(query)?;
    let value = bindings.data()?.get(&key).await?.ok_or_else(Problem::data_not_found)?;
    // Put together on the JavaScript side: the value, which may be 25 MiB, does not enter Wasm.
    let before = format!("{{\"key\":{},\"value\":", reply::to_json(&key.as_str()));
    let body = JsString::from(before).concat(&value).concat(&"}".into());
    Ok(edge::json_reply(&body))
}

/// `POST /data`: stores a value.
pub async fn set(request: &Request, bindings: &Bindings) -> Result<Response, Problem> {
    body::require_type(request, is_json, "application/json")?;
    let data = bindings.data()?;
    let body = body::read(request, SetData::MAX_BODY_LEN).await?;
    let text = body.to_vec();
    let SetData { key, value } = SetData::parse(&text)?;
    // What is stored is a range of the body as it arrived, not another copy of it.
    let start = value.get().as_ptr() as usize - text.as_ptr() as usize;
    let (start, end) = (start, start + value.get().len());
    data.put(&key, &body.subarray(offset(start), offset(end))).await?;
    Ok(edge::json_reply(&reply::to_json(&reply::DataStored { success: true, key: key.as_str() }).into()))
}

/// `DELETE /data?key=`: deletes a value, if it is there.
pub async fn delete(query: Query<'_>, bindings: &Bindings) -> Result<Response, Problem> {
    let key = DataKey::from_query(query)?;
    bindings.data()?.delete(&key).await?;
    Ok(edge::json_reply(&reply::to_json(&reply::Deleted { success: true }).into()))
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("a body is shorter than 4 GiB")
}
