//! An R2 bucket that speaks workerd's protocol
//! (<https://github.com/cloudflare/workerd/blob/main/src/workerd/api/r2-api.capnp>). A request is JSON in a header or
//! before the content. A reply is JSON before the content. The bucket supports only what the measured routes need. It
//! has no deletion and no ranges, only one precondition, and lists of one page.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Response, StatusCode, header, request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reply::{StorageOperation, StorageReply, body};

const REQUEST_HEADER: &str = "CF-R2-Request";
const METADATA_SIZE_HEADER: &str = "CF-R2-Metadata-Size";
const ERROR_HEADER: &str = "CF-R2-Error";

/// The upload time of every object, in milliseconds since 1970. It is constant, so that both sides send the same reply.
const UPLOADED: u64 = 1_795_000_000_000;

/// Objects by key, and multipart uploads by id.
#[derive(Debug, Default)]
pub struct SimulatedBucket {
    objects: BTreeMap<String, SimulatedObject>,
    uploads: BTreeMap<String, OpenUpload>,
}

#[derive(Debug)]
struct SimulatedObject {
    size: usize,
    /// Empty if the object was uploaded by a request: only seeded content is kept.
    content: Bytes,
    http_fields: Value,
}

#[derive(Debug)]
struct OpenUpload {
    size: usize,
    http_fields: Value,
}

/// A request to the bucket.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BucketRequest {
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

/// Returns how many bytes at the start of a request's body are JSON. The content follows.
pub fn metadata_size(head: &request::Parts) -> usize {
    head.headers.get(METADATA_SIZE_HEADER).and_then(|size| size.to_str().ok()?.parse().ok()).unwrap_or_default()
}

impl SimulatedBucket {
    /// Stores an object with its content.
    pub fn seed(&mut self, key: &str, content: Bytes) {
        let http_fields = json!({"contentType": "application/octet-stream"});
        self.objects.insert(key.to_owned(), SimulatedObject { size: content.len(), content, http_fields });
    }

    /// Handles a request with a content of `size` bytes.
    pub fn handle(&mut self, head: &request::Parts, metadata: &[u8], size: usize) -> (StorageOperation, StorageReply) {
        let request = head.headers.get(REQUEST_HEADER).map_or(metadata, HeaderValue::as_bytes);
        let request: BucketRequest = match serde_json::from_slice(request) {
            Ok(request) => request,
            Err(error) => return (StorageOperation::R2Read, unsupported_request(&error.to_string())),
        };
        match &*request.method {
            "get" => (StorageOperation::R2Read, self.get(&request)),
            "list" => (StorageOperation::R2List, self.list(&request)),
            "put" => (StorageOperation::R2Write, self.put(request.object, size, request.http_fields)),
            "createMultipartUpload" => (StorageOperation::R2Write, self.create_upload(request.http_fields)),
            "uploadPart" => (StorageOperation::R2Write, self.upload_part(&request, size)),
            "completeMultipartUpload" => (StorageOperation::R2Write, self.complete_upload(request)),
            method => (StorageOperation::R2Read, unsupported_request(method)),
        }
    }

    fn get(&self, request: &BucketRequest) -> StorageReply {
        let Some(object) = self.objects.get(&request.object) else {
            return failure(StatusCode::NOT_FOUND, 10_007, "The specified key does not exist.");
        };
        let metadata = object.to_json(&request.object).to_string();
        let excluded = |only_if: &OnlyIf| {
            only_if
                .etag_does_not_match
                .iter()
                .any(|tag| tag.value.as_ref().is_none_or(|value| *value == etag(object.size)))
        };
        if request.only_if.as_ref().is_some_and(excluded) {
            let mut reply = failure(StatusCode::PRECONDITION_FAILED, 10_031, "The precondition failed.");
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

    fn put(&mut self, key: String, size: usize, http_fields: Value) -> StorageReply {
        let object = SimulatedObject { size, content: Bytes::new(), http_fields };
        let reply = success(&object.to_json(&key));
        self.objects.insert(key, object);
        reply
    }

    fn create_upload(&mut self, http_fields: Value) -> StorageReply {
        let id = format!("upload-{}", self.uploads.len());
        self.uploads.insert(id.clone(), OpenUpload { size: 0, http_fields });
        success(&json!({"uploadId": id}))
    }

    fn upload_part(&mut self, request: &BucketRequest, size: usize) -> StorageReply {
        let Some(upload) = self.uploads.get_mut(&request.upload_id) else { return no_such_upload() };
        upload.size += size;
        success(&json!({"etag": etag(size)}))
    }

    fn complete_upload(&mut self, request: BucketRequest) -> StorageReply {
        let Some(OpenUpload { size, http_fields }) = self.uploads.remove(&request.upload_id) else {
            return no_such_upload();
        };
        self.put(request.object, size, http_fields)
    }

    fn list(&self, request: &BucketRequest) -> StorageReply {
        let listed = self.objects.iter().filter(|(key, _)| key.starts_with(&request.prefix));
        let to_json = |(key, object): (&String, &SimulatedObject)| {
            let mut object = object.to_json(key);
            object["httpFields"] = json!({});
            object
        };
        let objects: Vec<Value> = listed.map(to_json).collect();
        success(&json!({"objects": objects, "truncated": false, "delimitedPrefixes": []}))
    }
}

impl SimulatedObject {
    fn to_json(&self, key: &str) -> Value {
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

/// Returns the etag of an object of `size` bytes. R2 hashes the content, which would take CPU time from the load.
#[must_use]
pub fn etag(size: usize) -> String {
    format!("{size:032x}")
}

fn success(result: &Value) -> StorageReply {
    let result = result.to_string();
    let mut reply = with_metadata(result.len());
    *reply.body_mut() = body(result);
    reply
}

fn with_metadata(size: usize) -> StorageReply {
    let mut reply = Response::new(body(""));
    reply.headers_mut().insert(METADATA_SIZE_HEADER, size.into());
    reply
}

fn no_such_upload() -> StorageReply {
    failure(StatusCode::NOT_FOUND, 10_024, "The specified multipart upload does not exist.")
}

/// The reply to a request that this bucket does not support, as no measured route sends it.
fn unsupported_request(what: &str) -> StorageReply {
    eprintln!("warning: unsupported R2 request: {what}");
    failure(StatusCode::BAD_REQUEST, 10_029, "unsupported request")
}

fn failure(status: StatusCode, code: u32, message: &str) -> StorageReply {
    let error = json!({"version": 1, "v4code": code, "message": message}).to_string();
    let mut reply = Response::new(body(""));
    *reply.status_mut() = status;
    let error = HeaderValue::from_str(&error).expect("the messages are ASCII");
    reply.headers_mut().insert(ERROR_HEADER, error);
    reply
}
