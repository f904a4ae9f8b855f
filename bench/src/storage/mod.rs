//! KV and R2 in memory, behind the runtime's own bindings: workerd sends each operation as an HTTP request, and here it is
//! answered, and counted. It runs outside workerd, whose CPU time is the Workers' alone then.

mod kv;
mod r2;

pub use r2::etag;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The header by which a binding says which store it is bound to: `kv/<name>` or `r2/<name>`.
pub const STORE_HEADER: &str = "X-Store";

/// Serves stores until it is dropped.
#[derive(Debug)]
pub struct Storage {
    /// Where it listens.
    pub address: SocketAddr,
    stores: Arc<Stores>,
    server: JoinHandle<()>,
}

/// All stores, by name.
#[derive(Debug, Default)]
struct Stores {
    kv: Mutex<BTreeMap<String, kv::Namespace>>,
    r2: Mutex<BTreeMap<String, r2::Bucket>>,
    counts: Mutex<Counts>,
}

/// An operation, as Cloudflare bills it (<https://developers.cloudflare.com/kv/platform/pricing/>,
/// <https://developers.cloudflare.com/r2/pricing/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// A value read from KV.
    KvRead,
    /// A value written to KV.
    KvWrite,
    /// What an isolate has counted, written to KV: a write, too, but not one of any request.
    KvUsageWrite,
    /// A value deleted from KV.
    KvDelete,
    /// A page of KV's keys.
    KvList,
    /// An object or its metadata read from R2 (class B).
    R2Read,
    /// An object, or a step of an upload in parts, written to R2 (class A).
    R2Write,
    /// A page of R2's objects (class A).
    R2List,
    /// An object deleted from R2 (free).
    R2Delete,
}

impl Operation {
    /// What a million of them cost in US dollars, past what is included.
    pub fn price(self) -> f64 {
        match self {
            Self::KvRead => 0.50,
            Self::KvWrite | Self::KvUsageWrite | Self::KvDelete | Self::KvList => 5.00,
            Self::R2Read => 0.36,
            Self::R2Write | Self::R2List => 4.50,
            Self::R2Delete => 0.0,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::KvRead => "KV read",
            Self::KvWrite => "KV write",
            Self::KvUsageWrite => "KV usage write",
            Self::KvDelete => "KV delete",
            Self::KvList => "KV list",
            Self::R2Read => "R2 read",
            Self::R2Write => "R2 write",
            Self::R2List => "R2 list",
            Self::R2Delete => "R2 delete",
        })
    }
}

/// How often each operation was asked for.
pub type Counts = BTreeMap<Operation, u64>;

/// A reply to the runtime.
type Reply = Response<BoxBody<Bytes, Infallible>>;

impl Storage {
    /// Serves empty stores on a free port of this machine.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen")?;
        let address = listener.local_addr().context("a listener has an address")?;
        let stores = Arc::<Stores>::default();
        let all = stores.clone();
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                drop(connection.set_nodelay(true));
                let stores = all.clone();
                let service = service_fn(move |request| {
                    let stores = stores.clone();
                    async move { stores.answer(request).await }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
            }
        });
        Ok(Self { address, stores, server })
    }

    /// Puts an object into a bucket.
    pub fn put_object(&self, bucket: &str, key: &str, content: Bytes) {
        held(&self.stores.r2).entry(bucket.to_owned()).or_default().seed(key, content);
    }

    /// Puts a value into a namespace.
    pub fn put_value(&self, namespace: &str, key: &str, value: Bytes) {
        held(&self.stores.kv).entry(namespace.to_owned()).or_default().seed(key, value);
    }

    /// What was counted since the last time.
    pub fn take_counts(&self) -> Counts {
        std::mem::take(&mut held(&self.stores.counts))
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stores {
    async fn answer(&self, request: Request<Incoming>) -> Result<Reply, hyper::Error> {
        let store = request.headers().get(STORE_HEADER).and_then(|store| store.to_str().ok()).unwrap_or_default();
        let store = store.to_owned();
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let (operation, reply) = match store.split_once('/') {
            Some(("kv", name)) => held(&self.kv).entry(name.to_owned()).or_default().answer(&head, body),
            Some(("r2", name)) => held(&self.r2).entry(name.to_owned()).or_default().answer(&head, &body),
            _ => return Ok(error(StatusCode::BAD_REQUEST, "no such store")),
        };
        *held(&self.counts).entry(operation).or_default() += 1;
        Ok(reply)
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no request panics")
}

fn body(bytes: impl Into<Bytes>) -> BoxBody<Bytes, Infallible> {
    Full::new(bytes.into()).boxed()
}

fn error(status: StatusCode, text: &str) -> Reply {
    let mut reply = Response::new(body(text.to_owned()));
    *reply.status_mut() = status;
    reply
}
