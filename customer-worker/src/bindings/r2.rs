//! R2, as far as the Worker uses it (<https://developers.cloudflare.com/r2/api/workers/workers-api-reference/>).

use edge::task::settled;
use edge::{object, set};
use js_sys::{Array, Date, Object, Promise};
use shared::reply::{ListedFile, Part};
use shared::{
    ByteRange, Cursor, EntityTags, FileHeaders, FileKey, FilesPage, HttpDate, Preconditions, Problem, lines, reply,
    upload,
};
use wasm_bindgen::{JsCast, prelude::*};
use web_sys::Headers;

use super::Binding;
use crate::body::forget;

/// The customer's bucket.
pub const FILES: Binding = Binding { name: "USER_R2", what: "file storage" };

#[wasm_bindgen]
extern "C" {
    type R2MultipartUpload;

    #[wasm_bindgen(method, getter, js_name = uploadId)]
    fn upload_id(this: &R2MultipartUpload) -> String;

    #[wasm_bindgen(method, catch, js_name = uploadPart)]
    fn upload_part(this: &R2MultipartUpload, number: u16, value: &JsValue) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn complete(this: &R2MultipartUpload, parts: &Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn abort(this: &R2MultipartUpload) -> Result<Promise, JsValue>;

    type UploadedPart;

    #[wasm_bindgen(method, getter)]
    fn etag(this: &UploadedPart) -> String;

    /// What is known of a file.
    pub type R2Object;

    #[wasm_bindgen(method, getter)]
    fn key(this: &R2Object) -> String;

    #[wasm_bindgen(method, getter, js_name = size)]
    fn size_number(this: &R2Object) -> f64;

    /// R2's own, unquoted.
    #[wasm_bindgen(method, getter)]
    pub fn etag(this: &R2Object) -> String;

    #[wasm_bindgen(method, getter, js_name = uploaded)]
    fn uploaded_date(this: &R2Object) -> Date;

    /// The file's bytes, as the runtime's own stream; `undefined` where they were not asked for.
    #[wasm_bindgen(method, getter)]
    pub fn body(this: &R2Object) -> JsValue;

    type List;

    #[wasm_bindgen(method, getter)]
    fn objects(this: &List) -> Array<R2Object>;

    #[wasm_bindgen(method, getter, js_name = delimitedPrefixes)]
    fn delimited_prefixes(this: &List) -> Array;

    #[wasm_bindgen(method, getter)]
    fn truncated(this: &List) -> bool;

    #[wasm_bindgen(method, getter)]
    fn cursor(this: &List) -> Option<String>;
}

impl R2Object {
    /// Bytes.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "R2 ends at 5 TiB, far below 2^53")]
    pub fn size(&self) -> u64 {
        self.size_number() as u64
    }

    /// The second in which it was stored.
    pub fn modified(&self) -> HttpDate {
        HttpDate::of_milliseconds(self.uploaded_date().get_time())
    }
}

/// A file that was found.
pub struct Found {
    /// What is known of it.
    pub file: R2Object,
    /// The headers that it was stored with, as far as a header can hold them: a file that was not stored through this
    /// Worker may have any.
    pub headers: FileHeaders,
    /// Whether it came with its bytes.
    pub has_body: bool,
}

impl Found {
    fn new(found: JsValue) -> Option<Self> {
        let text = js::kept(&found)?;
        let [content_type, cache_control, disposition, encoding, language, expires, body] = lines(&text);
        let headers = FileHeaders::stored([content_type, cache_control, disposition, encoding, language, expires]);
        Some(Self { file: found.unchecked_into(), headers, has_body: body.is_some() })
    }
}

/// What R2 says of a file that it has stored.
pub struct Stored {
    /// Bytes.
    pub size: u64,
    /// R2's own, unquoted.
    pub etag: String,
}

impl Stored {
    fn new(file: &JsValue) -> Option<Self> {
        let text = js::stored(file)?;
        let (size, etag) = text.split_once(' ').expect("a size, a space, an etag");
        Some(Self { size: size.parse().expect("a size is a whole number"), etag: etag.to_owned() })
    }
}

/// A page of files.
pub struct FilePage {
    /// In the order of their keys.
    pub files: Vec<ListedFile>,
    /// What keys that were put together have in common.
    pub prefixes: Vec<String>,
    /// For the client, if there is more.
    pub cursor: Option<String>,
}

/// A file with its bytes, or those of a range. Without its bytes if it is the version `unless`.
pub async fn get(key: &FileKey, range: Option<ByteRange>, unless: Option<&str>) -> Result<Option<Found>, Problem> {
    let (offset, length, suffix) = match range {
        None => (None, None, None),
        Some(ByteRange::From(first)) => (Some(first), None, None),
        Some(ByteRange::Between(first, last)) => (Some(first), Some((last - first).saturating_add(1)), None),
        Some(ByteRange::Last(length)) => (None, None, Some(length)),
    };
    let [offset, length, suffix] = [offset, length, suffix].map(|count| count.map(edge::number));
    let found = settled(js::get(key.as_str(), offset, length, suffix, unless)).await;
    found.map(Found::new).map_err(|thrown| problem(&thrown))
}

/// A file without its bytes.
pub async fn head(key: &FileKey) -> Result<Option<Found>, Problem> {
    settled(js::head(key.as_str())).await.map(Found::new).map_err(|thrown| problem(&thrown))
}

/// Stores a file, if what is there is as `only_if` wants it; `None` if it is not. `content` is anything that R2
/// takes, a stream of known length, a `Blob`, bytes, text; or a request, whose body it is.
pub async fn put(
    key: &FileKey,
    content: &JsValue,
    headers: &FileHeaders,
    only_if: &OnlyIf,
) -> Result<Option<Stored>, Problem> {
    let (content_type, others) = (headers.content_type.as_str(), other_metadata(headers));
    let stored = settled(js::put(key.as_str(), content, content_type, &others, &only_if.option())).await;
    stored.map(|file| Stored::new(&file)).map_err(|thrown| problem(&thrown))
}

/// Deletes a file, if it is there.
pub async fn delete(key: &FileKey) -> Result<(), Problem> {
    settled(js::delete(key.as_str())).await.map(drop).map_err(|thrown| problem(&thrown))
}

/// Lists files.
pub async fn list(page: &FilesPage) -> Result<FilePage, Problem> {
    let options = object(&[("limit", page.limit.into())]);
    if !page.prefix.is_empty() {
        set(&options, "prefix", &page.prefix.as_str().into());
    }
    if let Some(delimiter) = &page.delimiter {
        set(&options, "delimiter", &delimiter.as_str().into());
    }
    if let Some(cursor) = &page.cursor {
        set(&options, "cursor", &cursor.as_str().into());
    }
    if page.content_type {
        set(&options, "include", &Array::of1(&"httpMetadata".into()));
    }
    let list: List = settled(js::list(&options)).await.map_err(|thrown| problem(&thrown))?.unchecked_into();
    let listed = |file: R2Object| ListedFile {
        key: file.key(),
        size: file.size(),
        uploaded: file.uploaded_date().to_iso_string().into(),
        etag: file.etag(),
        content_type: page
            .content_type
            .then(|| Found::new(file.into()))
            .flatten()
            .map(|found| found.headers.content_type.as_str().to_owned()),
    };
    let cursor = if list.truncated() { list.cursor() } else { None };
    Ok(FilePage {
        files: list.objects().iter().map(listed).collect(),
        prefixes: list.delimited_prefixes().iter().filter_map(|prefix| prefix.as_string()).collect(),
        cursor: cursor.map(|cursor| Cursor::encode(&cursor, page.listing())),
    })
}

/// Counts all files and their bytes.
pub async fn count() -> Result<reply::Files, Problem> {
    let mut counted = reply::Files::default();
    let options = Object::new();
    loop {
        let list: List = settled(js::list(&options)).await.map_err(|thrown| problem(&thrown))?.unchecked_into();
        counted.count += u64::from(list.objects().length());
        counted.total_size += list.objects().iter().map(|file| file.size()).sum::<u64>();
        match list.cursor().filter(|_| list.truncated()) {
            Some(cursor) => set(&options, "cursor", &cursor.into()),
            None => return Ok(counted),
        }
    }
}

/// Begins an upload in parts.
pub async fn create_upload(key: &FileKey, headers: &FileHeaders) -> Result<MultipartUpload, Problem> {
    let (content_type, others) = (headers.content_type.as_str(), other_metadata(headers));
    let upload = settled(js::create_upload(key.as_str(), content_type, &others)).await;
    upload.map(|upload| MultipartUpload(upload.unchecked_into())).map_err(|thrown| problem(&thrown))
}

/// Goes on with an upload in parts. Whether there is one shows when it is used.
pub fn resume_upload(key: &FileKey, id: &str) -> Result<MultipartUpload, Problem> {
    js::resume_upload(key.as_str(), id).map(MultipartUpload).map_err(|thrown| problem(&thrown))
}

/// An upload in parts.
pub struct MultipartUpload(R2MultipartUpload);

impl MultipartUpload {
    /// What requests name it by.
    pub fn id(&self) -> String {
        self.0.upload_id()
    }

    /// Begins to store a part.
    pub fn send(&self, number: u16, content: &JsValue) -> Result<PartOnItsWay, Problem> {
        let part = self.0.upload_part(number, content).map_err(|thrown| problem(&thrown))?;
        // Should it fail before its arrival is waited for, that is not unheard of.
        forget(part.clone());
        Ok(PartOnItsWay { number, part })
    }

    /// Makes a file of the parts, in whose place any older one goes.
    pub async fn complete(&self, parts: &[Part]) -> Result<Stored, Problem> {
        let unused = (1..=upload::MAX_PARTS).rev().find(|number| parts.iter().all(|part| part.part_number != *number));
        let part = |part: &Part| object(&[("partNumber", part.part_number.into()), ("etag", (&*part.etag).into())]);
        let parts: Array = parts.iter().map(|uploaded| JsValue::from(part(uploaded))).collect();
        match settled(self.0.complete(&parts)).await {
            Ok(file) => Ok(Stored::new(&file).expect("an upload becomes a file")),
            Err(thrown) => Err(self.explained(&thrown, unused).await),
        }
    }

    /// Gives up, and forgets the parts.
    pub async fn abort(&self) -> Result<(), Problem> {
        match settled(self.0.abort()).await {
            Ok(_) => Ok(()),
            Err(thrown) => Err(self.explained(&thrown, Some(upload::MAX_PARTS)).await),
        }
    }

    /// R2 answers the completion and the abortion of an unknown upload with the error that it has for failures of its own.
    /// A part of an unknown upload it refuses in a way that tells; `unused` is the number of one that nobody will miss.
    async fn explained(&self, thrown: &JsValue, unused: Option<u16>) -> Problem {
        if code(thrown) == Some(INTERNAL_ERROR)
            && let Some(number) = unused
            && let Ok(part) = self.0.upload_part(number, &"".into())
            && let Err(told) = settled(Ok(part)).await
            && code(&told) == Some(NO_SUCH_UPLOAD)
        {
            return Problem::upload_not_found();
        }
        problem(thrown)
    }
}

/// A part that is being stored.
pub struct PartOnItsWay {
    number: u16,
    part: Promise,
}

impl PartOnItsWay {
    /// Waits until it is stored, and answers its etag.
    pub async fn arrival(self) -> Result<Part, Problem> {
        let part = settled(Ok(self.part)).await.map_err(|thrown| problem(&thrown))?;
        Ok(Part { part_number: self.number, etag: part.unchecked_into::<UploadedPart>().etag() })
    }
}

/// The conditions of a write, as R2 checks them in one step with it.
#[derive(Debug, Default)]
pub struct OnlyIf {
    headers: Vec<(&'static str, String)>,
    unmodified_since: Option<HttpDate>,
}

impl OnlyIf {
    /// Takes a request's conditions, but for `If-Modified-Since`, which means nothing to a write (RFC 9110, 13.1.3).
    pub fn new(conditions: &Preconditions) -> Result<Self, Problem> {
        let mut only_if = Self::default();
        for (name, tags) in [("If-Match", &conditions.if_match), ("If-None-Match", &conditions.if_none_match)] {
            match tags {
                None => {}
                Some(tags) if tags.are_none() => {
                    return Err(Problem::invalid_parameter(&format!("{name} must be *, or one etag or more")));
                }
                Some(EntityTags::Any) => only_if.headers.push((name, "*".to_owned())),
                Some(EntityTags::OneOf(tags)) => {
                    // A tag of anything else is not one of R2's, and the header must be one that it can parse.
                    let known = |tag: &str| {
                        !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                    };
                    let tags = tags.iter().filter(|(weak, tag)| known(tag) && !(*weak && name == "If-Match"));
                    let tags: Vec<String> = tags.map(|(_, tag)| format!("\"{tag}\"")).collect();
                    match (name, tags.is_empty()) {
                        ("If-Match", true) => return Err(Problem::precondition_failed()),
                        // None of them is any version's: the condition holds.
                        (_, true) => {}
                        (_, false) => only_if.headers.push((name, tags.join(", "))),
                    }
                }
            }
        }
        if conditions.if_match.is_none() {
            only_if.unmodified_since = conditions.if_unmodified_since;
        }
        if only_if.unmodified_since.is_some() && !only_if.headers.is_empty() {
            return Err(Problem::invalid_parameter("If-None-Match and If-Unmodified-Since cannot be used together"));
        }
        Ok(only_if)
    }

    fn option(&self) -> JsValue {
        if let Some(date) = self.unmodified_since {
            // R2 wants it to be older than this; the header, not newer, in whole seconds.
            let before = Date::new(&(date.min(HttpDate::LATEST).milliseconds() + 1000.0).into());
            return object(&[("uploadedBefore", before.into())]).into();
        }
        if self.headers.is_empty() {
            return JsValue::UNDEFINED;
        }
        let headers = Headers::new().expect("empty headers");
        for (name, value) in &self.headers {
            headers.set(name, value).expect("quoted tags are valid in a header");
        }
        headers.into()
    }
}

/// The members of R2's `httpMetadata`, if any, but for `contentType`, which every file has.
fn other_metadata(headers: &FileHeaders) -> JsValue {
    let mut others: Option<Object> = None;
    let mut add = |name, value: JsValue| set(others.get_or_insert_with(Object::new), name, &value);
    for (name, value) in [
        ("cacheControl", &headers.cache_control),
        ("contentDisposition", &headers.content_disposition),
        ("contentEncoding", &headers.content_encoding),
        ("contentLanguage", &headers.content_language),
    ] {
        if let Some(value) = value {
            add(name, value.as_str().into());
        }
    }
    if let Some(date) = headers.expires {
        add("cacheExpiry", Date::new(&date.milliseconds().into()).into());
    }
    others.map_or(JsValue::UNDEFINED, JsValue::from)
}

/// R2 says what went wrong by a number at the end of the text
/// (<https://developers.cloudflare.com/r2/api/error-codes/>).
fn code(thrown: &JsValue) -> Option<u32> {
    let message = edge::thrown_message(thrown);
    message.rsplit_once('(')?.1.strip_suffix(')')?.parse().ok()
}

const INTERNAL_ERROR: u32 = 10_001;
const NO_SUCH_UPLOAD: u32 = 10_024;

fn problem(thrown: &JsValue) -> Problem {
    match code(thrown) {
        Some(10_011) => Problem::invalid_part("a part is smaller than 5 MiB"),
        Some(10_012) => Problem::invalid_parameter("the headers to keep with the file are longer than 8 KiB together"),
        Some(10_020) => Problem::invalid_key_encoding(),
        Some(NO_SUCH_UPLOAD) => Problem::upload_not_found(),
        Some(10_025) => Problem::invalid_part("a part was not uploaded, or has another etag"),
        Some(10_048) => Problem::invalid_part("the parts do not fit together"),
        Some(100_100) => Problem::too_large("a file in one piece", MAX_PUT_LEN),
        _ => FILES.failed(thrown),
    }
}

/// R2's limit for one `put`: 5 GiB less 5 MiB (<https://developers.cloudflare.com/r2/platform/limits/>).
pub const MAX_PUT_LEN: u64 = 5 * 1024 * 1024 * 1024 - 5 * 1024 * 1024;

mod js {
    use super::R2MultipartUpload;
    use js_sys::{Object, Promise};
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen(module = "cloudflare:workers")]
    extern "C" {
        #[wasm_bindgen(catch, js_namespace = ["env", "USER_R2"])]
        pub fn head(key: &str) -> Result<Promise, JsValue>;

        #[wasm_bindgen(catch, js_namespace = ["env", "USER_R2"])]
        pub fn delete(key: &str) -> Result<Promise, JsValue>;

        #[wasm_bindgen(catch, js_namespace = ["env", "USER_R2"])]
        pub fn list(options: &Object) -> Result<Promise, JsValue>;

        #[wasm_bindgen(catch, js_namespace = ["env", "USER_R2"], js_name = resumeMultipartUpload)]
        pub fn resume_upload(key: &str, id: &str) -> Result<R2MultipartUpload, JsValue>;
    }

    /// Each does in one call what would take several: a call from Wasm costs more than what it is for.
    #[wasm_bindgen(module = "/src/bindings/r2.js")]
    extern "C" {
        #[wasm_bindgen(catch)]
        pub fn get(
            key: &str,
            offset: Option<f64>,
            length: Option<f64>,
            suffix: Option<f64>,
            unless: Option<&str>,
        ) -> Result<Promise, JsValue>;

        pub fn kept(file: &JsValue) -> Option<String>;

        #[wasm_bindgen(catch)]
        pub fn put(
            key: &str,
            content: &JsValue,
            content_type: &str,
            others: &JsValue,
            only_if: &JsValue,
        ) -> Result<Promise, JsValue>;

        #[wasm_bindgen(catch, js_name = createUpload)]
        pub fn create_upload(key: &str, content_type: &str, others: &JsValue) -> Result<Promise, JsValue>;

        pub fn stored(file: &JsValue) -> Option<String>;
    }
}
