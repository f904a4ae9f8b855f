//! `/db`: SQL on the customer's D1 database.

use js_sys::{JSON, Object};
use shared::database::Statement;
use shared::http::{Problem, is_json};
use web_sys::{Request, Response};
use worker::Env;

use crate::bindings::UserDatabase;
use crate::body::{BufferedBody, JSON_TYPE, require_content_type};

/// `POST /db/query`: runs one statement.
pub async fn query(env: &Env, request: &Request) -> Result<Response, Problem> {
    require_content_type(request, is_json, JSON_TYPE)?;
    let database = UserDatabase::from_env(env)?;
    let body = BufferedBody::read(request, Statement::MAX_BODY_LEN).await?;
    let statement = Statement::parse(&body.bytes)?;
    Ok(json_reply(&body.store(database.query(&statement)).await?))
}

/// `POST /db/batch`: runs several statements in one transaction.
pub async fn batch(env: &Env, request: &Request) -> Result<Response, Problem> {
    require_content_type(request, is_json, JSON_TYPE)?;
    let database = UserDatabase::from_env(env)?;
    let body = BufferedBody::read(request, Statement::MAX_BODY_LEN).await?;
    let statements = Statement::parse_batch(&body.bytes)?;
    let results = body.store(database.batch(&statements)).await?;
    Ok(json_reply(&edge::object(&[("batch", results.into())])))
}

/// Returns a reply with rows, which stay outside Wasm. Their values are text, numbers and nulls, and bytes as arrays of
/// numbers, so they can be written as JSON.
fn json_reply(value: &Object) -> Response {
    edge::json_text_reply(&JSON::stringify(value).expect("rows can be written as JSON"))
}
