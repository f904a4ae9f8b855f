//! KV, as far as the Worker uses it (<https://developers.cloudflare.com/kv/api/>).

use edge::task::settled;
use edge::{name, object, set};
use js_sys::{Array, JSON, JsString, Object};
use serde_json::value::RawValue;
use shared::reply::{self, ListedKey};
use shared::{Cursor, DataKey, DataPage, Expiry, Problem, Usage};
use wasm_bindgen::{JsCast, prelude::*};

use super::{Binding, nullable};

/// The customer's KV namespace.
pub const DATA: Binding = Binding { name: "USER_KV", what: "data storage" };

#[wasm_bindgen]
extern "C" {
    /// Any value but `null`.
    type Metadata;

    type List;

    #[wasm_bindgen(method, getter)]
    fn keys(this: &List) -> Array<Key>;

    #[wasm_bindgen(method, getter)]
    fn list_complete(this: &List) -> bool;

    #[wasm_bindgen(method, getter)]
    fn cursor(this: &List) -> Option<String>;

    #[wasm_bindgen(js_namespace = JSON, js_name = stringify)]
    fn stringify_all(keys: &Array<Key>) -> JsString;

    type Key;

    #[wasm_bindgen(method, getter)]
    fn name(this: &Key) -> String;

    #[wasm_bindgen(method, getter)]
    fn metadata(this: &Key) -> Option<Metadata>;

    #[wasm_bindgen(method, getter)]
    fn expiration(this: &Key) -> Option<f64>;
}

/// A page of the customer's keys.
pub struct KeyPage {
    /// In order: an array of [`ListedKey`] in JSON, which stays outside Wasm.
    pub keys: JsString,
    /// For the client, if there is more.
    pub cursor: Option<String>,
}

/// A value's text.
pub async fn get(key: &DataKey) -> Result<Option<JsString>, Problem> {
    settled(js::get(key.stored())).await.map(nullable).map_err(|thrown| DATA.failed(&thrown))
}

/// What is said of a value, with its metadata, if any, in JSON that begins with `before`. It is put together outside Wasm: the
/// value may be 25 MiB.
pub async fn show(key: &DataKey, before: &str) -> Result<Option<JsString>, Problem> {
    let found = settled(js::get_with_metadata(key.stored(), name::of("text"))).await;
    found.map(|found| nullable(js::shown(&found, before))).map_err(|thrown| DATA.failed(&thrown))
}

/// Stores a value: text or bytes.
pub async fn put(
    key: &DataKey,
    value: &JsValue,
    expiry: Option<Expiry>,
    metadata: Option<&JsValue>,
) -> Result<(), Problem> {
    let options = Object::new();
    match expiry {
        Some(Expiry::In(seconds)) => set(&options, "expirationTtl", &edge::number(seconds).into()),
        Some(Expiry::At(second)) => set(&options, "expiration", &edge::number(second).into()),
        None => {}
    }
    if let Some(metadata) = metadata {
        set(&options, "metadata", metadata);
    }
    settled(js::put(key.stored(), value, &options)).await.map(drop).map_err(|thrown| DATA.failed(&thrown))
}

/// Deletes a value, if it is there.
pub async fn delete(key: &DataKey) -> Result<(), Problem> {
    settled(js::delete(key.stored())).await.map(drop).map_err(|thrown| DATA.failed(&thrown))
}

/// Lists the customer's keys.
pub async fn list(page: &DataPage) -> Result<KeyPage, Problem> {
    let prefix = [DataKey::PREFIX, &page.prefix].concat();
    let cursor = page.cursor.as_ref().map(Cursor::as_str);
    let list = list_page(&prefix, page.limit, cursor).await?;
    Ok(KeyPage {
        keys: entries(&list.keys()),
        cursor: more(&list).map(|cursor| Cursor::encode(&cursor, page.listing())),
    })
}

/// Counts the customer's keys, all of them.
pub async fn count() -> Result<u64, Problem> {
    let (mut count, mut cursor) = (0, None);
    loop {
        let list = list_page(DataKey::PREFIX, shared::MAX_LIMIT, cursor.as_deref()).await?;
        count += u64::from(list.keys().length());
        cursor = more(&list);
        if cursor.is_none() {
            return Ok(count);
        }
    }
}

