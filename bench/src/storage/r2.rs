//! An R2 bucket, as workerd asks for it: an operation is JSON, in a header or before the content, and so is what it answers
//! (<https://github.com/cloudflare/workerd/blob/main/src/workerd/api/r2-api.capnp>).

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

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

/// When everything was uploaded, in milliseconds since 1970: two runs are to answer the same.
const UPLOADED: u64 = 1_795_000_000_000;

/// Objects by their keys, and uploads in parts by their ids.
#[derive(Debug, Default)]
pub struct Bucket {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
}

#[derive(Clone, Debug)]
struct Object {
    content: Bytes,
    etag: String,
    http_fields: Value,
}

#[derive(Debug)]
struct Upload {
    http_fields: Value,
    parts: BTreeMap<u64, Bytes>,
}

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    method: String,
    #[serde(default)]
    object: String,
    #[serde(default)]
    http_fields: Value,
    only_if: Option<OnlyIf>,
    range: Option<Range>,
    upload_id: Option<String>,
    part_number: Option<u64>,
    limit: Option<usize>,
    #[serde(default)]
    prefix: String,
    cursor: Option<String>,
    delimiter: Option<String>,
    #[serde(default)]
    include: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OnlyIf {
    etag_matches: Option<Vec<Etag>>,
    etag_does_not_match: Option<Vec<Etag>>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Etag {
    Strong { value: String },
    Weak { value: String },
    Wildcard,
}

/// The runtime writes 64-bit numbers as text.
#[derive(Debug, Deserialize)]
struct Range {
    offset: Option<String>,
    length: Option<String>,
    suffix: Option<String>,
}

impl Bucket {
    pub fn seed(&mut self, key: &str, content: Bytes) {
        self.objects.insert(key.to_owned(), Object::new(content, json!({"contentType": "application/octet-stream"})));
    }

    pub fn answer(&mut self, head: &request::Parts, sent: &Bytes) -> (Operation, Reply) {
        let number = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()?.parse().ok());
        let (asked, content) = if let Some(asked) = head.headers.get(REQUEST_HEADER) {
            (Bytes::copy_from_slice(asked.as_bytes()), Bytes::new())
        } else {
            let size = number(METADATA_SIZE_HEADER).unwrap_or(sent.len()).min(sent.len());
            (sent.slice(..size), sent.slice(size..))
        };
        let asked: Asked = match serde_json::from_slice(&asked) {
            Ok(asked) => asked,
            Err(error) => {
                return (Operation::R2Read, failure(StatusCode::BAD_REQUEST, 10_029, &format!("{error}")));
            }
        };
        match &*asked.method {
            "head" => (Operation::R2Read, self.head(&asked)),
            "get" => (Operation::R2Read, self.get(&asked)),
            "list" => (Operation::R2List, self.list(&asked)),
            "delete" => {
                self.objects.remove(&asked.object);
                (Operation::R2Delete, success(&json!({})))
            }
            "put" => (Operation::R2Write, self.put(asked, content)),
            "createMultipartUpload" => (Operation::R2Write, self.create_upload(asked)),
            "uploadPart" => (Operation::R2Write, self.upload_part(&asked, content)),
            "completeMultipartUpload" => (Operation::R2Write, self.complete_upload(&asked)),
            "abortMultipartUpload" => {
                self.uploads.remove(&asked.upload_id.unwrap_or_default());
                (Operation::R2Delete, success(&json!({})))
            }
            other => (Operation::R2Read, failure(StatusCode::BAD_REQUEST, 10_029, other)),
        }
    }

    fn head(&self, asked: &Asked) -> Reply {
        match self.objects.get(&asked.object) {
            Some(object) => success(&object.described(&asked.object)),
            None => no_such_key(),
        }
    }

    fn get(&self, asked: &Asked) -> Reply {
        let Some(object) = self.objects.get(&asked.object) else { return no_such_key() };
        let mut described = object.described(&asked.object);
        if asked.only_if.as_ref().is_some_and(|only_if| !only_if.holds(Some(object))) {
            let mut reply = failure(StatusCode::PRECONDITION_FAILED, 10_031, "a condition does not hold");
            let metadata = described.to_string();
            reply.headers_mut().insert(METADATA_SIZE_HEADER, metadata.len().into());
            *reply.body_mut() = body(metadata);
            return reply;
        }
        let mut content = object.content.clone();
        if let Some(range) = &asked.range {
            let Some((start, end)) = range.of(content.len()) else {
                return failure(StatusCode::RANGE_NOT_SATISFIABLE, 10_039, "the range is not satisfiable");
            };
            content = content.slice(start..end);
            described["range"] = json!({"offset": start.to_string(), "length": (end - start).to_string()});
        }
        let metadata = Bytes::from(described.to_string());
        let mut reply = success_of(metadata.len());
        reply.headers_mut().insert(header::CONTENT_LENGTH, (metadata.len() + content.len()).into());
        *reply.body_mut() =
            StreamBody::new(stream::iter([metadata, content].map(|bytes| Ok(Frame::data(bytes))))).boxed();
        reply
    }

    fn put(&mut self, asked: Asked, content: Bytes) -> Reply {
        let only_if = asked.only_if.as_ref();
        if only_if.is_some_and(|only_if| !only_if.holds(self.objects.get(&asked.object))) {
            return failure(StatusCode::PRECONDITION_FAILED, 10_031, "a condition does not hold");
        }
        self.store(asked.object, Object::new(content, asked.http_fields))
    }

    fn store(&mut self, key: String, object: Object) -> Reply {
        let reply = success(&object.described(&key));
        self.objects.insert(key, object);
        reply
    }

    fn create_upload(&mut self, asked: Asked) -> Reply {
        let id = format!("upload-{}", self.uploads.len());
        self.uploads.insert(id.clone(), Upload { http_fields: asked.http_fields, parts: BTreeMap::new() });
        success(&json!({"uploadId": id}))
    }

    fn upload_part(&mut self, asked: &Asked, content: Bytes) -> Reply {
        let Some(upload) = self.upload(asked) else { return no_such_upload() };
        let etag = etag(&content);
        upload.parts.insert(asked.part_number.unwrap_or_default(), content);
        success(&json!({"etag": etag}))
    }

    fn complete_upload(&mut self, asked: &Asked) -> Reply {
        let Some(upload) = self.upload(asked) else { return no_such_upload() };
        let content: Vec<u8> = std::mem::take(&mut upload.parts).into_values().flatten().collect();
        let object = Object::new(content.into(), upload.http_fields.take());
        self.uploads.remove(asked.upload_id.as_deref().unwrap_or_default());
        self.store(asked.object.clone(), object)
    }

    fn upload(&mut self, asked: &Asked) -> Option<&mut Upload> {
        self.uploads.get_mut(asked.upload_id.as_ref()?)
    }

    fn list(&self, asked: &Asked) -> Reply {
        let limit = asked.limit.unwrap_or(1000);
        let (mut objects, mut prefixes, mut last, mut more) = (Vec::new(), Vec::<String>::new(), None, false);
        for (key, object) in &self.objects {
            if !key.starts_with(&asked.prefix) || asked.cursor.as_ref().is_some_and(|after| key <= after) {
                continue;
            }
            let rest = &key[asked.prefix.len()..];
            let delimiter = asked.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
            let group = delimiter
                .and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()))
                .map(|end| &key[..asked.prefix.len() + end]);
            if group.is_some() && group == prefixes.last().map(String::as_str) {
                last = Some(key);
                continue;
            }
            if objects.len() + prefixes.len() == limit {
                more = true;
                break;
            }
            if let Some(group) = group {
                prefixes.push(group.to_owned());
            } else {
                let mut described = object.described(key);
                if !asked.include.contains(&0) {
                    described["httpFields"] = json!({});
                }
                objects.push(described);
            }
            last = Some(key);
        }
        let mut page = json!({"objects": objects, "truncated": more, "delimitedPrefixes": prefixes});
        if let Some(last) = last.filter(|_| more) {
            page["cursor"] = last.as_str().into();
        }
        success(&page)
    }
}

