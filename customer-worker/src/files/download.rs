//! `GET /files?key=` and `HEAD /files?key=`: download a file.

use shared::files::{FileHeaders, FileKey};
use shared::http::{ByteRange, Evaluation, IfRange, Preconditions, Problem};
use web_sys::{Headers, ReadableStream, Request, Response, ResponseInit};
use worker::Env;
use worker::worker_sys::ext::ResponseInitExt;

use super::conditions;
use crate::bindings::{FileStore, StoredFile, is_r2_etag};
use crate::body::{header, ignore_result};

/// `GET /files?key=`: returns a file, or a range of it. The content is streamed from R2, and never enters Wasm.
pub async fn download(env: &Env, request: &Request, key: &FileKey) -> Result<Response, Problem> {
    let files = FileStore::from_env(env)?;
    let conditions = conditions(request);
    let range = requested_range(&files, request, key).await?;
    let mut result = files.get(key, range, client_etag(&conditions)).await;
    if let (Err(_), Some(range)) = (&result, range) {
        // R2 fails if the range is outside the file, and does not return the file's size. This checks the preconditions
        // first, because they take precedence over ranges.
        let current = files.head(key).await?.ok_or_else(Problem::file_not_found)?;
        if let Some(reply) = conditional_reply(&conditions, &current) {
            return reply;
        }
        let size = current.object.size();
        range.resolve(size).ok_or_else(|| Problem::range_not_satisfiable(size))?;
        // The range is inside the current file: the file was replaced in the meantime, or R2 failed for another reason.
        // Tries once more.
        result = files.get(key, Some(range), client_etag(&conditions)).await;
    }
    let file = result?.ok_or_else(Problem::file_not_found)?;
    if let Some(reply) = conditional_reply(&conditions, &file) {
        cancel_content(&file);
        return reply;
    }
    if file.object.body().is_none() {
        // R2 omitted the content, but `conditional_reply` found that the client needs it. Reads the file again.
        let file = files.get(key, None, None).await?.ok_or_else(Problem::file_not_found)?;
        return Ok(reply(&file, 200, Some(&file.content()?), None));
    }
    match range.map(|range| range.resolve(file.object.size())) {
        None => Ok(reply(&file, 200, Some(&file.content()?), None)),
        Some(Some(range)) => Ok(reply(&file, 206, Some(&file.content()?), Some(range))),
        Some(None) => {
            cancel_content(&file);
            Err(Problem::range_not_satisfiable(file.object.size()))
        }
    }
}

/// `HEAD /files?key=`: returns the headers of `GET`. `Range` has no meaning for `HEAD` (RFC 9110, 14.2).
pub async fn head(env: &Env, request: &Request, key: &FileKey) -> Result<Response, Problem> {
    let file = FileStore::from_env(env)?.head(key).await?.ok_or_else(Problem::file_not_found)?;
    conditional_reply(&conditions(request), &file).unwrap_or_else(|| Ok(reply(&file, 200, None, None)))
}

/// Returns a file's content, if the file exists.
pub async fn open(env: &Env, key: &FileKey) -> Result<Option<ReadableStream>, Problem> {
    FileStore::from_env(env)?.get(key, None, None).await?.map(|file| file.content()).transpose()
}

/// Returns the requested range, unless `If-Range` names another version of the file. If the request has `If-Range`,
/// this reads the file's metadata from R2.
async fn requested_range(files: &FileStore, request: &Request, key: &FileKey) -> Result<Option<ByteRange>, Problem> {
    let range = header(request, "Range");
    let Some(range) = range.as_deref().and_then(ByteRange::parse) else { return Ok(None) };
    let Some(version) = header(request, "If-Range") else { return Ok(Some(range)) };
    let file = files.head(key).await?.ok_or_else(Problem::file_not_found)?;
    Ok(IfRange::parse(&version).matches(&file.object.etag(), file.last_modified()).then_some(range))
}

/// Returns the etag of the version that the client has, if R2 can compare it. R2 then omits the content of that
/// version. Returns `None` if other preconditions must be checked as well, which [`conditional_reply`] does.
fn client_etag(conditions: &Preconditions) -> Option<&str> {
    if conditions.if_match.is_some() || conditions.if_unmodified_since.is_some() {
        return None;
    }
    conditions.if_none_match.as_ref()?.only_one().filter(|tag| is_r2_etag(tag))
}

