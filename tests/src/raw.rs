//! Requests as raw bytes, which an HTTP client would normalize or reject.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::{Reply, platform_url};

/// How long a whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Connects to the platform under test.
pub async fn connect() -> TcpStream {
    let address = platform_url().strip_prefix("http://").expect("http").to_owned();
    TcpStream::connect(&address).await.expect("the platform listens")
}

/// Sends bytes, and returns all that the platform sends until it closes the connection.
pub async fn exchange(request: impl AsRef<[u8]>) -> Vec<u8> {
    let (bytes, closed) = exchange_until_idle(request, TIMEOUT).await;
    assert!(closed, "the platform does not close the connection: {}", String::from_utf8_lossy(&bytes));
    bytes
}

/// Sends bytes, and returns all that the platform sends until it closes the connection or sends nothing for `idle`, and
/// whether it closed the connection.
pub async fn exchange_until_idle(request: impl AsRef<[u8]>, idle: Duration) -> (Vec<u8>, bool) {
    let mut stream = connect().await;
    let mut received = Vec::new();
    // The platform may close the connection before it has read everything. Its reply counts nevertheless.
    let _ = stream.write_all(request.as_ref()).await;
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        match timeout(idle, stream.read_buf(&mut received)).await {
            Ok(Ok(0) | Err(_)) => return (received, true),
            Ok(Ok(_)) => {}
            Err(_) => break,
        }
    }
    (received, false)
}

/// Parses the replies on a connection. None may be to a `HEAD` request.
#[must_use]
pub fn parse_replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while !bytes.is_empty() {
        let end = find(bytes, b"\r\n\r\n");
        let head = std::str::from_utf8(&bytes[..end]).expect("text");
        bytes = &bytes[end + 4..];
        let (first, rest) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_str(value).expect("a value"))
        };
        let headers: HeaderMap = rest.split("\r\n").filter(|line| !line.is_empty()).map(header).collect();
        let length =
            headers.get("content-length").map(|length| length.to_str().expect("text").parse().expect("digits"));
        let body = match length {
            Some(length) => take(&mut bytes, length),
            None if headers.contains_key("transfer-encoding") => take_chunks(&mut bytes),
            None => Vec::new(),
        };
        replies.push(Reply { status, headers, body });
    }
    replies
}

/// Splits off a chunked body and decodes it.
fn take_chunks(bytes: &mut &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = take(bytes, find(bytes, b"\r\n"));
        take(bytes, 2);
        let length = usize::from_str_radix(std::str::from_utf8(&line).expect("text"), 16).expect("a size");
        body.extend(take(bytes, length));
        take(bytes, 2);
        if length == 0 {
            return body;
        }
    }
}

/// Splits off the first `length` bytes.
fn take(bytes: &mut &[u8], length: usize) -> Vec<u8> {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken.to_vec()
}

fn find(bytes: &[u8], sequence: &[u8]) -> usize {
    bytes.windows(sequence.len()).position(|window| window == sequence).expect("the sequence is found")
}

/// Returns the status of the first reply, or 0 if there is none.
#[must_use]
pub fn status(received: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(received);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}
