//! The RPC methods of the customer Worker. Other Workers inside the platform call them through a dispatch namespace or
//! a service binding (<https://developers.cloudflare.com/workers/runtime-apis/rpc/>). `docs/rpc.d.ts` declares their
//! types, and `entry.js` defines the class that has them.
//!
//! They do the same as the HTTP routes, and their operations are counted in the same way. A method that fails throws an
//! `Error` whose message is the problem's `detail`.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use js_sys::futures::future_to_promise;
use js_sys::{ArrayBuffer, Error, JSON, JsString, Promise};
use serde::Serialize;
use shared::customer::Operation;
use shared::data::{DataKey, DataPage, SetData};
use shared::database::Statement;
use shared::files::{FileHeaders, FileKey, FileStored, FilesPage};
use shared::http::{ContentType, Cursor, Preconditions, Problem};
use shared::json::to_text;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, ReadableStream};
use worker::worker_sys::Context as JsContext;
use worker::{Context, Env};

use crate::bindings::{DataStore, FileStore, UserDatabase, WriteCondition};
use crate::body::Chunks;
use crate::files::{self, PartsWriter};
use crate::{data, stats, usage};

/// The maximum number of entries that a list returns.
const MAX_LIST_LEN: usize = 10_000;

/// Stores a file. The content is a string, an `ArrayBuffer` or a view of one, a `Blob`, or a `ReadableStream`. A stream
/// is stored in parts, because over RPC its length is unknown.
#[wasm_bindgen(js_name = uploadFile)]
pub fn upload_file(env: Env, ctx: JsContext, key: JsValue, content: JsValue) -> Promise {
    run(ctx, Some((Operation::UploadFile, env.clone())), async move { to_js(&store_file(&env, &key, content).await?) })
}

async fn store_file(env: &Env, key: &JsValue, content: JsValue) -> Result<FileStored, Problem> {
    let key = file_key(key)?;
    let store = FileStore::from_env(env)?;
    if let Some(stream) = content.dyn_ref::<ReadableStream>() {
        let mut writer = PartsWriter::new(store, Preconditions::default(), None);
        writer.key = Some(key);
        let stored = write_stream(stream, &mut writer).await;
        if stored.is_err() {
            writer.abort().await;
        }
        return stored;
    }
    let blob_type = content.dyn_ref::<Blob>().map(Blob::type_);
    if blob_type.is_none() && !content.is_string() && !is_buffer(&content) {
        return Err(Problem::invalid_body(
            "content must be a string, an ArrayBuffer or a view of one, a Blob or a ReadableStream",
        ));
    }
    let headers = FileHeaders::with_content_type(ContentType::parse(&blob_type.unwrap_or_default())?);
    files::store(&store, &key, content, &headers, &WriteCondition::default()).await
}

async fn write_stream(stream: &ReadableStream, writer: &mut PartsWriter) -> Result<FileStored, Problem> {
    let mut chunks = Chunks::from_stream(Some(stream.clone()));
    while let Some(chunk) = chunks.next().await? {
        writer.write(&chunk).await?;
    }
    writer.finish().await
}

/// Returns a file's content as a stream, or `null` if the file does not exist.
#[wasm_bindgen(js_name = getFile)]
pub fn get_file(env: Env, ctx: JsContext, key: JsValue) -> Promise {
    run(ctx, Some((Operation::GetFile, env.clone())), async move {
        Ok(files::open(&env, &file_key(&key)?).await?.map_or(JsValue::NULL, JsValue::from))
    })
}

/// Deletes a file, if it exists.
#[wasm_bindgen(js_name = deleteFile)]
pub fn delete_file(env: Env, ctx: JsContext, key: JsValue) -> Promise {
    run(
        ctx,
        Some((Operation::DeleteFile, env.clone())),
        async move { to_js(&files::delete(&env, &file_key(&key)?).await?) },
    )
}

/// Lists all files. Fails if there are more than [`MAX_LIST_LEN`].
#[wasm_bindgen(js_name = listFiles)]
pub fn list_files(env: Env, ctx: JsContext) -> Promise {
    run(ctx, Some((Operation::ListFiles, env.clone())), async move {
        let store = FileStore::from_env(&env)?;
        let (mut all, mut page) = (Vec::new(), FilesPage::first());
        loop {
            let listed = store.list(&page).await?;
            all.extend(listed.files);
            page.cursor = match (all.len(), listed.cursor) {
                (0..=MAX_LIST_LEN, None) => return to_js(&all),
                (0..MAX_LIST_LEN, Some(cursor)) => Some(Cursor::decode(cursor.as_bytes(), page.listing())?),
                _ => return Err(too_many("files")),
            };
        }
    })
}

/// Stores a value as JSON.
#[wasm_bindgen(js_name = setData)]
pub fn set_data(env: Env, ctx: JsContext, key: JsValue, value: JsValue) -> Promise {
    run(ctx, Some((Operation::SetData, env.clone())), async move {
        let key = data_key(&key)?;
        let json = stringify(&value)?.ok_or_else(|| Problem::invalid_body("the value cannot be written as JSON"))?;
        let max_len = SetData::MAX_VALUE_LEN;
        // UTF-8 has at most three bytes for each UTF-16 unit. Only a value that may be too long is copied into Wasm to
        // measure it.
        if json.length() as usize > max_len / 3 && String::from(&json).len() > max_len {
            return Err(Problem::too_large("a value", max_len as u64));
        }
        DataStore::from_env(&env)?.put(&key, &json, None, None).await?;
        to_js(&data::stored(&key))
    })
}

