//! KV namespaces and their values: <https://developers.cloudflare.com/api/resources/kv/>.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{FromRequest, Multipart, Path, Query as QueryParameters, Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post, put};
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::reply::{Page, Query, Refusal, Success, json_body};
use super::{Api, Local};
use crate::account::{Account, Storage};
use crate::storage_client::{Call, StorageResponse};

pub fn routes() -> Router<Arc<Local>> {
    Router::new()
        .route("/storage/kv/namespaces", get(list).post(create))
        .route("/storage/kv/namespaces/{id}", get(one).put(rename).delete(remove))
        .route("/storage/kv/namespaces/{id}/keys", get(keys))
        .route("/storage/kv/namespaces/{id}/values/{key}", get(value).put(set).delete(unset))
        .route("/storage/kv/namespaces/{id}/metadata/{key}", get(metadata))
        .route("/storage/kv/namespaces/{id}/bulk", put(put_keys).delete(delete_keys))
        .route("/storage/kv/namespaces/{id}/bulk/delete", post(delete_keys))
        .route("/storage/kv/namespaces/{id}/bulk/get", post(values))
}

#[derive(Deserialize)]
struct Title {
    title: String,
}

fn to_json(id: &str, title: &str) -> Value {
    json!({ "id": id, "title": title, "supports_url_encoding": true })
}

fn no_namespace() -> Refusal {
    Refusal::not_found(10013, "namespace not found")
}

/// Checks the title of a namespace: its length, and that no other namespace has it. `own` is the id of the namespace if
/// it already exists.
fn new_title(account: &Account, title: &str, own: Option<&str>) -> Result<(), Refusal> {
    if title.is_empty() || title.len() > 512 {
        return Err(Refusal::bad(10047, "a namespace's title is 1 to 512 bytes"));
    }
    let taken = account.kv_namespaces.iter().any(|(id, other)| other.title == title && own != Some(id));
    if taken {
        return Err(Refusal::bad(10014, "a namespace with this account ID and title already exists"));
    }
    Ok(())
}

async fn list(State(local): Api, QueryParameters(query): QueryParameters<Query>) -> Result<Success, Refusal> {
    let mut all: Vec<(String, String)> = local.read(|account| {
        account.kv_namespaces.iter().map(|(id, namespace)| (id.clone(), namespace.title.clone())).collect()
    });
    if query.get("order").is_some_and(|order| order == "title") {
        all.sort_by(|(_, a), (_, b)| a.cmp(b));
    }
    if query.get("direction").is_some_and(|direction| direction == "desc") {
        all.reverse();
    }
    Ok(Success::page(all.iter().map(|(id, title)| to_json(id, title)).collect(), Page::of(&query)?))
}

async fn create(State(local): Api, body: Bytes) -> Result<Success, Refusal> {
    let Title { title } = json_body(&body)?;
    let id = local.change(|account| {
        new_title(account, &title, None)?;
        Ok(account.new_kv_namespace(&title))
    })?;
    Ok(Success::new(to_json(&id, &title)))
}

async fn one(State(local): Api, Path((_, id)): Path<(String, String)>) -> Result<Success, Refusal> {
    let title = local.read(|account| account.kv_namespaces.get(&id).map(|namespace| namespace.title.clone()));
    Ok(Success::new(to_json(&id, &title.ok_or_else(no_namespace)?)))
}

async fn rename(State(local): Api, Path((_, id)): Path<(String, String)>, body: Bytes) -> Result<Success, Refusal> {
    let Title { title } = json_body(&body)?;
    local.change(|account| {
        new_title(account, &title, Some(&id))?;
        account.kv_namespaces.get_mut(&id).ok_or_else(no_namespace)?.title.clone_from(&title);
        Ok(())
    })?;
    Ok(Success::new(to_json(&id, &title)))
}

async fn remove(State(local): Api, Path((_, id)): Path<(String, String)>) -> Result<Success, Refusal> {
    local.change(|account| {
        account.kv_namespaces.remove(&id).ok_or_else(no_namespace)?;
        account.removed.insert(Storage::Kv(id.clone()));
        Ok(())
    })?;
    local.unbind(&Storage::Kv(id)).await?;
    Ok(Success::new(Value::Null))
}

impl Local {
    /// Sends a request to the simulator of a namespace.
    async fn kv(&self, id: &str, call: Call<'_>) -> Result<StorageResponse, Refusal> {
        if !self.read(|account| account.kv_namespaces.contains_key(id)) {
            return Err(no_namespace());
        }
        self.send(Storage::Kv(id.to_owned()), call, 10033).await
    }

