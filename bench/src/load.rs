//! Load: the same request again and again, on connections that stay open.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use clap::Parser;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rlt::cli::BenchCli;
use rlt::{BenchSuite, IterInfo, IterReport, Status};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::routes::Route;

/// What a number of requests took.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Requests a second.
    pub throughput: f64,
    /// The latency that half of them were under, in seconds.
    pub p50: f64,
    /// The latency that 99 of 100 were under, in seconds.
    pub p99: f64,
}

/// Sends a route's request `times` times. Fails at the first reply that is not as the route says.
pub async fn run(route: &Arc<Route>, connections: &Connections, times: u64) -> Result<Timing> {
    let report = NamedTempFile::new().context("cannot make a file for the report")?;
    let mut options = BenchCli::try_parse_from(["load", "--quiet", "--output=json"])?;
    options.concurrency = u32::try_from(route.connections.min(times))?.try_into()?;
    options.iterations = Some(times.try_into()?);
    options.output_file = Some(report.path().to_owned());
    rlt::cli::run(options, Suite { route: route.clone(), connections: connections.clone() }).await?;

    let report: Value = serde_json::from_slice(&std::fs::read(report.path())?).context("the report is no JSON")?;
    if let Some((error, times)) = report["errors"].as_object().and_then(|errors| errors.iter().next()) {
        bail!("{}: {error} ({times} times)", route.name);
    }
    let number = |value: &Value| value.as_f64().context("the report lacks a number");
    ensure!(report["summary"]["iters"]["total"].as_u64() == Some(times), "{}: requests are missing", route.name);
    Ok(Timing {
        throughput: number(&report["summary"]["iters"]["rate"])?,
        p50: number(&report["latency"]["percentiles"]["p50"])?,
        p99: number(&report["latency"]["percentiles"]["p99"])?,
    })
}

/// Sends a route's request once, and answers what came back.
pub async fn once(route: &Route, address: SocketAddr) -> Result<Response<Bytes>> {
    let connections = Connections::to(address);
    let (head, body) = connections.send(&mut connections.take().await?, route).await?.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}

/// Connections to an address, kept for as long as they are good.
#[derive(Clone, Debug)]
pub struct Connections {
    address: SocketAddr,
    idle: Arc<Mutex<Vec<Connection>>>,
}

type Connection = SendRequest<Full<Bytes>>;

impl Connections {
    /// None so far.
    pub fn to(address: SocketAddr) -> Self {
        Self { address, idle: Arc::default() }
    }

    async fn take(&self) -> Result<Connection> {
        loop {
            let idle = self.idle().pop();
            match idle {
                Some(connection) if connection.is_closed() => {}
                Some(connection) => return Ok(connection),
                None => break,
            }
        }
        let stream = TcpStream::connect(self.address).await.context("cannot connect")?;
        stream.set_nodelay(true).context("cannot set up a connection")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.context("cannot connect")?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().expect("nobody panics with it")
    }

    async fn send(&self, connection: &mut Connection, route: &Route) -> Result<Response<Incoming>> {
        let mut request = Request::builder().method(route.method.clone()).uri(&*route.target);
        for (name, value) in &route.headers {
            request = request.header(*name, value);
        }
        let request = request.header("Host", self.address.to_string()).body(Full::new(route.body.clone()))?;
        connection.ready().await.context("the connection was closed")?;
        connection.send_request(request).await.context("no reply")
    }
}

#[derive(Clone)]
struct Suite {
    route: Arc<Route>,
    connections: Connections,
}

#[async_trait]
impl BenchSuite for Suite {
    type WorkerState = Connection;

    async fn state(&self, _: u32) -> Result<Connection> {
        self.connections.take().await
    }

    async fn bench(&mut self, connection: &mut Connection, _: &IterInfo) -> Result<IterReport> {
        let started = Instant::now();
        let mut reply = self.connections.send(connection, &self.route).await?;
        ensure!(reply.status() == self.route.status, "it answered {}", reply.status());
        let mut bytes = 0;
        while let Some(frame) = reply.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len) as u64;
        }
        Ok(IterReport { duration: started.elapsed(), status: Status::success(0), bytes, items: 1 })
    }

    async fn teardown(self, connection: Connection, _: IterInfo) -> Result<()> {
        self.connections.idle().push(connection);
        Ok(())
    }
}
