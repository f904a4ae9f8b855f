//! Bytes as they stand, which an HTTP client would tidy up.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::{Reply, platform_url};

/// How long the last byte may be in coming.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the platform under test.
pub async fn connect() -> TcpStream {
    let address = platform_url().strip_prefix("http://").expect("http").to_owned();
    TcpStream::connect(&address).await.expect("it listens")
}

/// Sends bytes, and answers all that comes back until the platform hangs up.
pub async fn raw(request: impl AsRef<[u8]>) -> Vec<u8> {
    let (bytes, ended) = raw_for(request, PATIENCE).await;
    assert!(ended, "the platform does not hang up: {}", String::from_utf8_lossy(&bytes));
    bytes
}

/// The same of a platform that may wait for more: until nothing has come for so long. Answers whether it hung up, too.
pub async fn raw_for(request: impl AsRef<[u8]>, patience: Duration) -> (Vec<u8>, bool) {
    let mut stream = connect().await;
    let mut received = Vec::new();
    // It may hang up while it is still sent to: what it said before counts all the same.
    let _ = stream.write_all(request.as_ref()).await;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match timeout(patience, stream.read_buf(&mut received)).await {
            Ok(Ok(0) | Err(_)) => return (received, true),
            Ok(Ok(_)) => {}
            Err(_) => break,
        }
    }
    (received, false)
}

/// The replies that came back on a connection, one after another; none of them to a `HEAD`.
#[must_use]
pub fn replies(mut bytes: &[u8]) -> Vec<Reply> {
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
            None if headers.contains_key("transfer-encoding") => chunks(&mut bytes),
            None => Vec::new(),
        };
        replies.push(Reply { status, headers, body });
    }
    replies
}

fn chunks(bytes: &mut &[u8]) -> Vec<u8> {
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

fn take(bytes: &mut &[u8], length: usize) -> Vec<u8> {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken.to_vec()
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).expect("it is there")
}

/// The status of the first reply; 0 if there is none.
#[must_use]
pub fn status(received: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(received);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}
