//! Asks a process for a sign of life.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Whether an HTTP server sends the first byte of a reply within this time.
pub async fn answers(socket: &Path, within: Duration) -> bool {
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        stream.read_u8().await
    };
    matches!(timeout(within, ask).await, Ok(Ok::<u8, io::Error>(_)))
}