/// Returns a value, or `null` if there is none.
#[wasm_bindgen(js_name = getData)]
pub fn get_data(env: Env, ctx: JsContext, key: JsValue) -> Promise {
    run(ctx, Some((Operation::GetData, env.clone())), async move {
        let key = data_key(&key)?;
        let value = DataStore::from_env(&env)?.get(&key).await?;
        value.map_or(Ok(JsValue::NULL), |value| parse(&value))
    })
}

/// Deletes a value, if it exists.
#[wasm_bindgen(js_name = deleteData)]
pub fn delete_data(env: Env, ctx: JsContext, key: JsValue) -> Promise {
    run(
        ctx,
        Some((Operation::DeleteData, env.clone())),
        async move { to_js(&data::delete(&env, &data_key(&key)?).await?) },
    )
}

/// Lists the keys of all values. Fails if there are more than [`MAX_LIST_LEN`].
#[wasm_bindgen(js_name = listData)]
pub fn list_data(env: Env, ctx: JsContext) -> Promise {
    run(ctx, Some((Operation::ListData, env.clone())), async move {
        let store = DataStore::from_env(&env)?;
        let (mut all, mut page) = (Vec::new(), DataPage::first());
        loop {
            let listed = store.list(&page).await?;
            all.extend(listed.keys);
            page.cursor = match (all.len(), listed.cursor) {
                (0..=MAX_LIST_LEN, None) => return to_js(&all),
                (0..MAX_LIST_LEN, Some(cursor)) => Some(Cursor::decode(cursor.as_bytes(), page.listing())?),
                _ => return Err(too_many("values")),
            };
        }
    })
}

/// Returns the customer's stats, like `GET /stats`.
#[wasm_bindgen(js_name = getStats)]
pub fn get_stats(env: Env, ctx: JsContext) -> Promise {
    run(ctx, None, async move { to_js(&stats::stats(&env).await?) })
}

/// Runs one SQL statement, like `POST /db/query`.
#[wasm_bindgen(js_name = queryDatabase)]
pub fn query_database(env: Env, ctx: JsContext, sql: JsValue, params: JsValue) -> Promise {
    run(ctx, Some((Operation::QueryDatabase, env.clone())), async move {
        let sql = sql.as_string().ok_or_else(|| Problem::invalid_body("sql must be a string"))?;
        let params = if params.is_undefined() {
            "[]".to_owned()
        } else {
            // A function has no JSON. The text is then empty, and is refused.
            stringify(&params)?.map(String::from).unwrap_or_default()
        };
        let statement = Statement::new(sql, &params)?;
        UserDatabase::from_env(&env)?.query(&statement).await.map(JsValue::from)
    })
}

/// Runs a call to completion, even if its caller disconnects. If the call succeeds, `operation` is counted in the KV
/// namespace of its `env`. If the call fails, the promise rejects with an `Error`.
fn run(
    ctx: JsContext,
    operation: Option<(Operation, Env)>,
    call: impl Future<Output = Result<JsValue, Problem>> + 'static,
) -> Promise {
    // Boxed, because the code that runs futures would otherwise be duplicated for each method.
    let call: Pin<Box<dyn Future<Output = Result<JsValue, Problem>>>> = Box::pin(call);
    future_to_promise(AssertUnwindSafe(run_boxed(Context::new(ctx), operation, call)))
}

async fn run_boxed(
    ctx: Context,
    operation: Option<(Operation, Env)>,
    call: Pin<Box<dyn Future<Output = Result<JsValue, Problem>>>>,
) -> Result<JsValue, JsValue> {
    let result = edge::run_to_completion(&ctx, call).await.map_err(|problem| {
        edge::log_problem(&problem, "");
        Error::new(problem.detail())
    })?;
    if let Some((operation, env)) = operation {
        usage::count(operation, &env, &ctx);
    }
    Ok(result)
}

fn is_buffer(content: &JsValue) -> bool {
    content.is_instance_of::<ArrayBuffer>() || ArrayBuffer::is_view(content)
}

fn file_key(key: &JsValue) -> Result<FileKey, Problem> {
    FileKey::parse(key_text(key)?.into_bytes().into())
}

fn data_key(key: &JsValue) -> Result<DataKey, Problem> {
    DataKey::parse(key_text(key)?.into_bytes().into())
}

fn key_text(key: &JsValue) -> Result<String, Problem> {
    if key.is_undefined() || key.is_null() {
        return Err(Problem::missing_key());
    }
    let key: &JsString = key.dyn_ref().ok_or_else(|| Problem::invalid_body("`key` must be a string"))?;
    // The conversion to UTF-8 would replace a lone surrogate with another character.
    if key.is_valid_utf16() { Ok(key.into()) } else { Err(Problem::invalid_key_encoding()) }
}

fn too_many(what: &str) -> Problem {
    Problem::invalid_parameter(&format!("there are more than {MAX_LIST_LEN} {what}: list them in pages, over HTTP"))
}

/// Returns a value's JSON, which stays outside Wasm, or `None` if the value has no JSON, like a function.
fn stringify(value: &JsValue) -> Result<Option<JsString>, Problem> {
    let json = JSON::stringify(value).map_err(|thrown| Problem::invalid_body(&edge::error_message(&thrown)))?;
    Ok(JsValue::from(json).dyn_into().ok())
}

/// Converts a route's result to a JavaScript value.
fn to_js(value: &impl Serialize) -> Result<JsValue, Problem> {
    parse(&to_text(value).into())
}

fn parse(json: &JsString) -> Result<JsValue, Problem> {
    parse_json(json).map_err(|thrown| Problem::internal_error(edge::error_message(&thrown)))
}

#[wasm_bindgen]
extern "C" {
    /// `js_sys::JSON::parse` is not used, because it takes a text in Wasm. A value of up to 25 MiB stays outside.
    #[wasm_bindgen(catch, js_namespace = JSON, js_name = parse)]
    fn parse_json(text: &JsString) -> Result<JsValue, JsValue>;
}
