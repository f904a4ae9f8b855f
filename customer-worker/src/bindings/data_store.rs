//! The customer's KV namespace (<https://developers.cloudflare.com/kv/api/>).

use js_sys::{Array, JSON, JsString, Object, Promise};
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::customer::Usage;
use shared::data::{DataKey, DataList, DataPage, Expiry, ListedKey};
use shared::http::{Cursor, Problem};
use wasm_bindgen::prelude::*;
use worker::Env;

/// The customer's values, and the counts of operations.
pub struct DataStore(UserKv);

impl DataStore {
    /// Returns the store. Fails if the customer has no KV namespace.
    pub fn from_env(env: &Env) -> Result<Self, Problem> {
        super::lookup(env, "USER_KV", "getWithMetadata", "data storage").map(Self)
    }

    /// Returns a value's text, which stays outside Wasm.
    pub async fn get(&self, key: &DataKey) -> Result<Option<JsString>, Problem> {
        await_kv(self.0.get(key.kv_key())).await.map(text)
    }

    /// Returns a value's text, which stays outside Wasm, and its metadata as JSON.
    pub async fn get_with_metadata(&self, key: &DataKey) -> Result<Option<(JsString, Option<String>)>, Problem> {
        let entry = await_kv(self.0.get_with_metadata(key.kv_key())).await?;
        let metadata = || metadata_json(&edge::property(&entry, "metadata"));
        Ok(text(edge::property(&entry, "value")).map(|value| (value, metadata())))
    }

    /// Stores `value`, which is text or bytes outside Wasm, with `metadata`, an object. Replaces an older value
    /// together with its metadata and expiration. KV has no transactions: if two writes happen at the same time, the
    /// last one wins.
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
        await_kv(self.0.put(key.kv_key(), value, &options)).await.map(drop)
    }

    /// Deletes a value, if it exists.
    pub async fn delete(&self, key: &DataKey) -> Result<(), Problem> {
        await_kv(self.0.delete(key.kv_key())).await.map(drop)
    }

    /// Lists a page of the customer's keys.
    pub async fn list(&self, page: &DataPage) -> Result<DataList, Problem> {
        let prefix = [DataKey::PREFIX, &page.prefix].concat();
        let listed = self.list_page(&prefix, page.limit, page.cursor.as_ref().map(Cursor::as_str)).await?;
        let listed_key = |KeyInfo { mut name, expiration, metadata }| {
            name.drain(..DataKey::PREFIX.len());
            ListedKey { key: name, metadata, expiration: expiration.map(whole_seconds) }
        };
        let keys = listed.key_infos()?.into_iter().map(listed_key).collect();
        let cursor = listed.cursor.map(|cursor| Cursor::encode(&cursor, page.listing()));
        Ok(DataList { keys, truncated: cursor.is_some(), cursor })
    }

    /// Counts the customer's keys, by listing them.
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

    /// Returns the sum of the counts that isolates other than `this_isolate` have stored.
    pub async fn usage_of_others(&self, this_isolate: &str) -> Result<Usage, Problem> {
        let (mut usage, mut cursor) = (Usage::new(), None);
        loop {
            let page = self.list_page(Usage::PREFIX, shared::http::MAX_LIMIT, cursor.as_deref()).await?;
            for key in page.key_infos()?.iter().filter(|key| key.name[Usage::PREFIX.len()..] != *this_isolate) {
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

    /// Stores an isolate's counts. They expire after [`Usage::WINDOW_DAYS`].
    pub async fn put_usage(&self, isolate: &str, usage: &Usage) -> Result<(), Problem> {
        let json = serde_json::to_string(usage).expect("counts are JSON");
        let metadata = JSON::parse(&json).expect("serde writes JSON");
        let seconds = Usage::WINDOW_DAYS * 24 * 60 * 60;
        let options = edge::object(&[("expirationTtl", seconds.into()), ("metadata", metadata)]);
        let key = [Usage::PREFIX, isolate].concat();
        await_kv(self.0.put(&key, &"".into(), &options)).await.map(drop)
    }

    async fn list_page(&self, prefix: &str, limit: u32, cursor: Option<&str>) -> Result<KeyPage, Problem> {
        let options = edge::object(&[("prefix", prefix.into()), ("limit", limit.into())]);
        if let Some(cursor) = cursor {
            edge::set(&options, "cursor", &cursor.into());
        }
        let list = await_kv(self.0.list(&options)).await?;
        let keys = edge::property(&list, "keys").dyn_into();
        let keys = keys.map_err(|_| Problem::storage_unavailable("KV returned a list without keys".to_owned()))?;
        let is_complete = edge::property(&list, "list_complete").is_truthy();
        Ok(KeyPage { keys, cursor: edge::property(&list, "cursor").as_string().filter(|_| !is_complete) })
    }
}

/// A page of keys.
struct KeyPage {
    keys: Array,
    /// The cursor of the next page, if there is one.
    cursor: Option<String>,
}

/// A key in a page.
#[derive(Deserialize)]
struct KeyInfo {
    name: String,
    expiration: Option<f64>,
    metadata: Option<Box<RawValue>>,
}

impl KeyPage {
    /// Returns the keys. They are copied into Wasm as JSON, in one call.
    fn key_infos(&self) -> Result<Vec<KeyInfo>, Problem> {
        let json = JSON::stringify(&self.keys).map(String::from).map_err(|thrown| unavailable(&thrown))?;
        serde_json::from_str(&json).map_err(|error| Problem::storage_unavailable(error.to_string()))
    }
}

#[wasm_bindgen]
extern "C" {
    /// The binding `USER_KV`. `worker::KvStore` is not used, because it copies a value of up to 25 MiB into Wasm, which
    /// would be a third copy, and because it sorts the members of metadata.
    #[wasm_bindgen(extends = Object)]
    type UserKv;

    #[wasm_bindgen(method, catch)]
    fn get(this: &UserKv, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = getWithMetadata)]
    fn get_with_metadata(this: &UserKv, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn put(this: &UserKv, key: &str, value: &JsValue, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn delete(this: &UserKv, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn list(this: &UserKv, options: &Object) -> Result<Promise, JsValue>;
}

async fn await_kv(call: Result<Promise, JsValue>) -> Result<JsValue, Problem> {
    edge::await_promise(call).await.map_err(|thrown| unavailable(&thrown))
}

fn unavailable(thrown: &JsValue) -> Problem {
    Problem::storage_unavailable(edge::error_message(thrown))
}

fn text(value: JsValue) -> Option<JsString> {
    value.dyn_into().ok()
}

/// Returns metadata as JSON, or `None` if there is none.
fn metadata_json(metadata: &JsValue) -> Option<String> {
    if metadata.is_null() { None } else { JSON::stringify(metadata).ok()?.as_string() }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since 1970")]
fn whole_seconds(seconds: f64) -> u64 {
    seconds as u64
}
