//! `GET /files?key=` and `HEAD`.

use edge::header::Several;
use shared::{ByteRange, FileHeaders, FileKey, IfRange, Outcome, Preconditions, Problem};
use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, Request, Response, ResponseInit};

use super::conditions;
use crate::bindings::r2::{self, Found, R2Object};
use crate::body::{forget, header};

/// What is asked of each request for a file.
static ASKED: [&str; 5] = {
    let [a, b, c, d] = Preconditions::HEADERS;
    [a, b, c, d, "Range"]
};

/// `GET /files?key=`: the file, or a range of it. Its bytes go from R2 to the client as the runtime's own stream.
pub async fn download(request: &Request, key: &FileKey) -> Result<Response, Problem> {
    let asked = Several::read(request, &ASKED);
    let [conditions @ .., range] = asked.values();
    let conditions = Preconditions::read(conditions);
    let range = wanted_range(range, request, key).await?;
    let mut found = r2::get(key, range, only_unless(&conditions)).await;
    if let (Err(_), Some(range)) = (&found, range) {
        // R2 fails at a range that a file does not have, and does not say how long the file is. Conditions count for more
        // than ranges.
        let now = r2::head(key).await?.ok_or_else(Problem::file_not_found)?;
        if let Some(reply) = refused(&conditions, &now) {
            return reply;
        }
        let size = now.file.size();
        range.of(size).ok_or_else(|| Problem::range_not_satisfiable(size))?;
        // The file has been replaced by one that has the range, or R2 failed for a reason of its own.
        found = r2::get(key, Some(range), only_unless(&conditions)).await;
    }
    let found = found?.ok_or_else(Problem::file_not_found)?;
    if let Some(reply) = refused(&conditions, &found) {
        give_up(&found);
        return reply;
    }
    if !found.has_body {
        // R2 and this Worker do not agree on whether the client has this version. The client gets it.
        let found = r2::get(key, None, None).await?.ok_or_else(Problem::file_not_found)?;
        return Ok(reply(&found, 200, true, None));
    }
    match range.map(|range| range.of(found.file.size())) {
        None => Ok(reply(&found, 200, true, None)),
        Some(Some(bytes)) => Ok(reply(&found, 206, true, Some(bytes))),
        Some(None) => {
            give_up(&found);
            Err(Problem::range_not_satisfiable(found.file.size()))
        }
    }
}

/// `HEAD /files?key=`: the same headers, without a range, which `HEAD` does not have.
pub async fn inspect(request: &Request, key: &FileKey) -> Result<Response, Problem> {
    let conditions = conditions(request);
    let found = r2::head(key).await?.ok_or_else(Problem::file_not_found)?;
    refused(&conditions, &found).unwrap_or_else(|| Ok(reply(&found, 200, false, None)))
}

/// A file's bytes, if there is one.
pub async fn open(key: &FileKey) -> Result<Option<JsValue>, Problem> {
    Ok(r2::get(key, None, None).await?.map(|found| found.file.body()))
}

/// The range that the request asks for, unless it is of a version that is there no longer (`If-Range`): that takes a
/// look at the file first.
async fn wanted_range(range: Option<&str>, request: &Request, key: &FileKey) -> Result<Option<ByteRange>, Problem> {
    let Some(range) = range.and_then(ByteRange::parse) else { return Ok(None) };
    let Some(version) = header(request, "If-Range") else { return Ok(Some(range)) };
    let file = r2::head(key).await?.ok_or_else(Problem::file_not_found)?.file;
    Ok(IfRange::parse(&version).matches(&file.etag(), file.modified()).then_some(range))
}

/// The one version that the client has, where it asks for any other: R2 then spares the bytes. All other conditions are
/// compared here, with what R2 says of the file.
fn only_unless(conditions: &Preconditions) -> Option<&str> {
    let tags = conditions.if_none_match.as_ref()?;
    (conditions.if_match.is_none() && conditions.if_unmodified_since.is_none()).then(|| tags.only_one())?
}

fn refused(conditions: &Preconditions, found: &Found) -> Option<Result<Response, Problem>> {
    if conditions.are_none() {
        return None;
    }
    match conditions.outcome(&found.file.etag(), found.file.modified()) {
        Outcome::Proceed => None,
        Outcome::NotModified => Some(Ok(reply(found, 304, false, None))),
        Outcome::Failed => Some(Err(Problem::precondition_failed())),
    }
}

/// Tells R2 that nobody will read a body.
fn give_up(found: &Found) {
    if let Some(body) = found.file.body().dyn_ref::<ReadableStream>() {
        // A stream that has failed already says so again here, to nobody.
        forget(body.cancel());
    }
}

/// What customers upload is never script on the platform's origin: no sniffing, and a sandbox around it.
const SAFETY: [(&str, &str); 2] = [
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
];

thread_local! {
    /// What most replies begin with. A response has a copy of it, to which it adds its own.
    static BEGINNING: [(u16, ResponseInit); 3] = [200, 206, 304].map(|status| (status, beginning(status)));
}

fn beginning(status: u16) -> ResponseInit {
    let all = [("Cache-Control", "private, no-cache"), ("Vary", edge::VARY), ("Accept-Ranges", "bytes")];
    let without_range = all.into_iter().filter(|(name, _)| status != 304 || *name != "Accept-Ranges");
    let init = ResponseInit::new();
    init.set_status(status);
    init.set_headers(&edge::header::all(without_range.chain(SAFETY)));
    init
}

#[wasm_bindgen(module = "/src/files/download.js")]
extern "C" {
    /// Here, because each value that Wasm holds of JavaScript's, and each call, costs as much as a header.
    fn respond(
        file: &R2Object,
        with_body: bool,
        init: &ResponseInit,
        content_type: Option<&str>,
        first: Option<f64>,
        length: Option<f64>,
        others: Option<&str>,
    ) -> Response;
}

/// A reply about a file, with the bytes of a range if there is one.
fn reply(found: &Found, status: u16, with_body: bool, range: Option<(u64, u64)>) -> Response {
    let Found { file, headers: stored, .. } = found;
    let content_type = (status != 304).then(|| stored.content_type.as_str());
    let (first, length) = range.map(|(first, last)| (edge::number(first), edge::number(last - first + 1))).unzip();
    let others = others(stored, status);
    let others = others.strip_suffix('\n');
    let respond = |init: &ResponseInit| respond(file, with_body, init, content_type, first, length, others);
    if stored.content_encoding.is_some() {
        let init = beginning(status);
        // The bytes are encoded already; the runtime would do it again.
        edge::set(&init, "encodeBody", &"manual".into());
        respond(&init)
    } else {
        BEGINNING.with(|beginning| {
            let (_, init) = beginning.iter().find(|(of, _)| *of == status).expect("a status of files");
            respond(init)
        })
    }
}

/// The headers that few files have, a line each.
fn others(stored: &FileHeaders, status: u16) -> String {
    let mut lines = String::new();
    let mut add = |name: &str, value: &str| lines.extend([name, ":", value, "\n"]);
    if let Some(cache_control) = &stored.cache_control {
        add("Cache-Control", cache_control);
    }
    if let Some(expires) = stored.expires {
        add("Expires", &expires.to_string());
    }
    if status != 304 {
        for (name, value) in [
            ("Content-Disposition", &stored.content_disposition),
            ("Content-Encoding", &stored.content_encoding),
            ("Content-Language", &stored.content_language),
        ] {
            if let Some(value) = value {
                add(name, value);
            }
        }
    }
    lines
}
