//! Simulates KV and R2 in memory. workerd's bindings send each operation as an HTTP request. This server handles and
//! counts it outside workerd, so that storage is no part of the measured CPU time.
//!
//! The content of uploads is discarded, as no measured route reads it.

mod kv;
mod r2;
mod reply;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use reply::{StorageReply, error};

pub use r2::etag;
pub use reply::StorageOperation;

/// The header with the name of a binding's store: `kv/<customer>` or `r2/<customer>`.
pub const STORE_HEADER: &str = "X-Store";

/// An HTTP server for the stores. It stops when this is dropped.
#[derive(Debug)]
pub struct StorageServer {
    /// The server's address.
    pub address: SocketAddr,
    stores: Arc<Stores>,
    server: JoinHandle<()>,
}

/// The stores of each customer.
#[derive(Debug, Default)]
struct Stores {
    kv: Mutex<BTreeMap<String, kv::SimulatedNamespace>>,
    r2: Mutex<BTreeMap<String, r2::SimulatedBucket>>,
    counts: Mutex<Counts>,
}

/// The number of requests for each operation.
pub type Counts = BTreeMap<StorageOperation, u64>;

impl StorageServer {
    /// Starts a server with empty stores on a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen")?;
        let address = listener.local_addr().context("cannot read the listener's address")?;
        let stores = Arc::<Stores>::default();
        let shared = stores.clone();
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                drop(connection.set_nodelay(true));
                let stores = shared.clone();
                let service = service_fn(move |request| {
                    let stores = stores.clone();
                    async move { stores.handle(request).await }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
            }
        });
        Ok(Self { address, stores, server })
    }

    /// Puts an object into a customer's bucket.
    pub fn put_object(&self, customer: &str, key: &str, content: Bytes) {
        lock(&self.stores.r2).entry(customer.to_owned()).or_default().seed(key, content);
    }

    /// Puts a value into a customer's KV namespace.
    pub fn put_value(&self, customer: &str, key: &str, value: Bytes) {
        lock(&self.stores.kv).entry(customer.to_owned()).or_default().put(key, value, None);
    }

    /// Returns the counts since the last call.
    pub fn take_counts(&self) -> Counts {
        std::mem::take(&mut lock(&self.stores.counts))
    }
}

impl Drop for StorageServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stores {
    async fn handle(&self, request: Request<Incoming>) -> Result<StorageReply, hyper::Error> {
        let (head, mut body) = request.into_parts();
        let metadata_size = r2::metadata_size(&head);
        let (mut metadata, mut size) = (BytesMut::new(), 0);
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                size += data.len();
                metadata.extend_from_slice(&data[..data.len().min(metadata_size - metadata.len())]);
            }
        }
        let store = head.headers.get(STORE_HEADER).and_then(|store| store.to_str().ok()?.split_once('/'));
        let (operation, reply) = match store {
            Some(("kv", customer)) => lock(&self.kv).entry(customer.to_owned()).or_default().handle(&head),
            Some(("r2", customer)) => {
                lock(&self.r2).entry(customer.to_owned()).or_default().handle(&head, &metadata, size - metadata.len())
            }
            _ => return Ok(error(StatusCode::BAD_REQUEST, "unknown store")),
        };
        *lock(&self.counts).entry(operation).or_default() += 1;
        Ok(reply)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds the lock")
}
