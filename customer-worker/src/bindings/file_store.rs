//! The customer's R2 bucket (<https://developers.cloudflare.com/r2/api/workers/workers-api-reference/>).

use js_sys::{Date, Object, Promise};
use shared::customer::FileTotals;
use shared::files::{
    FileHeaders, FileKey, FileList, FilesPage, ListedFile, StoredMetadata, UploadedPart, multipart_upload,
};
use shared::http::{ByteRange, Cursor, HttpDate, Problem};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::ReadableStream;
use worker::worker_sys::{R2Bucket, R2MultipartUpload, R2Object, R2UploadedPart};
use worker::{Bucket, Conditional, DateInit, Env, HttpMetadata, Include, Range, ResponseBody};

use super::WriteCondition;
use crate::body::ignore_outcome;

/// R2's limit for one `put`: 5 GiB less 5 MiB (<https://developers.cloudflare.com/r2/platform/limits/>).
pub const MAX_PUT_LEN: u64 = 5 * 1024 * 1024 * 1024 - 5 * 1024 * 1024;

/// The files.
#[derive(Clone)]
pub struct FileStore(Bucket);

/// A file that was found.
pub struct StoredFile {
    /// What R2 knows of it, with its content if that was asked for.
    pub object: worker::Object,
    /// The headers that it was stored with.
    pub headers: FileHeaders,
}

/// What R2 says of a file that it has just stored.
pub struct PutResult {
    /// Bytes.
    pub size: u64,
    /// R2's own, unquoted.
    pub etag: String,
}

impl FileStore {
    /// The store, if the customer has one.
    pub fn from_env(env: &Env) -> Result<Self, Problem> {
        super::lookup(env, "USER_R2", "head", "file storage").map(Self)
    }

    /// A file with its content, or with a range of it. Without its content if it is the version `unless`.
    pub async fn get(
        &self,
        key: &FileKey,
        range: Option<ByteRange>,
        unless: Option<&str>,
    ) -> Result<Option<StoredFile>, Problem> {
        let mut get = self.0.get(key.as_str());
        if let Some(range) = range {
            get = get.range(r2_range(range));
        }
        if let Some(etag) = unless {
            get = get.only_if(Conditional { etag_does_not_match: Some(etag.to_owned()), ..Conditional::default() });
        }
        Ok(get.execute().await.map_err(failure)?.map(StoredFile::new))
    }

    /// A file without its content.
    pub async fn head(&self, key: &FileKey) -> Result<Option<StoredFile>, Problem> {
        Ok(self.0.head(key.as_str()).await.map_err(failure)?.map(StoredFile::new))
    }

    /// Stores a file, if the condition holds; `None` if it does not. The content is anything that R2 takes: a stream of
    /// known length, a `Blob`, bytes, text.
    ///
    /// With the raw type: `worker`'s takes no `Uint8Array` and no `Blob`, and no conditions as headers.
    pub async fn put(
        &self,
        key: &FileKey,
        content: JsValue,
        headers: &FileHeaders,
        condition: &WriteCondition,
    ) -> Result<Option<PutResult>, Problem> {
        let options =
            edge::object(&[("httpMetadata", http_metadata(headers).into()), ("onlyIf", condition.to_only_if())]);
        let stored = edge::await_promise(self.raw().put(key.as_str().to_owned(), content, options.into())).await;
        let stored = stored.map_err(|thrown| problem(&thrown))?;
        if stored.is_null() { Ok(None) } else { PutResult::new(&stored).map(Some) }
    }

    /// Deletes a file, if it exists.
    pub async fn delete(&self, key: &FileKey) -> Result<(), Problem> {
        self.0.delete(key.as_str()).await.map_err(failure)
    }

    /// Lists files.
    pub async fn list(&self, page: &FilesPage) -> Result<FileList, Problem> {
        let mut list = self.0.list().limit(page.limit);
        if !page.prefix.is_empty() {
            list = list.prefix(&*page.prefix);
        }
        if let Some(delimiter) = &page.delimiter {
            list = list.delimiter(delimiter);
        }
        if let Some(cursor) = &page.cursor {
            list = list.cursor(cursor.as_str());
        }
        if page.content_type {
            list = list.include(vec![Include::HttpMetadata]);
        }
        let listed = list.execute().await.map_err(failure)?;
        let file = |object: worker::Object| ListedFile {
            key: object.key(),
            size: object.size(),
            uploaded: Date::from(object.uploaded()).to_iso_string().into(),
            etag: object.etag(),
            content_type: page
                .content_type
                .then(|| stored_headers(object.http_metadata()).content_type.as_str().to_owned()),
        };
        let cursor = listed.cursor().filter(|_| listed.truncated());
        Ok(FileList {
            files: listed.objects().into_iter().map(file).collect(),
            prefixes: listed.delimited_prefixes(),
            truncated: cursor.is_some(),
            cursor: cursor.map(|cursor| Cursor::encode(&cursor, page.listing())),
        })
    }

