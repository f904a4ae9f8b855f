//! Sends a route's request many times, on connections that are reused.

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

use crate::routes::MeasuredRoute;

/// A client of one address. It reuses its connections.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

/// The status and the body length of a reply.
#[derive(Debug, PartialEq, Eq)]
pub struct ReplySummary {
    /// The HTTP status.
    pub status: u16,
    /// The length of the body, in bytes.
    pub length: usize,
}

impl Client {
    /// Creates a client. It connects when the first request is sent.
    pub fn new(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { address, http: HttpClient::builder(TokioExecutor::new()).build(connector) }
    }

    /// Sends a route's request `times` times, on as many connections as the route's class has. Fails if a reply does
    /// not have the route's status.
    pub async fn repeat(&self, route: &MeasuredRoute, times: u64) -> Result<()> {
        let requests = stream::iter(0..times).map(|_| self.send(route));
        requests.buffer_unordered(route.class.connections()).try_for_each(|_| async { Ok(()) }).await
    }

    /// Sends a route's request. Fails if the reply does not have the route's status.
    pub async fn send(&self, route: &MeasuredRoute) -> Result<ReplySummary> {
        let mut reply = self.request(route).await.with_context(|| format!("{}: no reply", route.name))?;
        let (status, mut length) = (reply.status().as_u16(), 0);
        ensure!(status == route.status, "{}: the reply has status {status}, not {}", route.name, route.status);
        while let Some(frame) = reply.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(ReplySummary { status, length })
    }

    async fn request(&self, route: &MeasuredRoute) -> Result<Response<Incoming>> {
        let url = format!("http://{}{}", self.address, route.target);
        let mut request = Request::builder().method(route.method.clone()).uri(url);
        for (name, value) in &route.headers {
            request = request.header(*name, value);
        }
        Ok(self.http.request(request.body(Full::new(route.body.clone()))?).await?)
    }
}