    async fn kv_json(&self, id: &str, call: Call<'_>) -> Result<Value, Refusal> {
        let reply = self.kv(id, call).await?;
        Ok(reply.json().await?)
    }
}

async fn keys(
    State(local): Api,
    Path((_, id)): Path<(String, String)>,
    QueryParameters(query): QueryParameters<Query>,
) -> Result<Success, Refusal> {
    let limit = query.get("limit").map_or(Some(1000), |limit| limit.parse::<u32>().ok());
    let limit = limit.filter(|limit| (10..=1000).contains(limit));
    let limit = limit.ok_or_else(|| Refusal::bad(10020, "limit must be a number from 10 to 1000"))?;
    let options = json!({ "prefix": query.get("prefix"), "cursor": query.get("cursor"), "limit": limit });
    let listed = local.kv_json(&id, Call::new("kv.list").options(options)).await?;
    let keys = listed["keys"].as_array().cloned().unwrap_or_default();
    let info = json!({ "count": keys.len(), "cursor": listed["cursor"].as_str().unwrap_or_default() });
    Ok(Success::new(keys.into()).with_info(info))
}

async fn value(State(local): Api, Path((_, id, key)): Path<(String, String, String)>) -> Result<Response, Refusal> {
    let reply = local.kv(&id, Call::new("kv.get").key(&key)).await?;
    if reply.status() == StatusCode::NOT_FOUND {
        return Err(Refusal::not_found(10009, "get: 'key not found'"));
    }
    let expiration = reply.headers().get("Expiration").cloned();
    let mut response = Response::new(reply.into_body());
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().extend(expiration.map(|value| (header::HeaderName::from_static("expiration"), value)));
    Ok(response)
}

async fn metadata(State(local): Api, Path((_, id, key)): Path<(String, String, String)>) -> Result<Success, Refusal> {
    let found = local.kv_json(&id, Call::new("kv.metadata").key(&key)).await?;
    if found["exists"] != true {
        return Err(Refusal::not_found(10009, "get: 'key not found'"));
    }
    Ok(Success::new(found["metadata"].clone()))
}

/// Returns the options that set a value's expiration, from the parameters of a query.
fn expiry(query: &Query) -> Result<Map<String, Value>, Refusal> {
    let mut options = Map::new();
    for (parameter, option) in [("expiration", "expiration"), ("expiration_ttl", "expirationTtl")] {
        if let Some(text) = query.get(parameter) {
            let number: u64 =
                text.parse().map_err(|_| Refusal::bad(10033, format!("{parameter} must be a number of seconds")))?;
            options.insert(option.to_owned(), number.into());
        }
    }
    Ok(options)
}

async fn set(
    State(local): Api,
    Path((_, id, key)): Path<(String, String, String)>,
    QueryParameters(query): QueryParameters<Query>,
    request: Request,
) -> Result<Success, Refusal> {
    let mut options = expiry(&query)?;
    let is_form = request.headers().get(header::CONTENT_TYPE);
    let is_form = is_form.is_some_and(|media_type| media_type.as_bytes().starts_with(b"multipart/form-data"));
    let value = if is_form {
        let mut form = Multipart::from_request(request, &()).await.map_err(bad_body)?;
        let mut value = None;
        while let Some(field) = form.next_field().await.map_err(bad_body)? {
            match field.name() {
                Some("value") => value = Some(field.bytes().await.map_err(bad_body)?),
                Some("metadata") => {
                    let metadata: Value = json_body(&field.bytes().await.map_err(bad_body)?)?;
                    options.insert("metadata".to_owned(), metadata);
                }
                _ => {}
            }
        }
        value.ok_or_else(|| Refusal::bad(10026, "the form has no part `value`"))?
    } else {
        Bytes::from_request(request, &()).await.map_err(bad_body)?
    };
    local.put(&id, &key, value, options).await?;
    Ok(Success::new(json!({})))
}

fn bad_body(error: impl std::fmt::Display) -> Refusal {
    Refusal::bad(10026, format!("the body cannot be read: {error}"))
}

impl Local {
    async fn put(&self, id: &str, key: &str, value: Bytes, options: Map<String, Value>) -> Result<(), Refusal> {
        let call = Call::new("kv.put").key(key).options(options.into()).body(value);
        self.kv(id, call).await.map(drop)
    }
}

impl Local {
    /// Writes a value if its key does not exist.
    pub async fn put_if_missing(&self, id: &str, key: &str, value: &str) -> anyhow::Result<()> {
        let failed = |refusal: Refusal| anyhow::anyhow!("{refusal}");
        let found = self.kv(id, Call::new("kv.get").key(key)).await.map_err(failed)?;
        if found.status() == StatusCode::NOT_FOUND {
            self.put(id, key, Bytes::from(value.to_owned()), Map::new()).await.map_err(failed)?;
        }
        Ok(())
    }
}