    /// The number of files and the sum of their sizes.
    pub async fn count(&self) -> Result<FileTotals, Problem> {
        let mut counted = FileTotals::default();
        let mut cursor: Option<String> = None;
        loop {
            let mut list = self.0.list();
            if let Some(cursor) = cursor {
                list = list.cursor(cursor);
            }
            let listed = list.execute().await.map_err(failure)?;
            let objects = listed.objects();
            counted.count += objects.len() as u64;
            counted.total_size += objects.iter().map(worker::Object::size).sum::<u64>();
            cursor = listed.cursor().filter(|_| listed.truncated());
            if cursor.is_none() {
                return Ok(counted);
            }
        }
    }

    /// Starts a multipart upload.
    pub async fn create_upload(&self, key: &FileKey, headers: &FileHeaders) -> Result<MultipartUpload, Problem> {
        let options = edge::object(&[("httpMetadata", http_metadata(headers).into())]);
        let upload = self.raw().create_multipart_upload(key.as_str().to_owned(), options.into());
        let upload = edge::await_promise(upload).await.map_err(|thrown| problem(&thrown))?;
        Ok(MultipartUpload(upload.unchecked_into()))
    }

    /// Continues a multipart upload. Whether it exists shows when it is used.
    pub fn resume_upload(&self, key: &FileKey, id: &str) -> Result<MultipartUpload, Problem> {
        let upload = self.raw().resume_multipart_upload(key.as_str().to_owned(), id.to_owned());
        upload.map(|upload| MultipartUpload(upload.unchecked_into())).map_err(|thrown| problem(&thrown))
    }

    fn raw(&self) -> &R2Bucket {
        self.0.as_ref().unchecked_ref()
    }
}

impl StoredFile {
    fn new(object: worker::Object) -> Self {
        let headers = stored_headers(object.http_metadata());
        Self { object, headers }
    }

    /// The second in which it was stored.
    pub fn modified(&self) -> HttpDate {
        http_date(&self.object.uploaded())
    }

    /// Its content as the runtime's own stream. An error if it came without.
    pub fn content(&self) -> Result<ReadableStream, Problem> {
        match self.object.body().map(worker::ObjectBody::response_body) {
            Some(Ok(ResponseBody::Stream(stream))) => Ok(stream),
            _ => Err(Problem::storage_unavailable("a file came without its content".to_owned())),
        }
    }
}

impl PutResult {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "R2 ends at 5 TiB, far below 2^53")]
    fn new(stored: &JsValue) -> Result<Self, Problem> {
        let stored: &R2Object = stored.unchecked_ref();
        let result = || Ok(Self { size: stored.size()? as u64, etag: stored.etag()? });
        result().map_err(|thrown: JsValue| problem(&thrown))
    }
}

/// A multipart upload. With the raw type, because `worker`'s takes no `Uint8Array` as a part.
pub struct MultipartUpload(R2MultipartUpload);

impl MultipartUpload {
    /// The id that requests name it by.
    pub fn id(&self) -> Result<String, Problem> {
        self.0.upload_id().map_err(|thrown| problem(&thrown))
    }

    /// Starts to store a part.
    pub fn send(&self, number: u16, content: JsValue) -> Result<PendingPart, Problem> {
        let stored = self.0.upload_part(number, content).map_err(|thrown| problem(&thrown))?;
        // A failure before anybody waits for it must not count as unhandled.
        ignore_outcome(stored.clone());
        Ok(PendingPart { number, stored })
    }

    /// Makes a file of the parts. It replaces an older one.
    pub async fn complete(&self, parts: &[UploadedPart]) -> Result<PutResult, Problem> {
        let unused =
            (1..=multipart_upload::MAX_PARTS).rev().find(|number| parts.iter().all(|part| part.part_number != *number));
        let part = |part: &UploadedPart| {
            edge::object(&[("partNumber", part.part_number.into()), ("etag", (&*part.etag).into())]).into()
        };
        match edge::await_promise(self.0.complete(parts.iter().map(part).collect())).await {
            Ok(stored) => PutResult::new(&stored),
            Err(thrown) => Err(self.explain(&thrown, unused).await),
        }
    }

    /// Aborts it, and deletes the parts.
    pub async fn abort(&self) -> Result<(), Problem> {
        match edge::await_promise(self.0.abort()).await {
            Ok(_) => Ok(()),
            Err(thrown) => Err(self.explain(&thrown, Some(multipart_upload::MAX_PARTS)).await),
        }
    }

    /// R2 answers the completion and the abortion of an unknown upload with its error for internal failures. It refuses a
    /// part of an unknown upload with a telling error; `unused` is a part number that this upload does not need.
    async fn explain(&self, thrown: &JsValue, unused: Option<u16>) -> Problem {
        if code(&edge::error_message(thrown)) == Some(INTERNAL_ERROR)
            && let Some(number) = unused
            && let Err(refusal) = edge::await_promise(self.0.upload_part(number, "".into())).await
            && code(&edge::error_message(&refusal)) == Some(NO_SUCH_UPLOAD)
        {
            return Problem::upload_not_found();
        }
        problem(thrown)
    }
}

