//! A KV namespace that speaks workerd's protocol: `GET` and `PUT /<key>` for a value, `GET /` for a page of keys. It
//! supports only what the measured routes need. It has no deletion and no expiration, and its lists have one page.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, request};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::reply::{StorageOperation, StorageReply, body, error};

const METADATA_HEADER: &str = "CF-KV-Metadata";

/// Values by key.
#[derive(Debug, Default)]
pub struct SimulatedNamespace(BTreeMap<String, KvEntry>);

#[derive(Debug)]
struct KvEntry {
    value: Bytes,
    metadata: Option<HeaderValue>,
}

impl SimulatedNamespace {
    pub fn put(&mut self, key: &str, value: Bytes, metadata: Option<HeaderValue>) {
        self.0.insert(key.to_owned(), KvEntry { value, metadata });
    }

    pub fn handle(&mut self, head: &request::Parts) -> (StorageOperation, StorageReply) {
        let key = percent_decode_str(head.uri.path().trim_start_matches('/')).decode_utf8_lossy();
        match (&head.method, &*key) {
            (&Method::GET, "") => (StorageOperation::KvList, self.list(head.uri.query().unwrap_or_default())),
            (&Method::GET, key) => (StorageOperation::KvRead, self.get(key)),
            (_, key) => {
                self.put(key, Bytes::new(), head.headers.get(METADATA_HEADER).cloned());
                let operation =
                    if key.starts_with("usage/") { StorageOperation::KvUsageWrite } else { StorageOperation::KvWrite };
                (operation, Response::new(body("")))
            }
        }
    }

    fn get(&self, key: &str) -> StorageReply {
        let Some(entry) = self.0.get(key) else { return error(StatusCode::NOT_FOUND, "Not Found") };
        let mut reply = Response::new(body(entry.value.clone()));
        if let Some(metadata) = &entry.metadata {
            reply.headers_mut().insert(METADATA_HEADER, metadata.clone());
        }
        reply
    }

    fn list(&self, query: &str) -> StorageReply {
        let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default();
        let prefix = percent_decode_str(prefix).decode_utf8_lossy();
        let listed = self.0.iter().filter(|(key, _)| key.starts_with(&*prefix));
        let keys: Vec<Value> = listed.map(|(key, entry)| entry.to_json(key)).collect();
        Response::new(body(json!({"keys": keys, "list_complete": true, "cacheStatus": null}).to_string()))
    }
}

impl KvEntry {
    fn to_json(&self, key: &str) -> Value {
        match self.metadata.as_ref().and_then(|metadata| metadata.to_str().ok()) {
            Some(metadata) => json!({"name": key, "metadata": metadata}),
            None => json!({"name": key}),
        }
    }
}