/// Returns the reply if the request's preconditions do not hold: 304 or 412. Returns `None` if they hold.
fn conditional_reply(conditions: &Preconditions, file: &StoredFile) -> Option<Result<Response, Problem>> {
    if conditions.is_empty() {
        return None;
    }
    match conditions.evaluate(&file.object.etag(), file.last_modified()) {
        Evaluation::Proceed => None,
        Evaluation::NotModified => Some(Ok(reply(file, 304, None, None))),
        Evaluation::Failed => Some(Err(Problem::precondition_failed())),
    }
}

/// Cancels the content, so that R2 does not wait for it to be read.
fn cancel_content(file: &StoredFile) {
    if let Ok(content) = file.content() {
        ignore_result(content.cancel());
    }
}

thread_local! {
    /// The headers of every reply with a file, created once and copied. The sandbox and `nosniff` prevent uploaded
    /// files from running as scripts on the platform's origin.
    static COMMON_HEADERS: Headers = edge::headers([
        ("Vary", edge::VARY),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    ]);
}

/// Creates a reply with a file's headers and its content. `range` is the first and the last byte of the content, if it
/// is only a part of the file.
fn reply(file: &StoredFile, status: u16, content: Option<&ReadableStream>, range: Option<(u64, u64)>) -> Response {
    let StoredFile { object, headers: stored } = file;
    let headers = COMMON_HEADERS.with(Headers::new_with_headers).expect("valid headers");
    let set = |name: &str, value: &str| edge::set_header(&headers, name, value);
    set("ETag", &object.http_etag());
    set("Last-Modified", &file.last_modified().to_string());
    for (name, value) in stored_headers(stored, status) {
        set(name, &value);
    }
    if status != 304 {
        let size = object.size();
        set("Accept-Ranges", "bytes");
        set("Content-Length", &range.map_or(size, |(first, last)| last - first + 1).to_string());
        if let Some((first, last)) = range {
            set("Content-Range", &format!("bytes {first}-{last}/{size}"));
        }
    }
    let mut init = ResponseInit::new();
    init.set_status(status);
    init.set_headers(&headers);
    if stored.content_encoding.is_some() {
        // The content is already encoded. Without this, the runtime would encode it again.
        init.encode_body("manual").expect("a plain object takes any property");
    }
    Response::new_with_opt_readable_stream_and_init(content, &init).expect("a valid status")
}

/// Returns the headers that a file was stored with. A 304 has only those that a cache updates (RFC 9110, 15.4.5).
fn stored_headers(stored: &FileHeaders, status: u16) -> Vec<(&'static str, String)> {
    let cache_control = stored.cache_control.as_deref().unwrap_or("private, no-cache");
    let mut headers = vec![("Cache-Control", cache_control.to_owned())];
    headers.extend(stored.expires.map(|expires| ("Expires", expires.to_string())));
    if status != 304 {
        headers.push(("Content-Type", stored.content_type.as_str().to_owned()));
        for (name, value) in [
            ("Content-Disposition", &stored.content_disposition),
            ("Content-Encoding", &stored.content_encoding),
            ("Content-Language", &stored.content_language),
        ] {
            headers.extend(value.clone().map(|value| (name, value)));
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(headers: &[(&str, &str)]) -> Preconditions {
        Preconditions::read(|name| {
            headers.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn r2_compares_only_a_single_etag() {
        let date = "Sat, 21 Nov 2026 20:00:00 GMT";
        for (headers, expected) in [
            (&[("If-None-Match", "\"a\"")][..], Some("a")),
            (&[("If-None-Match", "\"a\""), ("If-Modified-Since", date)], Some("a")),
            (&[], None),
            (&[("If-None-Match", "*")], None),
            (&[("If-None-Match", "\"*\"")], None),
            (&[("If-None-Match", "\"x,a\"")], None),
            (&[("If-None-Match", "\"\"")], None),
            (&[("If-None-Match", "\"a\", \"b\"")], None),
            (&[("If-None-Match", "\"a\""), ("If-Match", "\"b\"")], None),
            (&[("If-None-Match", "\"a\""), ("If-Unmodified-Since", date)], None),
            (&[("If-Modified-Since", date)], None),
        ] {
            assert_eq!(client_etag(&conditions(headers)), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_304_has_the_headers_that_a_cache_updates() {
        let stored = FileHeaders { content_language: Some("en".to_owned()), ..FileHeaders::default() };
        let names = |status| stored_headers(&stored, status).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(304), ["Cache-Control"]);
        assert_eq!(names(200), ["Cache-Control", "Content-Type", "Content-Language"]);
        assert_eq!(stored_headers(&stored, 304)[0].1, "private, no-cache");
        let stored = FileHeaders { cache_control: Some("public".to_owned()), ..FileHeaders::default() };
        assert_eq!(stored_headers(&stored, 200)[0].1, "public");
    }
}
