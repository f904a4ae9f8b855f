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
use crate::body::ignore_result;

/// R2's limit for one `put`: 5 GiB minus 5 MiB (<https://developers.cloudflare.com/r2/platform/limits/>).
pub const MAX_PUT_LEN: u64 = 5 * 1024 * 1024 * 1024 - 5 * 1024 * 1024;

/// The customer's files.
#[derive(Clone)]
pub struct FileStore(Bucket);

/// A file in R2.
pub struct StoredFile {
    /// R2's object, with its content if that was requested.
    pub object: worker::Object,
    /// The headers that the file was stored with.
    pub headers: FileHeaders,
}

/// A file that R2 has just stored.
pub struct PutResult {
    /// The file's size in bytes.
    pub size: u64,
    /// R2's etag, without quotation marks.
    pub etag: String,
}

impl FileStore {
    /// Returns the store. Fails if the customer has no R2 bucket.
    pub fn from_env(env: &Env) -> Result<Self, Problem> {
        super::lookup(env, "USER_R2", "head", "file storage").map(Self)
    }

    /// Returns a file with its content or a range of it. The content is omitted if the file's etag is `client_etag`:
    /// the client then already has this version.
    pub async fn get(
        &self,
        key: &FileKey,
        range: Option<ByteRange>,
        client_etag: Option<&str>,
    ) -> Result<Option<StoredFile>, Problem> {
        let mut get = self.0.get(key.as_str());
        if let Some(range) = range {
            get = get.range(r2_range(range));
        }
        if let Some(etag) = client_etag {
            get = get.only_if(Conditional { etag_does_not_match: Some(etag.to_owned()), ..Conditional::default() });
        }
        Ok(get.execute().await.map_err(problem_from_error)?.map(StoredFile::new))
    }

    /// Returns a file without its content.
    pub async fn head(&self, key: &FileKey) -> Result<Option<StoredFile>, Problem> {
        Ok(self.0.head(key.as_str()).await.map_err(problem_from_error)?.map(StoredFile::new))
    }

    /// Stores a file if the condition holds. Returns `None` if it does not hold. The content is a stream of known
    /// length, a `Blob`, bytes or text.
    ///
    /// `worker::Bucket::put` is not used, because it accepts no `Uint8Array`, no `Blob`, and no conditions as headers.
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
        self.0.delete(key.as_str()).await.map_err(problem_from_error)
    }

    /// Lists a page of files.
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
        let listed = list.execute().await.map_err(problem_from_error)?;
        let listed_file = |object: worker::Object| ListedFile {
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
            files: listed.objects().into_iter().map(listed_file).collect(),
            prefixes: listed.delimited_prefixes(),
            truncated: cursor.is_some(),
            cursor: cursor.map(|cursor| Cursor::encode(&cursor, page.listing())),
        })
    }

    /// Counts the files and adds up their sizes, by listing them.
    pub async fn count(&self) -> Result<FileTotals, Problem> {
        let mut totals = FileTotals::default();
        let mut cursor: Option<String> = None;
        loop {
            let mut list = self.0.list();
            if let Some(cursor) = cursor {
                list = list.cursor(cursor);
            }
            let listed = list.execute().await.map_err(problem_from_error)?;
            let objects = listed.objects();
            totals.count += objects.len() as u64;
            totals.total_size += objects.iter().map(worker::Object::size).sum::<u64>();
            cursor = listed.cursor().filter(|_| listed.truncated());
            if cursor.is_none() {
                return Ok(totals);
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

    /// Returns a handle to a multipart upload. This does not check that the upload exists: if it does not, the handle's
    /// methods fail.
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

    /// Returns the time at which the file was stored, in whole seconds.
    pub fn last_modified(&self) -> HttpDate {
        http_date(&self.object.uploaded())
    }

    /// Returns the content as the runtime's own stream. Fails if the file was read without its content.
    pub fn content(&self) -> Result<ReadableStream, Problem> {
        match self.object.body().map(worker::ObjectBody::response_body) {
            Some(Ok(ResponseBody::Stream(stream))) => Ok(stream),
            _ => Err(Problem::storage_unavailable("R2 returned a file without its content".to_owned())),
        }
    }
}

impl PutResult {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "R2 objects have at most 5 TiB, far below 2^53"
    )]
    fn new(stored: &JsValue) -> Result<Self, Problem> {
        let stored: &R2Object = stored.unchecked_ref();
        let result = || Ok(Self { size: stored.size()? as u64, etag: stored.etag()? });
        result().map_err(|thrown: JsValue| problem(&thrown))
    }
}

/// A multipart upload. `worker::MultipartUpload` is not used, because it does not accept a `Uint8Array` as a part.
pub struct MultipartUpload(R2MultipartUpload);

impl MultipartUpload {
    /// Returns the upload's id, R2's `uploadId`.
    pub fn id(&self) -> Result<String, Problem> {
        self.0.upload_id().map_err(|thrown| problem(&thrown))
    }

