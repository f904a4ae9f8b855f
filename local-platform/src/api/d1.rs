//! D1 databases: <https://developers.cloudflare.com/api/resources/d1/>.

use std::fmt::Display;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query as QueryParameters, State};
use axum::routing::{get, post};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::reply::{Page, Query, Refusal, Success, json_body};
use super::sql::statements;
use super::{Api, Local};
use crate::account::{Account, Database, Storage};
use crate::storage_client::Call;
use cloudflare_api::Jurisdiction;

pub fn routes() -> Router<Arc<Local>> {
    Router::new()
        .route("/d1/database", get(list).post(create))
        .route("/d1/database/{id}", get(one).delete(remove))
        .route("/d1/database/{id}/query", post(query))
        .route("/d1/database/{id}/raw", post(raw))
}

#[derive(Deserialize)]
struct Wanted {
    name: String,
    jurisdiction: Option<Jurisdiction>,
}

fn to_json(id: &str, database: &Database) -> Value {
    json!({
        "uuid": id,
        "name": database.name,
        "created_at": database.created,
        "version": "production",
        "jurisdiction": database.jurisdiction,
    })
}

fn no_database(id: &str) -> Refusal {
    Refusal::not_found(7404, format!("The database {id} could not be found"))
}

/// Finds a database by its id or by its name. wrangler asks for it by name.
fn find<'a>(account: &'a Account, id: &str) -> Result<(&'a String, &'a Database), Refusal> {
    let mut databases = account.databases.iter();
    databases.find(|(other, database)| *other == id || database.name == id).ok_or_else(|| no_database(id))
}

async fn list(State(local): Api, QueryParameters(query): QueryParameters<Query>) -> Result<Success, Refusal> {
    let contained = query.get("name").cloned().unwrap_or_default();
    let all = local.read(|account| {
        let databases = account.databases.iter().filter(|(_, database)| database.name.contains(&contained));
        databases.map(|(id, database)| to_json(id, database)).collect()
    });
    Ok(Success::page(all, Page::of(&query)?))
}

async fn create(State(local): Api, body: Bytes) -> Result<Success, Refusal> {
    let Wanted { name, jurisdiction } = json_body(&body)?;
    if name.is_empty() || name.len() > 64 {
        return Err(Refusal::bad(7400, "a database's name is 1 to 64 bytes"));
    }
    let database = local.change(|account| {
        if account.databases.values().any(|database| database.name == name) {
            return Err(Refusal::bad(7502, format!("Database with name '{name}' already exists")));
        }
        let id = account.new_database(&name, jurisdiction);
        Ok(to_json(&id, &account.databases[&id]))
    })?;
    local.follow().await?;
    Ok(Success::new(database))
}

async fn one(State(local): Api, Path((_, id)): Path<(String, String)>) -> Result<Success, Refusal> {
    let database = local.read(|account| find(account, &id).map(|(id, database)| to_json(id, database)))?;
    Ok(Success::new(database))
}

async fn remove(State(local): Api, Path((_, id)): Path<(String, String)>) -> Result<Success, Refusal> {
    local.change(|account| {
        account.databases.remove(&id).ok_or_else(|| no_database(&id))?;
        account.removed.insert(Storage::D1(id.clone()));
        Ok(())
    })?;
    local.unbind(&Storage::D1(id)).await?;
    Ok(Success::new(Value::Null))
}

/// SQL. It may contain several statements if there are no `params`.
#[derive(Deserialize, Serialize)]
struct Statement {
    sql: String,
    #[serde(default)]
    params: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Statements {
    Batch { batch: Vec<Statement> },
    One(Statement),
}

fn malformed(why: impl Display) -> Refusal {
    Refusal::bad(7400, format!("The request is malformed: {why}"))
}

impl Statements {
    /// Returns the single statements in their order. They are executed in one transaction.
    fn split(self) -> Result<Vec<Statement>, Refusal> {
        let (given, is_batch) = match self {
            Self::Batch { batch } => (batch, true),
            Self::One(statement) => (vec![statement], false),
        };
        if given.is_empty() {
            return Err(malformed("the batch has no statements"));
        }
        let mut all = Vec::new();
        for (at, Statement { sql, params }) in given.into_iter().enumerate() {
            let split = statements(&sql);
            match &*split {
                [] if is_batch => {
                    return Err(malformed(format!("there is no SQL in statement {} of the batch", at + 1)));
                }
                [] => return Err(malformed("there is no SQL in it")),
                [one] => all.push(Statement { sql: (*one).to_owned(), params }),
                _ if !params.is_empty() => return Err(malformed("params with multiple statements is not supported")),
                many => {
                    all.extend(many.iter().map(|sql| Statement { sql: (*sql).to_owned(), params: Vec::new() }));
                }
            }
        }
        Ok(all)
    }
}

impl Local {
    async fn sql(&self, id: &str, operation: &'static str, body: &Bytes) -> Result<Success, Refusal> {
        let id = self.read(|account| find(account, id).map(|(id, _)| id.clone()))?;
        let statements = json_body::<Statements>(body)?.split()?;
        let call = Call::new(operation).json(&json!(statements));
        let reply = self.send(Storage::D1(id), call, 7500).await?;
        Ok(Success::new(reply.json().await?))
    }
}

async fn query(State(local): Api, Path((_, id)): Path<(String, String)>, body: Bytes) -> Result<Success, Refusal> {
    local.sql(&id, "d1.query", &body).await
}

async fn raw(State(local): Api, Path((_, id)): Path<(String, String)>, body: Bytes) -> Result<Success, Refusal> {
    local.sql(&id, "d1.raw", &body).await
}
