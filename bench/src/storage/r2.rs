//! An R2 bucket in workerd's protocol: an operation is JSON in a header or before the content, and so is the answer
//! (<https://github.com/cloudflare/workerd/blob/main/src/workerd/api/r2-api.capnp>). It has what the measured routes
//! need: no deletion, no ranges, one condition, and lists of one page.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Response, StatusCode, header, request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Operation, Reply, body};

const REQUEST_HEADER: &str = "CF-R2-Request";
const METADATA_SIZE_HEADER: &str = "CF-R2-Metadata-Size";
const ERROR_HEADER: &str = "CF-R2-Error";

/// When every object was uploaded, in milliseconds since 1970. It is constant, so that both sides reply the same.
const UPLOADED: u64 = 1_795_000_000_000;

/// Objects by key, and multipart uploads by id.
#[derive(Debug, Default)]
pub struct Bucket {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
}

#[derive(Debug)]
struct Object {
    size: usize,
    /// Empty if the object was uploaded.
    content: Bytes,
    http_fields: Value,
}

#[derive(Debug)]
struct Upload {
    size: usize,
    http_fields: Value,
}

/// An operation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    method: String,
    #[serde(default)]
    object: String,
    #[serde(default)]
    http_fields: Value,
    only_if: Option<OnlyIf>,
    #[serde(default)]
    upload_id: String,
    #[serde(default)]
    prefix: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OnlyIf {
    #[serde(default)]
    etag_does_not_match: Vec<Etag>,
}

#[derive(Debug, Deserialize)]
struct Etag {
    value: Option<String>,
}

/// How many bytes of a request's body are the operation. The content is behind them.
pub fn metadata_size(head: &request::Parts) -> usize {
    head.headers.get(METADATA_SIZE_HEADER).and_then(|size| size.to_str().ok()?.parse().ok()).unwrap_or_default()
}

impl Bucket {
    pub fn seed(&mut self, key: &str, content: Bytes) {
        let http_fields = json!({"contentType": "application/octet-stream"});
        self.objects.insert(key.to_owned(), Object { size: content.len(), content, http_fields });
    }

    /// Answers an operation with a content of `size` bytes.
    pub fn answer(&mut self, head: &request::Parts, metadata: &[u8], size: usize) -> (Operation, Reply) {
        let call = head.headers.get(REQUEST_HEADER).map_or(metadata, HeaderValue::as_bytes);
        let call: Call = match serde_json::from_slice(call) {
            Ok(call) => call,
            Err(error) => return (Operation::R2Read, unknown_call(&error.to_string())),
        };
        match &*call.method {
            "get" => (Operation::R2Read, self.get(&call)),
            "list" => (Operation::R2List, self.list(&call)),
            "put" => (Operation::R2Write, self.put(call.object, size, call.http_fields)),
            "createMultipartUpload" => (Operation::R2Write, self.create_upload(call.http_fields)),
            "uploadPart" => (Operation::R2Write, self.upload_part(&call, size)),
            "completeMultipartUpload" => (Operation::R2Write, self.complete_upload(call)),
            method => (Operation::R2Read, unknown_call(method)),
        }
    }

    fn get(&self, call: &Call) -> Reply {
        let Some(object) = self.objects.get(&call.object) else {
            return failure(StatusCode::NOT_FOUND, 10_007, "The specified key does not exist.");
        };
        let metadata = object.described(&call.object).to_string();
        let excluded = |only_if: &OnlyIf| {
            only_if
                .etag_does_not_match
                .iter()
                .any(|tag| tag.value.as_ref().is_none_or(|value| *value == etag(object.size)))
        };
        if call.only_if.as_ref().is_some_and(excluded) {
            let mut reply = failure(StatusCode::PRECONDITION_FAILED, 10_031, "The condition does not hold.");
            reply.headers_mut().insert(METADATA_SIZE_HEADER, metadata.len().into());
            *reply.body_mut() = body(metadata);
            return reply;
        }
        let mut reply = with_metadata(metadata.len());
        reply.headers_mut().insert(header::CONTENT_LENGTH, (metadata.len() + object.content.len()).into());
        let frames = [metadata.into(), object.content.clone()].map(|bytes| Ok(Frame::data(bytes)));
        *reply.body_mut() = StreamBody::new(stream::iter(frames)).boxed();
        reply
    }

    fn put(&mut self, key: String, size: usize, http_fields: Value) -> Reply {
        let object = Object { size, content: Bytes::new(), http_fields };
        let reply = success(&object.described(&key));
        self.objects.insert(key, object);
        reply
    }

    fn create_upload(&mut self, http_fields: Value) -> Reply {
        let id = format!("upload-{}", self.uploads.len());
        self.uploads.insert(id.clone(), Upload { size: 0, http_fields });
        success(&json!({"uploadId": id}))
    }

    fn upload_part(&mut self, call: &Call, size: usize) -> Reply {
        let Some(upload) = self.uploads.get_mut(&call.upload_id) else { return no_such_upload() };
        upload.size += size;
        success(&json!({"etag": etag(size)}))
    }

    fn complete_upload(&mut self, call: Call) -> Reply {
        let Some(Upload { size, http_fields }) = self.uploads.remove(&call.upload_id) else { return no_such_upload() };
        self.put(call.object, size, http_fields)
    }

    fn list(&self, call: &Call) -> Reply {
        let listed = self.objects.iter().filter(|(key, _)| key.starts_with(&call.prefix));
        let described = |(key, object): (&String, &Object)| {
            let mut described = object.described(key);
            described["httpFields"] = json!({});
            described
        };
        let objects: Vec<Value> = listed.map(described).collect();
        success(&json!({"objects": objects, "truncated": false, "delimitedPrefixes": []}))
    }
}

impl Object {
    fn described(&self, key: &str) -> Value {
        let http_fields = if self.http_fields.is_null() { json!({}) } else { self.http_fields.clone() };
        let etag = etag(self.size);
        json!({
            "name": key,
            "version": etag,
            "size": self.size.to_string(),
            "etag": etag,
            "uploaded": UPLOADED.to_string(),
            "httpFields": http_fields,
            "customFields": [],
            "checksums": {"0": etag},
        })
    }
}

/// The etag of an object of `size` bytes. R2 hashes the content, which would take processor time from the load.
#[must_use]
pub fn etag(size: usize) -> String {
    format!("{size:032x}")
}

fn success(answer: &Value) -> Reply {
    let answer = answer.to_string();
    let mut reply = with_metadata(answer.len());
    *reply.body_mut() = body(answer);
    reply
}

fn with_metadata(size: usize) -> Reply {
    let mut reply = Response::new(body(""));
    reply.headers_mut().insert(METADATA_SIZE_HEADER, size.into());
    reply
}

fn no_such_upload() -> Reply {
    failure(StatusCode::NOT_FOUND, 10_024, "The specified multipart upload does not exist.")
}

/// An operation that this bucket does not have: the measured routes need none of them.
fn unknown_call(what: &str) -> Reply {
    eprintln!("warning: unknown R2 operation: {what}");
    failure(StatusCode::BAD_REQUEST, 10_029, "unknown operation")
}

fn failure(status: StatusCode, code: u32, message: &str) -> Reply {
    let error = json!({"version": 1, "v4code": code, "message": message}).to_string();
    let mut reply = Response::new(body(""));
    *reply.status_mut() = status;
    let error = HeaderValue::from_str(&error).expect("the messages are ASCII");
    reply.headers_mut().insert(ERROR_HEADER, error);
    reply
}