/// A part that is being stored.
pub struct PendingPart {
    number: u16,
    stored: Promise,
}

impl PendingPart {
    /// Waits until it is stored.
    pub async fn finish(self) -> Result<UploadedPart, Problem> {
        let part = async {
            let part: R2UploadedPart = edge::await_promise(Ok(self.stored)).await?.unchecked_into();
            Ok(UploadedPart { part_number: self.number, etag: part.etag()? })
        };
        part.await.map_err(|thrown: JsValue| problem(&thrown))
    }
}

/// A range for R2. Positions beyond what JavaScript can count to are beyond every file.
fn r2_range(range: ByteRange) -> Range {
    let clamp = |count: u64| count.min((1 << 53) - 1);
    match range {
        ByteRange::From(first) => Range::OffsetToEnd { offset: clamp(first) },
        ByteRange::Between(first, last) => {
            Range::OffsetWithLength { offset: clamp(first), length: clamp((last - first).saturating_add(1)) }
        }
        ByteRange::Last(length) => Range::Suffix { suffix: clamp(length) },
    }
}

fn http_metadata(headers: &FileHeaders) -> Object {
    HttpMetadata {
        content_type: Some(headers.content_type.as_str().to_owned()),
        content_language: headers.content_language.clone(),
        content_disposition: headers.content_disposition.clone(),
        content_encoding: headers.content_encoding.clone(),
        cache_control: headers.cache_control.clone(),
        cache_expiry: headers.expires.map(|date| DateInit::Millis(date.milliseconds()).into()),
    }
    .into()
}

fn stored_headers(metadata: HttpMetadata) -> FileHeaders {
    FileHeaders::from_metadata(StoredMetadata {
        content_type: metadata.content_type,
        cache_control: metadata.cache_control,
        content_disposition: metadata.content_disposition,
        content_encoding: metadata.content_encoding,
        content_language: metadata.content_language,
        // Dates before 1970, which are not ours, count as its beginning: they are in the past.
        expires: metadata.cache_expiry.as_ref().map(http_date),
    })
}

fn http_date(date: &worker::Date) -> HttpDate {
    HttpDate::from_milliseconds(date.as_millis())
}

fn failure(error: worker::Error) -> Problem {
    problem(&error.into())
}

fn problem(thrown: &JsValue) -> Problem {
    problem_of_message(edge::error_message(thrown))
}

const INTERNAL_ERROR: u32 = 10_001;
const NO_SUCH_UPLOAD: u32 = 10_024;

fn problem_of_message(message: String) -> Problem {
    match code(&message) {
        Some(10_011) => Problem::invalid_part("a part is smaller than 5 MiB"),
        Some(10_012) => Problem::invalid_parameter("the headers to keep with the file are longer than 8 KiB together"),
        Some(10_020) => Problem::invalid_key_encoding(),
        Some(NO_SUCH_UPLOAD) => Problem::upload_not_found(),
        Some(10_025) => Problem::invalid_part("a part was not uploaded, or has another etag"),
        Some(10_048) => Problem::invalid_part("the parts do not fit together"),
        Some(100_100) => Problem::too_large("a file in one piece", MAX_PUT_LEN),
        _ => Problem::storage_unavailable(message),
    }
}

/// The number at the end of R2's messages (<https://developers.cloudflare.com/r2/api/error-codes/>).
fn code(message: &str) -> Option<u32> {
    message.rsplit_once('(')?.1.strip_suffix(')')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r2s_errors_become_problems() {
        for (message, expected) in [
            ("uploadPart: The specified multipart upload does not exist. (10024)", "upload_not_found"),
            ("completeMultipartUpload: too small (10011)", "invalid_part"),
            ("put: metadata too large (10012)", "invalid_parameter"),
            ("put: (10020)", "invalid_key"),
            ("put: (100100)", "too_large"),
            ("get: We encountered an internal error. Please try again. (10001)", "storage_unavailable"),
            ("Network connection lost.", "storage_unavailable"),
            ("(10024) at the start", "storage_unavailable"),
        ] {
            assert_eq!(problem_of_message(message.to_owned()).code().name(), expected, "{message}");
        }
    }

    #[test]
    fn ranges_stay_within_what_r2_counts() {
        const MAX: u64 = (1 << 53) - 1;
        for (range, expected) in [
            (ByteRange::From(5), Range::OffsetToEnd { offset: 5 }),
            (ByteRange::From(u64::MAX), Range::OffsetToEnd { offset: MAX }),
            (ByteRange::Between(2, 2), Range::OffsetWithLength { offset: 2, length: 1 }),
            (ByteRange::Between(0, u64::MAX), Range::OffsetWithLength { offset: 0, length: MAX }),
            (ByteRange::Last(u64::MAX), Range::Suffix { suffix: MAX }),
        ] {
            assert_eq!(r2_range(range), expected);
        }
    }
}
