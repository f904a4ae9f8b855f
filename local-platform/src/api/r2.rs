//! R2 buckets and their objects: <https://developers.cloudflare.com/api/resources/r2/>.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query as QueryParameters, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reply::{Query, Refusal, Success, json_body};
use super::{Api, Local};
use crate::account::{Bucket, Storage};
use crate::storage_client::{Call, StorageResponse};
use cloudflare_api::Jurisdiction;

pub fn routes() -> Router<Arc<Local>> {
    let object = get(object).put(put).delete(delete).layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/r2/buckets", get(list).post(create))
        .route("/r2/buckets/{name}", get(one).delete(remove))
        .route("/r2/buckets/{name}/objects", get(objects).delete(delete_many))
        .route("/r2/buckets/{name}/objects/{*key}", object)
}

/// The largest object that this API accepts, in bytes.
const MAX_OBJECT: u64 = 300 << 20;

#[derive(Deserialize)]
struct Wanted {
    name: String,
}

/// Returns the jurisdiction that a request is for. A bucket is only visible in its own jurisdiction.
fn jurisdiction(headers: &HeaderMap) -> Result<Option<Jurisdiction>, Refusal> {
    match headers.get("cf-r2-jurisdiction").map(HeaderValue::as_bytes) {
        None | Some(b"" | b"default") => Ok(None),
        Some(b"eu") => Ok(Some(Jurisdiction::Eu)),
        Some(b"fedramp") => Ok(Some(Jurisdiction::Fedramp)),
        Some(_) => Err(Refusal::bad(10003, "there is no such jurisdiction")),
    }
}

fn to_json(name: &str, bucket: &Bucket) -> Value {
    json!({
        "name": name,
        "creation_date": bucket.created,
        "location": "LOCAL",
        "storage_class": "Standard",
        "jurisdiction": bucket.jurisdiction.map_or_else(|| json!("default"), |jurisdiction| json!(jurisdiction)),
    })
}

fn no_bucket() -> Refusal {
    Refusal::not_found(10006, "The specified bucket does not exist.")
}

async fn list(
    State(local): Api,
    headers: HeaderMap,
    QueryParameters(query): QueryParameters<Query>,
) -> Result<Success, Refusal> {
    let wanted = jurisdiction(&headers)?;
    let per_page = query.get("per_page").map_or(Ok(1000), |number| number.parse::<usize>());
    let per_page = per_page.map_err(|_| Refusal::bad(10001, "per_page must be a number"))?.clamp(1, 1000);
    // The cursor is the last name on the previous page.
    let after = query.get("cursor").or_else(|| query.get("start_after")).cloned().unwrap_or_default();
    let contained = query.get("name_contains").cloned().unwrap_or_default();
    let mut buckets: Vec<(String, Value)> = local.read(|account| {
        let buckets = account.buckets.iter().filter(|(_, bucket)| bucket.jurisdiction == wanted);
        let buckets = buckets.filter(|(name, _)| **name > after && name.contains(&contained));
        buckets.take(per_page + 1).map(|(name, bucket)| (name.clone(), to_json(name, bucket))).collect()
    });
    let more = buckets.len() > per_page;
    buckets.truncate(per_page);
    let cursor = buckets.last().filter(|_| more).map_or("", |(name, _)| name);
    let info = json!({ "cursor": cursor, "per_page": per_page });
    let list: Vec<&Value> = buckets.iter().map(|(_, bucket)| bucket).collect();
    Ok(Success::new(json!({ "buckets": list })).with_info(info))
}

async fn create(State(local): Api, headers: HeaderMap, body: Bytes) -> Result<Success, Refusal> {
    let Wanted { name } = json_body(&body)?;
    let jurisdiction = jurisdiction(&headers)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(3..=63).contains(&name.len()) || !name.bytes().all(plain) || name.starts_with('-') || name.ends_with('-') {
        return Err(Refusal::bad(10005, "The specified bucket name is not valid."));
    }
    let bucket = local.change(|account| {
        if account.buckets.contains_key(&name) {
            let message = "The bucket you tried to create already exists, and you own it.";
            return Err(Refusal::new(StatusCode::CONFLICT, 10004, message));
        }
        account.new_bucket(&name, jurisdiction);
        // The bucket with this name was emptied when it was deleted.
        account.removed.remove(&Storage::R2(name.clone()));
        Ok(to_json(&name, &account.buckets[&name]))
    })?;
    local.unbind(&Storage::R2(name)).await?;
    Ok(Success::new(bucket))
}

