//! A KV namespace, as workerd asks for it: a value by `GET`, `PUT` and `DELETE /<key>`, a page of keys by `GET /`.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, request};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{Operation, Reply, body, error};

const METADATA_HEADER: &str = "CF-KV-Metadata";

/// Values by their keys.
#[derive(Debug, Default)]
pub struct Namespace(BTreeMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    value: Bytes,
    metadata: Option<HeaderValue>,
}

impl Namespace {
    pub fn seed(&mut self, key: &str, value: Bytes) {
        self.0.insert(key.to_owned(), Entry { value, metadata: None });
    }

    pub fn answer(&mut self, head: &request::Parts, content: Bytes) -> (Operation, Reply) {
        let path = head.uri.path().trim_start_matches('/');
        let key = percent_decode_str(path).decode_utf8_lossy().into_owned();
        match (&head.method, &*key) {
            (&Method::GET, "") => (Operation::KvList, self.list(head.uri.query().unwrap_or_default())),
            (&Method::GET, key) => (Operation::KvRead, self.get(key)),
            (&Method::DELETE, key) => {
                self.0.remove(key);
                (Operation::KvDelete, Response::new(body("")))
            }
            (_, key) => {
                let operation = if key.starts_with("usage/") { Operation::KvUsageWrite } else { Operation::KvWrite };
                let metadata = head.headers.get(METADATA_HEADER).cloned();
                self.0.insert(key.to_owned(), Entry { value: content, metadata });
                (operation, Response::new(body("")))
            }
        }
    }

    fn get(&self, key: &str) -> Reply {
        let Some(entry) = self.0.get(key) else { return error(StatusCode::NOT_FOUND, "Not Found") };
        let mut reply = Response::new(body(entry.value.clone()));
        if let Some(metadata) = &entry.metadata {
            reply.headers_mut().insert(METADATA_HEADER, metadata.clone());
        }
        reply
    }

    fn list(&self, query: &str) -> Reply {
        let parameter = |name: &str| {
            let (_, value) =
                query.split('&').filter_map(|pair| pair.split_once('=')).find(|(other, _)| *other == name)?;
            Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
        };
        let prefix = parameter("prefix").unwrap_or_default();
        let limit = parameter("key_count_limit").and_then(|limit| limit.parse().ok()).unwrap_or(1000);
        let after = parameter("cursor").unwrap_or_default();
        let matching = |key: &String| key.starts_with(&prefix) && *key > after;
        let mut entries = self.0.iter().filter(|(key, _)| matching(key));
        let listed: Vec<(&String, &Entry)> = entries.by_ref().take(limit).collect();
        let keys: Vec<Value> = listed.iter().map(|(key, entry)| listed_key(key, entry)).collect();
        let more = entries.next().and(listed.last()).map(|(key, _)| *key);
        let page = match more {
            Some(cursor) => json!({"keys": keys, "list_complete": false, "cursor": cursor, "cacheStatus": null}),
            None => json!({"keys": keys, "list_complete": true, "cacheStatus": null}),
        };
        Response::new(body(page.to_string()))
    }
}

fn listed_key(key: &str, entry: &Entry) -> Value {
    match entry.metadata.as_ref().and_then(|metadata| metadata.to_str().ok()) {
        Some(metadata) => json!({"name": key, "metadata": metadata}),
        None => json!({"name": key}),
    }
}
