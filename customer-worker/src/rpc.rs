//! The methods that other Workers inside the platform call on a customer's Worker, through a dispatch namespace or a
//! service binding (<https://developers.cloudflare.com/workers/runtime-apis/rpc/>). `docs/rpc.d.ts` has their types.
//!
//! They do what the routes do, and count as they do. A failure is thrown as an `Error` with the problem's `detail`.

use edge::task::{Holds, run};
use js_sys::{Array, Error, JSON, JsString};
use shared::{
    ContentType, Cursor, DataKey, DataPage, FileHeaders, FileKey, FilesPage, Operation, Preconditions, Problem,
    SetData, Statement, reply,
};
use wasm_bindgen::prelude::*;
use web_sys::{Blob, ReadableStream};

use crate::bindings::r2::OnlyIf;
use crate::bindings::{d1, kv, r2, see_through};
use crate::body::Pieces;
use crate::files::{self, PartsWriter};
use crate::{data, db, stats, usage};

/// The most entries that a list answers at once.
const MAX_LIST: usize = 10_000;

/// Stores a file: text, an `ArrayBuffer` or a view of one, a `Blob`, or a stream, which goes to R2 in parts, because over
/// RPC it has no length.
#[wasm_bindgen(js_name = uploadFile)]
pub fn upload_file(key: JsValue, content: JsValue) -> JsValue {
    // As over HTTP: an upload whose caller goes away must go on, to abort.
    see_through(answer(Operation::UploadFile, store(key, content)))
}

async fn store(key: JsValue, content: JsValue) -> Result<JsValue, Problem> {
    let key = file_key(&key)?;
    r2::FILES.require()?;
    if let Some(stream) = content.dyn_ref::<ReadableStream>() {
        let mut writer = PartsWriter::new(Preconditions::default(), None);
        writer.key = Some(key);
        let stored = copy(stream, &mut writer).await;
        if stored.is_err() {
            writer.abort().await;
        }
        return parsed(&stored?);
    }
    let blob_type = content.dyn_ref::<Blob>().map(Blob::type_);
    if blob_type.is_none() && !content.is_string() && !is_buffer(&content) {
        return Err(Problem::invalid_body(
            "content must be a string, an ArrayBuffer or a view of one, a Blob or a ReadableStream",
        ));
    }
    let headers = FileHeaders::of_type(ContentType::parse(&blob_type.unwrap_or_default())?);
    parsed(&files::store(&key, &content, &headers, &OnlyIf::default()).await?)
}

/// A file's bytes as a stream, or `null`.
#[wasm_bindgen(js_name = getFile)]
pub fn get_file(key: JsValue) -> JsValue {
    answer(Operation::GetFile, async move { Ok(files::open(&file_key(&key)?).await?.unwrap_or(JsValue::NULL)) })
}

/// Deletes a file, if it is there.
#[wasm_bindgen(js_name = deleteFile)]
pub fn delete_file(key: JsValue) -> JsValue {
    answer(Operation::DeleteFile, async move { parsed(&files::delete(&file_key(&key)?).await?) })
}

/// All files, if they are not too many.
#[wasm_bindgen(js_name = listFiles)]
pub fn list_files() -> JsValue {
    answer(Operation::ListFiles, async move {
        let (mut all, mut page) = (Vec::new(), FilesPage::first());
        loop {
            let listed = r2::list(&page).await?;
            all.extend(listed.files);
            page.cursor = match (all.len(), listed.cursor) {
                (0..=MAX_LIST, None) => return parsed(&reply::to_json(&all)),
                (0..MAX_LIST, Some(cursor)) => Some(Cursor::decode(cursor.as_bytes(), page.listing())?),
                _ => return Err(too_many("files")),
            };
        }
    })
}

/// Stores a value: `JSON.stringify` of it.
#[wasm_bindgen(js_name = setData)]
pub fn set_data(key: JsValue, value: JsValue) -> JsValue {
    answer(Operation::SetData, async move {
        let key = data_key(&key)?;
        let json = JSON::stringify(&value).map_err(|thrown| Problem::invalid_body(&edge::thrown_message(&thrown)))?;
        let json: JsValue = json.into();
        if !json.is_string() {
            return Err(Problem::invalid_body("there is no JSON for this value"));
        }
        // UTF-8 has three bytes for a character at the most; only a value that may be too long is counted.
        let json: JsString = json.unchecked_into();
        let most = SetData::MAX_VALUE_LEN;
        if json.length() as usize > most / 3 && String::from(&json).len() > most {
            return Err(Problem::too_large("a value", most as u64));
        }
        kv::put(&key, &json, None, None).await?;
        parsed(&data::stored(&key))
    })
}