    /// Starts storing a part. [`PendingPart::finish`] waits until it is stored.
    pub fn upload_part(&self, number: u16, content: JsValue) -> Result<PendingPart, Problem> {
        let stored = self.0.upload_part(number, content).map_err(|thrown| problem(&thrown))?;
        // If the promise rejects before `finish` awaits it, the runtime must not report an unhandled rejection.
        ignore_result(stored.clone());
        Ok(PendingPart { number, stored })
    }

    /// Completes the upload: creates the file from the parts. The file replaces an older one with the same key.
    pub async fn complete(&self, parts: &[UploadedPart]) -> Result<PutResult, Problem> {
        let unused_number =
            (1..=multipart_upload::MAX_PARTS).rev().find(|number| parts.iter().all(|part| part.part_number != *number));
        let part = |part: &UploadedPart| {
            edge::object(&[("partNumber", part.part_number.into()), ("etag", (&*part.etag).into())]).into()
        };
        match edge::await_promise(self.0.complete(parts.iter().map(part).collect())).await {
            Ok(stored) => PutResult::new(&stored),
            Err(thrown) => Err(self.explain(&thrown, unused_number).await),
        }
    }

    /// Aborts the upload, and deletes its parts.
    pub async fn abort(&self) -> Result<(), Problem> {
        match edge::await_promise(self.0.abort()).await {
            Ok(_) => Ok(()),
            Err(thrown) => Err(self.explain(&thrown, Some(multipart_upload::MAX_PARTS)).await),
        }
    }

    /// Converts an error of `complete` or `abort` to a problem.
    ///
    /// If the upload does not exist, both fail with R2's code for internal errors. To find out whether it exists, this
    /// tries to upload a part, which fails with `NO_SUCH_UPLOAD` if it does not. `unused_number` is a part number that
    /// the upload does not use.
    async fn explain(&self, thrown: &JsValue, unused_number: Option<u16>) -> Problem {
        if error_code(&edge::error_message(thrown)) == Some(INTERNAL_ERROR)
            && let Some(number) = unused_number
            && let Err(thrown) = edge::await_promise(self.0.upload_part(number, "".into())).await
            && error_code(&edge::error_message(&thrown)) == Some(NO_SUCH_UPLOAD)
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
    /// Waits until the part is stored.
    pub async fn finish(self) -> Result<UploadedPart, Problem> {
        let part = async {
            let part: R2UploadedPart = edge::await_promise(Ok(self.stored)).await?.unchecked_into();
            Ok(UploadedPart { part_number: self.number, etag: part.etag()? })
        };
        part.await.map_err(|thrown: JsValue| problem(&thrown))
    }
}

/// Converts a range to R2's type. Positions are limited to 2^53 - 1, which is beyond the end of every file.
fn r2_range(range: ByteRange) -> Range {
    let clamp = |position: u64| position.min((1 << 53) - 1);
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
        // Dates before 1970, which the platform does not store, become the beginning of 1970: both are in the past.
        expires: metadata.cache_expiry.as_ref().map(http_date),
    })
}

fn http_date(date: &worker::Date) -> HttpDate {
    HttpDate::from_milliseconds(date.as_millis())
}

fn problem_from_error(error: worker::Error) -> Problem {
    problem(&error.into())
}

fn problem(thrown: &JsValue) -> Problem {
    problem_from_message(edge::error_message(thrown))
}

const INTERNAL_ERROR: u32 = 10_001;
const NO_SUCH_UPLOAD: u32 = 10_024;

fn problem_from_message(message: String) -> Problem {
    match error_code(&message) {
        Some(10_011) => Problem::invalid_part("a part is smaller than 5 MiB"),
        Some(10_012) => {
            Problem::invalid_parameter("the headers that are stored with a file must have at most 8 KiB in total")
        }
        Some(10_020) => Problem::invalid_key_encoding(),
        Some(NO_SUCH_UPLOAD) => Problem::upload_not_found(),
        Some(10_025) => Problem::invalid_part("a part was not uploaded, or has another etag"),
        Some(10_048) => Problem::invalid_part("the parts have different sizes"),
        Some(100_100) => Problem::too_large("a file that is not uploaded in parts", MAX_PUT_LEN),
        _ => Problem::storage_unavailable(message),
    }
}

/// Parses the error code, in parentheses at the end of R2's messages
/// (<https://developers.cloudflare.com/r2/api/error-codes/>).
fn error_code(message: &str) -> Option<u32> {
    message.rsplit_once('(')?.1.strip_suffix(')')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r2_errors_are_converted_by_their_code() {
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
            assert_eq!(problem_from_message(message.to_owned()).code().name(), expected, "{message}");
        }
    }

    #[test]
    fn ranges_are_limited_to_exact_integers() {
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