async fn one(
    State(local): Api,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Success, Refusal> {
    Ok(Success::new(local.bucket(&name, &headers)?))
}

async fn remove(
    State(local): Api,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Success, Refusal> {
    let listed = local.r2_json(&name, &headers, Call::new("r2.list").options(json!({ "limit": 1 }))).await?;
    if listed["objects"].as_array().is_some_and(|objects| !objects.is_empty()) {
        return Err(Refusal::new(StatusCode::CONFLICT, 10008, "The bucket you tried to delete is not empty."));
    }
    local.change(|account| {
        account.buckets.remove(&name).ok_or_else(no_bucket)?;
        account.removed.insert(Storage::R2(name.clone()));
        Ok(())
    })?;
    local.unbind(&Storage::R2(name)).await?;
    Ok(Success::new(json!({})))
}

impl Local {
    /// Returns a bucket in the API's format.
    fn bucket(&self, name: &str, headers: &HeaderMap) -> Result<Value, Refusal> {
        let wanted = jurisdiction(headers)?;
        let found = self.read(|account| {
            let bucket = account.buckets.get(name).filter(|bucket| bucket.jurisdiction == wanted);
            bucket.map(|bucket| to_json(name, bucket))
        });
        found.ok_or_else(no_bucket)
    }

    /// Sends a request to the simulator of a bucket.
    async fn r2(&self, name: &str, headers: &HeaderMap, call: Call<'_>) -> Result<StorageResponse, Refusal> {
        self.bucket(name, headers)?;
        self.send(Storage::R2(name.to_owned()), call, 10001).await
    }

    async fn r2_json(&self, name: &str, headers: &HeaderMap, call: Call<'_>) -> Result<Value, Refusal> {
        let reply = self.r2(name, headers, call).await?;
        Ok(reply.json().await?)
    }
}

async fn objects(
    State(local): Api,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    QueryParameters(query): QueryParameters<Query>,
) -> Result<Success, Refusal> {
    let limit = query.get("per_page").map_or(Ok(1000), |number| number.parse::<u32>());
    let limit = limit.map_err(|_| Refusal::bad(10001, "per_page must be a number"))?.clamp(1, 1000);
    let given = |name: &str| query.get(name).filter(|value| !value.is_empty());
    let options = json!({
        "limit": limit,
        "cursor": given("cursor"),
        "prefix": given("prefix"),
        "delimiter": given("delimiter"),
        "include": ["httpMetadata", "customMetadata"],
    });
    let listed = local.r2_json(&name, &headers, Call::new("r2.list").options(options)).await?;
    let cursor = listed["cursor"].as_str().unwrap_or_default();
    let info = json!({
        "cursor": cursor,
        "is_truncated": !cursor.is_empty(),
        "per_page": limit,
        "delimited": listed["delimitedPrefixes"],
    });
    Ok(Success::new(listed["objects"].clone()).with_info(info))
}

/// Returns the headers of a request or a reply that describe the object.
fn object_headers(headers: &HeaderMap) -> HeaderMap {
    let kept = [
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CACHE_CONTROL,
        header::CONTENT_DISPOSITION,
        header::CONTENT_ENCODING,
        header::CONTENT_LANGUAGE,
        header::EXPIRES,
    ];
    kept.into_iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect()
}

/// Returns the conditions under which an object is read. `Range` is not supported.
fn conditions(headers: &HeaderMap) -> HeaderMap {
    let known = |name: &HeaderName| [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE].contains(name);
    headers.iter().filter(|(name, _)| known(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

async fn object(
    State(local): Api,
    Path((_, name, key)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let call = Call::new("r2.get").key(&key).headers(conditions(&headers));
    let reply = local.r2(&name, &headers, call).await?;
    let status = reply.status();
    if status == StatusCode::NOT_FOUND {
        return Err(Refusal::not_found(10007, "The specified key does not exist."));
    }
    let mut headers = object_headers(reply.headers());
    for name in [header::ETAG, header::LAST_MODIFIED] {
        headers.extend(reply.headers().get(&name).cloned().map(|value| (name, value)));
    }
    let mut response = Response::new(reply.into_body());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

async fn put(
    State(local): Api,
    Path((_, name, key)): Path<(String, String, String)>,
    request: Request,
) -> Result<Success, Refusal> {
    let (parts, body) = request.into_parts();
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_OBJECT) {
        let message = "Your proposed upload exceeds the maximum allowed object size: it is 300 MiB here, and more over \
                       the S3 API or a Worker";
        return Err(Refusal::bad(100_100, message));
    }
    let call = Call::new("r2.put").key(&key).headers(object_headers(&parts.headers)).stream(body);
    Ok(Success::new(local.r2_json(&name, &parts.headers, call).await?))
}

async fn delete(
    State(local): Api,
    Path((_, name, key)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Success, Refusal> {
    local.r2(&name, &headers, Call::new("r2.delete").json(&json!([key]))).await?;
    Ok(Success::new(json!({ "key": key })))
}

async fn delete_many(
    State(local): Api,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Success, Refusal> {
    let keys: Vec<String> = json_body(&body)?;
    if keys.len() > 1000 {
        return Err(Refusal::bad(10001, "at most 1000 keys at once"));
    }
    local.r2(&name, &headers, Call::new("r2.delete").json(&json!(keys))).await?;
    Ok(Success::list(keys.into_iter().map(|key| json!({ "key": key }))))
}
