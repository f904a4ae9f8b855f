//! Queues that scripts send messages to: <https://developers.cloudflare.com/api/resources/queues/>. Nothing consumes
//! the messages here.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query as QueryParameters, State};
use axum::http::StatusCode;
use axum::routing::get;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reply::{Page, Query, Refusal, Success, json_body};
use super::{Api, Local};
use crate::account::{Account, Queue, new_id, now};

pub fn routes() -> Router<Arc<Local>> {
    Router::new().route("/queues", get(list).post(create)).route("/queues/{id}", get(one).delete(remove))
}

#[derive(Deserialize)]
struct Wanted {
    queue_name: String,
}

fn to_json(name: &str, queue: &Queue) -> Value {
    json!({
        "queue_id": queue.id,
        "queue_name": name,
        "created_on": queue.created,
        "modified_on": queue.created,
        "producers": [],
        "producers_total_count": 0,
        "consumers": [],
        "consumers_total_count": 0,
    })
}

fn no_queue() -> Refusal {
    Refusal::not_found(11000, "Queue not found")
}

fn find<'a>(account: &'a Account, id: &str) -> Result<(&'a String, &'a Queue), Refusal> {
    account.queues.iter().find(|(_, queue)| queue.id == id).ok_or_else(no_queue)
}

async fn list(State(local): Api, QueryParameters(query): QueryParameters<Query>) -> Result<Success, Refusal> {
    let wanted = query.get("name").map(|names| names.split(',').map(str::to_owned).collect::<Vec<_>>());
    let all = local.read(|account| {
        let queues =
            account.queues.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(name)));
        queues.map(|(name, queue)| to_json(name, queue)).collect()
    });
    Ok(Success::page(all, Page::of(&query)?))
}

async fn create(State(local): Api, body: Bytes) -> Result<Success, Refusal> {
    let Wanted { queue_name: name } = json_body(&body)?;
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !(1..=63).contains(&name.len()) || !name.bytes().all(inner) {
        return Err(Refusal::bad(11003, "a queue's name is 1 to 63 letters, digits and -"));
    }
    let queue = local.change(|account| {
        if account.queues.contains_key(&name) {
            let message = format!("Queue name '{name}' is already taken");
            return Err(Refusal::new(StatusCode::CONFLICT, 11009, message));
        }
        let queue = account.queues.entry(name.clone()).or_insert_with(|| Queue { id: new_id(), created: now() });
        Ok(to_json(&name, queue))
    })?;
    Ok(Success::new(queue))
}

async fn one(State(local): Api, Path((_, id)): Path<(String, String)>) -> Result<Success, Refusal> {
    local.read(|account| find(account, &id).map(|(name, queue)| Success::new(to_json(name, queue))))
}

async fn remove(State(local): Api, Path((_, id)): Path<(String, String)>) -> Result<Success, Refusal> {
    local.change(|account| {
        let name = find(account, &id)?.0.clone();
        account.queues.remove(&name);
        Ok(())
    })?;
    Ok(Success::new(Value::Null))
}
