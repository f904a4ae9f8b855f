//! The customer's storage, looked up here and nowhere else, as far as the Worker uses it:
//! KV (<https://developers.cloudflare.com/kv/api/>) and R2
//! (<https://developers.cloudflare.com/r2/api/workers/workers-api-reference/>).
//!
//! `worker`'s own types are not used: they turn streams into Rust streams and back, and look at a binding's name rather
//! than at what it can do.

use js_sys::{Array, Date, JsString, Object, Reflect, Uint8Array};
use shared::{DataKey, FileKey, Problem};
use wasm_bindgen::{JsCast, prelude::*};

#[wasm_bindgen]
extern "C" {
    /// The Worker's `env`.
    pub type Bindings;

    #[wasm_bindgen(method, getter, js_name = USER_KV)]
    fn user_kv(this: &Bindings) -> Option<KvNamespace>;

    #[wasm_bindgen(method, getter, js_name = USER_R2)]
    fn user_r2(this: &Bindings) -> Option<R2Bucket>;

    type KvNamespace;

    #[wasm_bindgen(method, catch, js_name = get)]
    async fn get_text(this: &KvNamespace, key: &str, r#type: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn put(this: &KvNamespace, key: &str, value: &Uint8Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn delete(this: &KvNamespace, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn list(this: &KvNamespace, options: &Object) -> Result<JsValue, JsValue>;

    type R2Bucket;

    #[wasm_bindgen(method, catch)]
    async fn head(this: &R2Bucket, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn get(this: &R2Bucket, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn put(this: &R2Bucket, key: &str, value: &JsValue, options: &Object) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn delete(this: &R2Bucket, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn list(this: &R2Bucket, options: &Object) -> Result<JsValue, JsValue>;

    /// What is known of a file.
    pub type R2Object;

    /// Bytes.
    #[wasm_bindgen(method, getter)]
    pub fn size(this: &R2Object) -> f64;

    /// R2's own, unquoted.
    #[wasm_bindgen(method, getter)]
    pub fn etag(this: &R2Object) -> String;

    /// The same as a header has it, quoted.
    #[wasm_bindgen(method, getter, js_name = httpEtag)]
    pub fn http_etag(this: &R2Object) -> String;

    /// When it was stored.
    #[wasm_bindgen(method, getter)]
    pub fn uploaded(this: &R2Object) -> Date;

    /// The headers that it was stored with.
    #[wasm_bindgen(method, getter, js_name = httpMetadata)]
    pub fn http_metadata(this: &R2Object) -> HttpMetadata;

    /// The file's bytes, as the runtime's own stream.
    #[wasm_bindgen(method, getter)]
    pub fn body(this: &R2Object) -> JsValue;

    /// The headers that a file was stored with.
    pub type HttpMetadata;

    #[wasm_bindgen(method, getter, js_name = contentType)]
    pub fn content_type(this: &HttpMetadata) -> Option<String>;

    /// One page of a listing, of KV or of R2.
    type Page;

    #[wasm_bindgen(method, getter)]
    fn objects(this: &Page) -> Array<R2Object>;

    #[wasm_bindgen(method, getter)]
    fn keys(this: &Page) -> Array;

    #[wasm_bindgen(method, getter)]
    fn cursor(this: &Page) -> Option<JsString>;

    #[wasm_bindgen(method, getter)]
    fn truncated(this: &Page) -> bool;
}

impl Bindings {
    /// The customer's files.
    pub fn files(&self) -> Result<Files, Problem> {
        self.user_r2().map(Files).ok_or_else(|| Problem::binding_not_attached("file storage"))
    }

    /// The customer's values.
    pub fn data(&self) -> Result<Data, Problem> {
        self.user_kv().map(Data).ok_or_else(|| Problem::binding_not_attached("data storage"))
    }
}

/// The customer's bucket.
pub struct Files(R2Bucket);

impl Files {
    /// A file with its bytes.
    pub async fn get(&self, key: &FileKey) -> Result<Option<R2Object>, Problem> {
        self.0.get(key.as_str()).await.map(nullable).map_err(unavailable)
    }

    /// A file without its bytes.
    pub async fn head(&self, key: &FileKey) -> Result<Option<R2Object>, Problem> {
        self.0.head(key.as_str()).await.map(nullable).map_err(unavailable)
    }

    /// Stores a file; `content` is anything that R2 takes: a stream of known length, a `Blob`, bytes.
    pub async fn put(&self, key: &FileKey, content: &JsValue, content_type: &str) -> Result<R2Object, Problem> {
        let options = object(&[("httpMetadata", object(&[("contentType", content_type.into())]).into())]);
        self.0.put(key.as_str(), content, &options).await.map(JsCast::unchecked_into).map_err(unavailable)
    }

    /// Deletes a file, if it is there.
    pub async fn delete(&self, key: &FileKey) -> Result<(), Problem> {
        self.0.delete(key.as_str()).await.map(drop).map_err(unavailable)
    }

    /// Goes through all files, a page of up to 1000 at a time.
    pub async fn for_each(&self, mut see: impl FnMut(R2Object)) -> Result<(), Problem> {
        let mut cursor = None;
        loop {
            let page: Page = self.0.list(&after(cursor)).await.map_err(unavailable)?.unchecked_into();
            page.objects().iter().for_each(&mut see);
            if !page.truncated() {
                return Ok(());
            }
            cursor = page.cursor();
        }
    }
}

/// The customer's KV namespace.
pub struct Data(KvNamespace);

impl Data {
    /// A value's text.
    pub async fn get(&self, key: &DataKey) -> Result<Option<JsString>, Problem> {
        self.0.get_text(key.stored(), "text").await.map(nullable).map_err(unavailable)
    }

    /// Stores a value's bytes.
    pub async fn put(&self, key: &DataKey, value: &Uint8Array) -> Result<(), Problem> {
        self.0.put(key.stored(), value).await.map(drop).map_err(unavailable)
    }

    /// Deletes a value, if it is there.
    pub async fn delete(&self, key: &DataKey) -> Result<(), Problem> {
        self.0.delete(key.stored()).await.map(drop).map_err(unavailable)
    }

    /// Counts the customer's keys, a page of up to 1000 at a time.
    pub async fn count(&self) -> Result<u64, Problem> {
        let (mut count, mut cursor) = (0, None);
        loop {
            let options = after(cursor);
            set(&options, "prefix", &DataKey::PREFIX.into());
            let page: Page = self.0.list(&options).await.map_err(unavailable)?.unchecked_into();
            count += u64::from(page.keys().length());
            cursor = page.cursor();
            if cursor.is_none() {
                return Ok(count);
            }
        }
    }
}

/// The options for the page that follows `cursor`.
fn after(cursor: Option<JsString>) -> Object {
    cursor.map_or_else(Object::new, |cursor| object(&[("cursor", cursor.into())]))
}

fn object(properties: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in properties {
        set(&object, name, value);
    }
    object
}

fn set(object: &Object, name: &str, value: &JsValue) {
    Reflect::set(object, &name.into(), value).expect("a plain object takes any property");
}

fn nullable<T: JsCast>(value: JsValue) -> Option<T> {
    (!value.is_null()).then(|| value.unchecked_into())
}

fn unavailable(thrown: JsValue) -> Problem {
    Problem::storage_unavailable(edge::thrown_message(&thrown))
}