impl Object {
    fn new(content: Bytes, http_fields: Value) -> Self {
        let http_fields = if http_fields.is_null() { json!({}) } else { http_fields };
        Self { etag: etag(&content), content, http_fields }
    }

    fn described(&self, key: &str) -> Value {
        json!({
            "name": key,
            "version": self.etag,
            "size": self.content.len().to_string(),
            "etag": self.etag,
            "uploaded": UPLOADED.to_string(),
            "httpFields": self.http_fields,
            "customFields": [],
            "checksums": {"0": self.etag},
        })
    }
}

impl OnlyIf {
    fn holds(&self, object: Option<&Object>) -> bool {
        let matches = |tags: &[Etag]| {
            tags.iter().any(|tag| match (tag, object) {
                (_, None) => false,
                (Etag::Wildcard, Some(_)) => true,
                (Etag::Strong { value } | Etag::Weak { value }, Some(object)) => *value == object.etag,
            })
        };
        self.etag_matches.as_deref().is_none_or(matches) && !self.etag_does_not_match.as_deref().is_some_and(matches)
    }
}

impl Range {
    /// The bytes from and to which it goes.
    fn of(&self, size: usize) -> Option<(usize, usize)> {
        let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<usize>().ok());
        if let Some(suffix) = number(&self.suffix) {
            return (suffix > 0).then(|| (size.saturating_sub(suffix), size));
        }
        let start = number(&self.offset).unwrap_or(0);
        let end = number(&self.length).map_or(size, |length| start.saturating_add(length).min(size));
        (start < size).then_some((start, end))
    }
}

/// The etag of an object. Not MD5, which R2 has: that would keep the processor from the Workers.
#[must_use]
pub fn etag(content: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    format!("{:032x}", hasher.finish())
}

fn success(answer: &Value) -> Reply {
    let answer = answer.to_string();
    let mut reply = success_of(answer.len());
    *reply.body_mut() = body(answer);
    reply
}

fn success_of(metadata_size: usize) -> Reply {
    let mut reply = Response::new(body(""));
    reply.headers_mut().insert(METADATA_SIZE_HEADER, metadata_size.into());
    reply
}

fn no_such_key() -> Reply {
    failure(StatusCode::NOT_FOUND, 10_007, "The specified key does not exist.")
}

fn no_such_upload() -> Reply {
    failure(StatusCode::NOT_FOUND, 10_024, "The specified multipart upload does not exist.")
}

fn failure(status: StatusCode, code: u32, message: &str) -> Reply {
    let error = json!({"version": 1, "v4code": code, "message": message}).to_string();
    let mut reply = Response::new(body(""));
    *reply.status_mut() = status;
    let error = HeaderValue::from_str(&error).expect("JSON of visible ASCII");
    reply.headers_mut().insert(ERROR_HEADER, error);
    reply
}
