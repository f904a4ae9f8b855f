//! The customer's KV namespace (<https://developers.cloudflare.com/kv/api/>).

use js_sys::{Array, JSON, JsString, Object, Promise};
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::customer::Usage;
use shared::data::{DataKey, DataList, DataPage, Expiry, ListedKey};
use shared::http::{Cursor, Problem};
use wasm_bindgen::prelude::*;
use worker::Env;

#[wasm_bindgen]
extern "C" {
    /// `worker::KvStore` copies values into Wasm, where one of 25 MiB would exist a third time, and it sorts the members
    /// of metadata.
    #[wasm_bindgen(extends = Object)]
    type KvNamespace;

    #[wasm_bindgen(method, catch)]
    fn get(this: &KvNamespace, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = getWithMetadata)]
    fn get_with_metadata(this: &KvNamespace, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn put(this: &KvNamespace, key: &str, value: &JsValue, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn delete(this: &KvNamespace, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn list(this: &KvNamespace, options: &Object) -> Result<Promise, JsValue>;
}

/// A page of keys.
struct KeyPage {
    keys: Array,
    /// Where the next page starts, if there is one.
    cursor: Option<String>,
}

/// A key of a page.
#[derive(Deserialize)]
struct KeyInfo {
    name: String,
    expiration: Option<f64>,
    metadata: Option<Box<RawValue>>,
}

impl KeyPage {
    /// The keys. As JSON, they enter Wasm in one call.
    fn key_infos(&self) -> Result<Vec<KeyInfo>, Problem> {
        let json = JSON::stringify(&self.keys).map(String::from).map_err(|thrown| unavailable(&thrown))?;
        serde_json::from_str(&json).map_err(|error| Problem::storage_unavailable(error.to_string()))
    }
}

/// The values, and the counts of operations.
pub struct DataStore(KvNamespace);

impl DataStore {
    /// The store, if the customer has one.
    pub fn from_env(env: &Env) -> Result<Self, Problem> {
        super::lookup(env, "USER_KV", "getWithMetadata", "data storage").map(Self)
    }

    /// A value's text, which stays outside Wasm.
    pub async fn get(&self, key: &DataKey) -> Result<Option<JsString>, Problem> {
        settled(self.0.get(key.kv_key())).await.map(text)
    }

    /// A value's text, which stays outside Wasm, and its metadata as JSON.
    pub async fn get_with_metadata(&self, key: &DataKey) -> Result<Option<(JsString, Option<String>)>, Problem> {
        let found = settled(self.0.get_with_metadata(key.kv_key())).await?;
        let metadata = || json(&edge::property(&found, "metadata"));
        Ok(text(edge::property(&found, "value")).map(|value| (value, metadata())))
    }

    /// Stores `value`, text or bytes outside Wasm, with `metadata`, an object. Replaces everything under the key, its
    /// metadata and expiration too. KV has no transactions: of two writes at the same time, the last one counts.
    pub async fn put(
        &self,
        key: &DataKey,
        value: &JsValue,
        expiry: Option<Expiry>,
        metadata: Option<&JsValue>,
    ) -> Result<(), Problem> {
        let options = Object::new();
        match expiry {
            Some(Expiry::In(seconds)) => edge::set(&options, "expirationTtl", &edge::number(seconds).into()),
            Some(Expiry::At(second)) => edge::set(&options, "expiration", &edge::number(second).into()),
            None => {}
        }
        if let Some(metadata) = metadata {
            edge::set(&options, "metadata", metadata);
        }
        settled(self.0.put(key.kv_key(), value, &options)).await.map(drop)
    }

    /// Deletes a value, if it exists.
    pub async fn delete(&self, key: &DataKey) -> Result<(), Problem> {
        settled(self.0.delete(key.kv_key())).await.map(drop)
    }

    /// Lists the customer's keys.
    pub async fn list(&self, page: &DataPage) -> Result<DataList, Problem> {
        let prefix = [DataKey::PREFIX, &page.prefix].concat();
        let found = self.list_page(&prefix, page.limit, page.cursor.as_ref().map(Cursor::as_str)).await?;
        let listed = |KeyInfo { mut name, expiration, metadata }| {
            name.drain(..DataKey::PREFIX.len());
            ListedKey { key: name, metadata, expiration: expiration.map(whole) }
        };
        let keys = found.key_infos()?.into_iter().map(listed).collect();
        let cursor = found.cursor.map(|cursor| Cursor::encode(&cursor, page.listing()));
        Ok(DataList { keys, truncated: cursor.is_some(), cursor })
    }

    /// The number of the customer's keys.
    pub async fn count(&self) -> Result<u64, Problem> {
        let (mut count, mut cursor) = (0, None);
        loop {
            let page = self.list_page(DataKey::PREFIX, shared::http::MAX_LIMIT, cursor.as_deref()).await?;
            count += u64::from(page.keys.length());
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(count);
            }
        }
    }

    /// The operations that isolates other than `own` have counted.
    pub async fn usage_of_others(&self, own: &str) -> Result<Usage, Problem> {
        let (mut usage, mut cursor) = (Usage::new(), None);
        loop {
            let page = self.list_page(Usage::PREFIX, shared::http::MAX_LIMIT, cursor.as_deref()).await?;
            for key in page.key_infos()?.iter().filter(|key| key.name[Usage::PREFIX.len()..] != *own) {
                // Metadata that is not a count is ignored.
                let counted = key.metadata.as_ref().and_then(|metadata| serde_json::from_str(metadata.get()).ok());
                if let Some(counted) = counted {
                    usage.add(&counted);
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(usage);
            }
        }
    }

    /// Stores what an isolate has counted, for [`Usage::WINDOW_DAYS`].
    pub async fn put_usage(&self, isolate: &str, usage: &Usage) -> Result<(), Problem> {
        let json = serde_json::to_string(usage).expect("counts are JSON");
        let metadata = JSON::parse(&json).expect("serde writes JSON");
        let seconds = Usage::WINDOW_DAYS * 24 * 60 * 60;
        let options = edge::object(&[("expirationTtl", seconds.into()), ("metadata", metadata)]);
        let key = [Usage::PREFIX, isolate].concat();
        settled(self.0.put(&key, &"".into(), &options)).await.map(drop)
    }

    async fn list_page(&self, prefix: &str, limit: u32, cursor: Option<&str>) -> Result<KeyPage, Problem> {
        let options = edge::object(&[("prefix", prefix.into()), ("limit", limit.into())]);
        if let Some(cursor) = cursor {
            edge::set(&options, "cursor", &cursor.into());
        }
        let list = settled(self.0.list(&options)).await?;
        let keys = edge::property(&list, "keys").dyn_into();
        let keys = keys.map_err(|_| Problem::storage_unavailable("the list has no keys".to_owned()))?;
        let is_complete = edge::property(&list, "list_complete").is_truthy();
        Ok(KeyPage { keys, cursor: edge::property(&list, "cursor").as_string().filter(|_| !is_complete) })
    }
}

async fn settled(call: Result<Promise, JsValue>) -> Result<JsValue, Problem> {
    edge::await_promise(call).await.map_err(|thrown| unavailable(&thrown))
}

fn unavailable(thrown: &JsValue) -> Problem {
    Problem::storage_unavailable(edge::error_message(thrown))
}

fn text(value: JsValue) -> Option<JsString> {
    value.dyn_into().ok()
}

/// The JSON of metadata; `None` if there is none.
fn json(metadata: &JsValue) -> Option<String> {
    if metadata.is_null() { None } else { JSON::stringify(metadata).ok()?.as_string() }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since 1970")]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}
