//! `/db`: SQL on the customer's D1 database.

use edge::{object, set};
use js_sys::{Array, JSON, Object, Reflect};
use shared::{Problem, Statement, is_json};
use wasm_bindgen::JsValue;
use web_sys::Request;

use crate::bindings::d1;
use crate::body::{Body, require_type};

/// `POST /db/query`: one statement.
pub async fn query(request: &Request) -> Result<String, Problem> {
    require_type(request, is_json, "application/json")?;
    d1::DATABASE.require()?;
    let body = Body::read(request, Statement::MAX_BODY_LEN).await?;
    Ok(to_json(&entry(&d1::query(&Statement::parse(&body.text)?).await?)))
}

/// `POST /db/batch`: several, in one transaction.
pub async fn batch(request: &Request) -> Result<String, Problem> {
    require_type(request, is_json, "application/json")?;
    d1::DATABASE.require()?;
    let body = Body::read(request, Statement::MAX_BODY_LEN).await?;
    let results = d1::batch(&Statement::parse_batch(&body.text)?).await?;
    let entries: Array = results.iter().map(|result| JsValue::from(entry(&result))).collect();
    Ok(to_json(&object(&[("batch", entries.into())])))
}

/// What is said of a statement: its rows, and what it took.
pub fn entry(result: &d1::D1Result) -> Object {
    let (all, meta) = (result.meta(), Object::new());
    for name in ["changes", "last_row_id", "rows_read", "rows_written", "duration"] {
        set(&meta, name, &Reflect::get(&all, &name.into()).expect("an object has any property"));
    }
    object(&[("results", result.results()), ("meta", meta.into())])
}

/// Rows hold what SQLite can: text, numbers, nulls, and bytes as arrays of numbers.
fn to_json(value: &Object) -> String {
    JSON::stringify(value).expect("rows can be written as JSON").into()
}