/// What isolates other than `own` have counted, together.
pub async fn usage_but(own: &str) -> Result<Usage, Problem> {
    let (mut usage, mut cursor) = (Usage::new(), None);
    loop {
        let list = list_page(Usage::PREFIX, shared::MAX_LIMIT, cursor.as_deref()).await?;
        for key in list.keys().iter().filter(|key| key.name()[Usage::PREFIX.len()..] != *own) {
            // Metadata that is none of ours counts for nothing.
            let json = key.metadata().as_ref().and_then(stringify).map(String::from);
            if let Some(counted) = json.and_then(|json| serde_json::from_str(&json).ok()) {
                usage.add(&counted);
            }
        }
        cursor = more(&list);
        if cursor.is_none() {
            return Ok(usage);
        }
    }
}

/// Keeps what an isolate has counted, for as long as [`Usage::WINDOW_DAYS`] says.
pub async fn put_usage(isolate: &str, usage: &Usage) -> Result<(), Problem> {
    let json = serde_json::to_string(usage).expect("counts are JSON");
    let metadata = JSON::parse(&json).expect("serde writes JSON");
    let seconds = u64::from(Usage::WINDOW_DAYS) * 24 * 60 * 60;
    let options = object(&[("expirationTtl", edge::number(seconds).into()), ("metadata", metadata)]);
    let key = [Usage::PREFIX, isolate].concat();
    settled(js::put(&key, &"".into(), &options)).await.map(drop).map_err(|thrown| DATA.failed(&thrown))
}

async fn list_page(prefix: &str, limit: u32, cursor: Option<&str>) -> Result<List, Problem> {
    let options = object(&[("prefix", prefix.into()), ("limit", limit.into())]);
    if let Some(cursor) = cursor {
        set(&options, "cursor", &cursor.into());
    }
    let list = settled(js::list(&options)).await.map_err(|thrown| DATA.failed(&thrown))?;
    Ok(list.unchecked_into())
}

/// A page's keys as the client is told of them.
fn entries(keys: &Array<Key>) -> JsString {
    // Most have names and nothing else. Those are not looked at one by one: they are renamed in the page's JSON, where no
    // text has a quote like these that is not escaped.
    let json = stringify_all(keys);
    let (name, key) = (format!("{{\"name\":\"{}", DataKey::PREFIX), "{\"key\":\"");
    let renamed = json.replace_all(&name, key);
    let are_first = (json.length() - renamed.length()) as usize == keys.length() as usize * (name.len() - key.len());
    if are_first && !json.includes("\",\"", 0) {
        return renamed;
    }
    let listed = |key: Key| ListedKey {
        key: key.name().split_off(DataKey::PREFIX.len()),
        metadata: key.metadata().as_ref().and_then(stringify).and_then(|json| RawValue::from_string(json.into()).ok()),
        expiration: key.expiration().map(whole),
    };
    reply::to_json(&keys.iter().map(listed).collect::<Vec<_>>()).into()
}

fn more(list: &List) -> Option<String> {
    if list.list_complete() { None } else { list.cursor() }
}

fn stringify(metadata: &Metadata) -> Option<JsString> {
    JSON::stringify(metadata).ok()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since 1970")]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

mod js {
    use js_sys::{JsString, Object, Promise};
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen(module = "cloudflare:workers")]
    extern "C" {
        #[wasm_bindgen(catch, js_namespace = ["env", "USER_KV"])]
        pub fn get(key: &str) -> Result<Promise, JsValue>;

        #[wasm_bindgen(catch, js_namespace = ["env", "USER_KV"], js_name = getWithMetadata)]
        pub fn get_with_metadata(key: &str, r#type: &JsString) -> Result<Promise, JsValue>;

        #[wasm_bindgen(catch, js_namespace = ["env", "USER_KV"])]
        pub fn put(key: &str, value: &JsValue, options: &Object) -> Result<Promise, JsValue>;

        #[wasm_bindgen(catch, js_namespace = ["env", "USER_KV"])]
        pub fn delete(key: &str) -> Result<Promise, JsValue>;

        #[wasm_bindgen(catch, js_namespace = ["env", "USER_KV"])]
        pub fn list(options: &Object) -> Result<Promise, JsValue>;
    }

    #[wasm_bindgen(module = "/src/bindings/kv.js")]
    extern "C" {
        pub fn shown(found: &JsValue, before: &str) -> JsValue;
    }
}