/// A value, or `null`.
#[wasm_bindgen(js_name = getData)]
pub fn get_data(key: JsValue) -> JsValue {
    answer(Operation::GetData, async move {
        let Some(text) = kv::get(&data_key(&key)?).await? else { return Ok(JsValue::NULL) };
        parse(&text)
    })
}

/// Deletes a value, if it is there.
#[wasm_bindgen(js_name = deleteData)]
pub fn delete_data(key: JsValue) -> JsValue {
    answer(Operation::DeleteData, async move { parsed(&data::delete(&data_key(&key)?).await?) })
}

/// All values' keys, if they are not too many.
#[wasm_bindgen(js_name = listData)]
pub fn list_data() -> JsValue {
    answer(Operation::ListData, async move {
        let (mut all, mut page) = (Array::new(), DataPage::first());
        loop {
            let listed = kv::list(&page).await?;
            let keys: Array = parse(&listed.keys)?.unchecked_into();
            all = all.concat(&keys);
            page.cursor = match (all.length() as usize, listed.cursor) {
                (0..=MAX_LIST, None) => return Ok(all.into()),
                (0..MAX_LIST, Some(cursor)) => Some(Cursor::decode(cursor.as_bytes(), page.listing())?),
                _ => return Err(too_many("values")),
            };
        }
    })
}

/// What `GET /stats` answers.
#[wasm_bindgen(js_name = getStats)]
pub fn get_stats() -> JsValue {
    run(Holds::Much, async {
        let answer = stats::stats().await.and_then(|stats| parsed(&stats));
        answer.map_err(|problem| thrown(&problem))
    })
}

/// What `POST /db/query` answers.
#[wasm_bindgen(js_name = queryDatabase)]
pub fn query_database(sql: JsValue, params: JsValue) -> JsValue {
    answer(Operation::QueryDatabase, async move {
        let sql = sql.as_string().ok_or_else(|| Problem::invalid_body("sql must be a string"))?;
        let params = if params.is_undefined() { "[]".to_owned() } else { to_json(&params)? };
        let statement = Statement::new(sql, &params)?;
        Ok(db::entry(&d1::query(&statement).await?).into())
    })
}

/// Counts what succeeds, and throws what fails.
fn answer(operation: Operation, call: impl Future<Output = Result<JsValue, Problem>> + 'static) -> JsValue {
    run(Holds::Much, async move {
        let answer = call.await.map_err(|problem| thrown(&problem))?;
        usage::count(operation);
        Ok(answer)
    })
}

fn thrown(problem: &Problem) -> JsValue {
    edge::log_problem(problem, "");
    Error::new(problem.detail()).into()
}

async fn copy(stream: &ReadableStream, writer: &mut PartsWriter) -> Result<String, Problem> {
    let mut pieces = Pieces::of(Some(stream.clone()));
    while let Some(piece) = pieces.next().await? {
        writer.write(&piece).await?;
    }
    writer.finish().await
}

fn is_buffer(content: &JsValue) -> bool {
    content.is_instance_of::<js_sys::ArrayBuffer>() || is_view(content)
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = ArrayBuffer, js_name = isView)]
    fn is_view(value: &JsValue) -> bool;
}

fn file_key(key: &JsValue) -> Result<FileKey, Problem> {
    FileKey::parse(text(key)?.into_bytes().into())
}

fn data_key(key: &JsValue) -> Result<DataKey, Problem> {
    DataKey::parse(text(key)?.into_bytes().into())
}

fn text(key: &JsValue) -> Result<String, Problem> {
    if key.is_undefined() || key.is_null() {
        return Err(Problem::missing_key());
    }
    let key: &JsString = key.dyn_ref().ok_or_else(|| Problem::invalid_body("`key` must be a string"))?;
    // Half a character would become another one.
    if key.is_valid_utf16() { Ok(key.into()) } else { Err(Problem::invalid_key_encoding()) }
}

fn too_many(what: &str) -> Problem {
    Problem::invalid_parameter(&format!("there are more than {MAX_LIST} {what}: list them in pages, over HTTP"))
}

fn to_json(value: &JsValue) -> Result<String, Problem> {
    let json = JSON::stringify(value).map_err(|thrown| Problem::invalid_body(&edge::thrown_message(&thrown)))?;
    // There is none for a function.
    Ok(JsValue::from(json).as_string().unwrap_or_default())
}

/// An answer of the routes as the object that it is.
fn parsed(json: &str) -> Result<JsValue, Problem> {
    parse(&json.into())
}

fn parse(json: &JsString) -> Result<JsValue, Problem> {
    parse_json(json).map_err(|thrown| Problem::internal_error(edge::thrown_message(&thrown)))
}

#[wasm_bindgen]
extern "C" {
    /// Unlike `js_sys`'s, takes a text that is outside Wasm.
    #[wasm_bindgen(catch, js_namespace = JSON, js_name = parse)]
    fn parse_json(text: &JsString) -> Result<JsValue, JsValue>;
}
