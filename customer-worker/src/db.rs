//! `/db`: SQL on the customer's D1 database.

use js_sys::{JSON, Object};
use shared::database::Statement;
use shared::http::{Problem, is_json};
use web_sys::{Request, Response};
use worker::Env;

use crate::bindings::Database;
use crate::body::{self, Body, require_type};

/// `POST /db/query`: one statement.
pub async fn query(env: &Env, request: &Request) -> Result<Response, Problem> {
    require_type(request, is_json, body::JSON)?;
    let database = Database::from_env(env)?;
    let body = Body::read(request, Statement::MAX_BODY_LEN).await?;
    let statement = Statement::parse(&body.text)?;
    Ok(json_reply(&body.store(database.query(&statement)).await?))
}

/// `POST /db/batch`: several, in one transaction.
pub async fn batch(env: &Env, request: &Request) -> Result<Response, Problem> {
    require_type(request, is_json, body::JSON)?;
    let database = Database::from_env(env)?;
    let body = Body::read(request, Statement::MAX_BODY_LEN).await?;
    let statements = Statement::parse_batch(&body.text)?;
    let results = body.store(database.batch(&statements)).await?;
    Ok(json_reply(&edge::object(&[("batch", results.into())])))
}

/// A reply with rows, which stay outside Wasm. They hold what SQLite can: text, numbers, nulls, and bytes as arrays of
/// numbers.
fn json_reply(value: &Object) -> Response {
    edge::json_text_reply(&JSON::stringify(value).expect("rows can be written as JSON"))
}
