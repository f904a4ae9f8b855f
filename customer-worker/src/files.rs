//! `/files`: files in the customer's R2 bucket.

use js_sys::Array;
use shared::{ContentType, FileKey, Problem, Query, is_multipart_form, reply};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, FormData, Headers, Request, Response, ResponseInit};

use crate::bindings::{Bindings, R2Object};
use crate::body;

/// `GET /files?key=`: the file. Its bytes go from R2 to the client as the runtime's own stream.
pub async fn download(query: Query<'_>, bindings: &Bindings) -> Result<Response, Problem> {
    let key = FileKey::from_query(query)?;
    let file = bindings.files()?.get(&key).await?.ok_or_else(Problem::file_not_found)?;
    Ok(file_reply(&file, &file.body()))
}

/// `HEAD /files?key=`: the same headers.
pub async fn inspect(query: Query<'_>, bindings: &Bindings) -> Result<Response, Problem> {
    let key = FileKey::from_query(query)?;
    let file = bindings.files()?.head(&key).await?.ok_or_else(Problem::file_not_found)?;
    Ok(file_reply(&file, &JsValue::NULL))
}

/// `POST /files`: stores a form's `file` under its `key`.
pub async fn upload_form(request: &Request, bindings: &Bindings) -> Result<Response, Problem> {
    body::require_type(request, is_multipart_form, "multipart/form-data")?;
    let files = bindings.files()?;
    let form = read_form(request).await?;
    let key = only(&form.get_all("key"), "key")?.ok_or_else(Problem::missing_key)?;
    let key = key.as_string().ok_or_else(|| Problem::invalid_form("`key` must be a text field, not a file"))?;
    let key = FileKey::parse(key.into_bytes().into())?;
    let file = only(&form.get_all("file"), "file")?.ok_or_else(|| Problem::invalid_form("a `file` is required"))?;
    let file: Blob = file.dyn_into().map_err(|_| Problem::invalid_form("`file` must be a file, not a text field"))?;
    let content_type = ContentType::parse(&file.type_())?;
    let stored = files.put(&key, &file, content_type.as_str()).await?;
    let body = reply::to_json(&reply::FileStored {
        success: true,
        key: key.as_str(),
        size: size(&stored),
        etag: &stored.etag(),
        content_type: content_type.as_str(),
    });
    Ok(edge::json_reply(&body.into()))
}

/// `DELETE /files?key=`: deletes a file, if it is there.
pub async fn delete(query: Query<'_>, bindings: &Bindings) -> Result<Response, Problem> {
    let key = FileKey::from_query(query)?;
    bindings.files()?.delete(&key).await?;
    Ok(edge::json_reply(&reply::to_json(&reply::Deleted { success: true }).into()))
}

/// A file's bytes: R2 counts them exactly in a double, up to its limit of 5 TiB.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number between 0 and 2^43")]
pub fn size(file: &R2Object) -> u64 {
    file.size() as u64
}

async fn read_form(request: &Request) -> Result<FormData, Problem> {
    let broken = |thrown: JsValue| Problem::invalid_form(&edge::thrown_message(&thrown));
    Ok(JsFuture::from(request.form_data().map_err(broken)?).await.map_err(broken)?.unchecked_into())
}

/// A field's value, which may be there once.
fn only(values: &Array, name: &str) -> Result<Option<JsValue>, Problem> {
    match values.length() {
        0 => Ok(None),
        1 => Ok(Some(values.get(0))),
        _ => Err(Problem::invalid_form(&format!("`{name}` is there more than once"))),
    }
}

/// What customers upload is never script on the platform's origin: no sniffing, and a sandbox around it.
const SAFETY: [(&str, &str); 2] = [
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
];

fn file_reply(file: &R2Object, body: &JsValue) -> Response {
    // A file that was not stored through this Worker may have a type that no header can hold.
    let content_type = file.http_metadata().content_type().and_then(|text| ContentType::parse(&text).ok());
    let content_type = content_type.unwrap_or_default();
    let headers = Headers::new().expect("empty headers");
    let described = [
        ("Content-Type", content_type.as_str()),
        ("Content-Length", &*size(file).to_string()),
        ("ETag", &*file.http_etag()),
        ("Last-Modified", &*String::from(file.uploaded().to_utc_string())),
        ("Cache-Control", "private, no-cache"),
        ("Vary", edge::VARY),
    ];
    for (name, value) in described.into_iter().chain(SAFETY) {
        headers.set(name, value).expect("visible ASCII");
    }
    let init = ResponseInit::new();
    init.set_headers(&headers);
    edge::new_response(body, &init)
}