async fn unset(State(local): Api, Path((_, id, key)): Path<(String, String, String)>) -> Result<Success, Refusal> {
    local.kv(&id, Call::new("kv.delete").key(&key)).await?;
    Ok(Success::new(json!({})))
}

/// The maximum number of values that a request writes or deletes.
const MAX_WRITES: usize = 10_000;

/// The maximum number of values that a request reads.
const MAX_READS: usize = 100;

/// The minimum time until a value expires, in seconds.
const MIN_TTL: u64 = 60;

/// The maximum length of a key, in bytes.
const MAX_KEY: usize = 512;

fn check_count(operation: &str, what: &str, count: usize, limit: usize) -> Result<(), Refusal> {
    if count > limit {
        let message = format!("{operation}: 'received {count} {what}, but max allowed per request is: {limit}'");
        return Err(Refusal::bad(10012, message));
    }
    Ok(())
}

/// One of several values to write.
#[derive(Deserialize)]
struct Pair {
    key: String,
    value: String,
    expiration: Option<u64>,
    expiration_ttl: Option<u64>,
    metadata: Option<Value>,
    #[serde(default)]
    base64: bool,
}

impl Pair {
    /// Returns the key, the value and the options, if all of them are valid.
    fn checked(self, now: u64) -> Result<(String, Bytes, Map<String, Value>), Refusal> {
        let Self { key, value, expiration, expiration_ttl, metadata, base64 } = self;
        let bad = |why: &str| Refusal::bad(10033, format!("bulk put: '{why}', of the key {key:?}"));
        if key.is_empty() || key.len() > MAX_KEY || key == "." || key == ".." {
            return Err(bad("a key is 1 to 512 bytes, and not . or .."));
        }
        // A time to live takes precedence over a time of expiration.
        let expiration = expiration.filter(|_| expiration_ttl.is_none());
        if expiration_ttl.is_some_and(|ttl| ttl < MIN_TTL) {
            return Err(bad("expiration_ttl must be at least 60 seconds"));
        }
        if expiration.is_some_and(|expiration| expiration < now + MIN_TTL) {
            return Err(bad("expiration must be at least 60 seconds in the future"));
        }
        let value = if base64 {
            BASE64_STANDARD.decode(value).map_err(|error| bad(&format!("the value is not base64: {error}")))?.into()
        } else {
            Bytes::from(value)
        };
        let options = [
            ("expiration", expiration.map(Value::from)),
            ("expirationTtl", expiration_ttl.map(Value::from)),
            ("metadata", metadata),
        ];
        let options = options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Ok((key, value, options))
    }
}

async fn put_keys(State(local): Api, Path((_, id)): Path<(String, String)>, body: Bytes) -> Result<Success, Refusal> {
    let pairs: Vec<Pair> = json_body(&body)?;
    let count = pairs.len();
    check_count("bulk put", "key/value pairs", count, MAX_WRITES)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    // All values are checked before the first one is written.
    let pairs: Vec<_> = pairs.into_iter().map(|pair| pair.checked(now)).collect::<Result<_, _>>()?;
    for (key, value, options) in pairs {
        local.put(&id, &key, value, options).await?;
    }
    Ok(Success::new(json!({ "successful_key_count": count, "unsuccessful_keys": [] })))
}

async fn delete_keys(
    State(local): Api,
    Path((_, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Success, Refusal> {
    let keys: Vec<String> = json_body(&body)?;
    check_count("bulk delete", "keys", keys.len(), MAX_WRITES)?;
    for key in &keys {
        local.kv(&id, Call::new("kv.delete").key(key)).await?;
    }
    Ok(Success::new(json!({ "successful_key_count": keys.len(), "unsuccessful_keys": [] })))
}

/// The values to read, and the format.
#[derive(Deserialize)]
struct Wanted {
    keys: BTreeSet<String>,
    #[serde(rename = "type", default)]
    kind: ValueKind,
    #[serde(rename = "withMetadata", default)]
    with_metadata: bool,
}

/// The format in which values are read.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum ValueKind {
    #[default]
    Text,
    Json,
}

async fn values(State(local): Api, Path((_, id)): Path<(String, String)>, body: Bytes) -> Result<Success, Refusal> {
    let Wanted { keys, kind, with_metadata } = json_body(&body)?;
    check_count("bulk get", "keys", keys.len(), MAX_READS)?;
    let options = json!({ "type": kind, "withMetadata": with_metadata });
    let call = Call::new("kv.getMany").options(options).json(&json!(keys));
    Ok(Success::new(json!({ "values": local.kv_json(&id, call).await? })))
}
