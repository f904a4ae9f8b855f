//! A server on a port of 127.0.0.1, which runs until the platform stops.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The time that running requests have to finish when the platform stops.
const DRAIN: Duration = Duration::from_secs(3);

/// A server on a port.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

/// Binds a port; 0 is any free port. `flag` is the command-line flag for the port, for the error message.
pub async fn bind(port: u16, flag: &str) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!("port {port} is in use; choose another with {flag}"),
        _ => anyhow::Error::new(error).context(format!("cannot listen on 127.0.0.1:{port}")),
    })
}

impl Listener {
    /// Serves on a bound socket. `serve` gets a receiver that completes when the server must stop.
    pub fn start<F>(socket: TcpListener, serve: impl FnOnce(TcpListener, oneshot::Receiver<()>) -> F) -> Result<Self>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let address = socket.local_addr().context("the listener has an address")?;
        let (stop, stopped) = oneshot::channel();
        Ok(Self { address, stop, task: tokio::spawn(serve(socket, stopped)) })
    }

    /// Returns the server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no new requests, and waits up to [`DRAIN`] for the running ones. Requests that take longer are aborted.
    pub async fn stop(mut self) {
        drop(self.stop);
        if timeout(DRAIN, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
