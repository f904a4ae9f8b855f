//! Sends a route's request many times, on connections that stay open.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::routes::Route;

/// A client of one address. It keeps connections open and uses them again.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

/// A reply, after its body was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// The length of its body.
    pub length: usize,
}

impl Client {
    /// Connects when the first request is sent.
    pub fn new(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { address, http: HttpClient::builder(TokioExecutor::new()).build(connector) }
    }

    /// Sends a route's request `times` times, several at once as the route's class says. Every reply must have the
    /// route's status.
    pub async fn repeat(&self, route: &Route, times: u64) -> Result<()> {
        let requests = stream::iter(0..times).map(|_| self.send(route));
        requests.buffer_unordered(route.class.connections()).try_for_each(|_| async { Ok(()) }).await
    }

    /// Sends a route's request. The reply must have the route's status.
    pub async fn send(&self, route: &Route) -> Result<Reply> {
        let mut reply = self.request(route).await.with_context(|| format!("{}: no reply", route.name))?;
        let (status, mut length) = (reply.status().as_u16(), 0);
        ensure!(status == route.status, "{}: the reply has status {status}, not {}", route.name, route.status);
        while let Some(frame) = reply.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(Reply { status, length })
    }

    async fn request(&self, route: &Route) -> Result<Response<Incoming>> {
        let url = format!("http://{}{}", self.address, route.target);
        let mut request = Request::builder().method(route.method.clone()).uri(url);
        for (name, value) in &route.headers {
            request = request.header(*name, value);
        }
        Ok(self.http.request(request.body(Full::new(route.body.clone()))?).await?)
    }
}
