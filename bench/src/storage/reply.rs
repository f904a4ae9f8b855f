//! Replies to workerd, and the operations that they are counted as.

use std::convert::Infallible;
use std::fmt;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};

/// A storage operation, as Cloudflare bills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageOperation {
    /// A read of a value in KV.
    KvRead,
    /// A write of a value to KV.
    KvWrite,
    /// A write of an isolate's usage counts to KV. It does not belong to a request.
    KvUsageWrite,
    /// A page of keys in KV.
    KvList,
    /// A read of an object in R2 (class B).
    R2Read,
    /// A write of an object to R2, or a step of a multipart upload (class A).
    R2Write,
    /// A page of objects in R2 (class A).
    R2List,
}

impl fmt::Display for StorageOperation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::KvRead => "KV read",
            Self::KvWrite => "KV write",
            Self::KvUsageWrite => "KV usage write",
            Self::KvList => "KV list",
            Self::R2Read => "R2 read",
            Self::R2Write => "R2 write",
            Self::R2List => "R2 list",
        })
    }
}

/// A reply to workerd.
pub type StorageReply = Response<BoxBody<Bytes, Infallible>>;

/// A body of these bytes.
pub fn body(bytes: impl Into<Bytes>) -> BoxBody<Bytes, Infallible> {
    Full::new(bytes.into()).boxed()
}

/// A reply with a text for people.
pub fn error(status: StatusCode, text: &str) -> StorageReply {
    let mut reply = Response::new(body(text.to_owned()));
    *reply.status_mut() = status;
    reply
}
