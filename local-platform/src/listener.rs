//! A port of 127.0.0.1 that is listened on until the platform stops.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long requests under way have to end when the platform stops.
const DRAIN: Duration = Duration::from_secs(3);

/// What listens on a port.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

/// Takes a port, 0 for any that is free. `flag` is what says another.
pub async fn bind(port: u16, flag: &str) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!("port {port} is in use; choose another with {flag}"),
        _ => anyhow::Error::new(error).context(format!("cannot listen on 127.0.0.1:{port}")),
    })
}

impl Listener {
    /// Serves at a port until it is stopped, of which `serve` is told.
    pub fn start<F>(socket: TcpListener, serve: impl FnOnce(TcpListener, oneshot::Receiver<()>) -> F) -> Result<Self>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let address = socket.local_addr().context("the listener has an address")?;
        let (stop, stopped) = oneshot::channel();
        Ok(Self { address, stop, task: tokio::spawn(serve(socket, stopped)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new requests, and ends when those under way have, or their time is over.
    pub async fn stop(mut self) {
        drop(self.stop);
        if timeout(DRAIN, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
