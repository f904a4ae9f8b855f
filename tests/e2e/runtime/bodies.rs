//! Bodies arrive as they were sent, or as an error.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use tests::{Reply, escaped};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::Platform;

/// A gzip file that contains "hello\n".
const GZIP: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\xe7\x02\x00\x20\x30\x3a\x36\x06\x00\x00\x00";

#[tokio::test]
async fn coded_bodies_come_back_byte_for_byte() {
    let platform = Platform::start(&["files", "script"]).await;
    platform.upload("script", "v1").await;
    let (files, script) = (platform.customer("files"), platform.customer("script"));
    let lie = b"these bytes are not gzip".as_slice();
    for media_type in ["text/html", "text/html; charset=utf-8", "application/json", "image/png", "application/gzip"] {
        for (bytes, coding) in
            [(GZIP, "gzip"), (lie, "gzip"), (lie, "br"), (lie, "deflate"), (lie, "zstd"), (GZIP, "identity")]
        {
            let stored = files.put("/files?key=coded").header("Content-Type", media_type);
            tests::expect_success(stored.header("Content-Encoding", coding).body(bytes)).await;
            let path = format!(
                "/coded?type={}&coding={coding}&bytes={}",
                escaped(media_type),
                escaped(&STANDARD.encode(bytes))
            );
            for accepted in ["gzip", "br", "identity", "*", "gzip;q=0", ""] {
                let of_file = files.get("/files?key=coded").header("Accept-Encoding", accepted);
                let of_script = script.post(&path).header("Accept-Encoding", accepted).body("a body");
                for request in [of_file, of_script] {
                    let reply = Reply::to(request).await;
                    assert_eq!(reply.status, 200, "{reply}");
                    assert_eq!(reply.body, bytes, "{media_type}, {coding}, {accepted:?}");
                    assert_eq!(reply.headers["content-encoding"], coding, "{media_type}, {accepted:?}");
                    assert_eq!(reply.headers["content-length"], &*bytes.len().to_string(), "{media_type}, {coding}");
                }
            }
            let range = Reply::to(files.get("/files?key=coded").header("Range", "bytes=2-9")).await;
            assert_eq!((range.status.as_u16(), &*range.body), (206, &bytes[2..10]), "{media_type}, {coding}");
        }
    }
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn html_is_untouched() {
    let platform = Platform::start(&["files"]).await;
    let files = platform.customer("files");
    let page = "<!doctype html><html><head><title>x</title></head><body></body></html>";
    tests::expect_success(files.put("/files?key=page").header("Content-Type", "text/html").body(page)).await;
    let reply = Reply::to(files.get("/files?key=page").header("Accept", "text/html")).await;
    assert_eq!(reply.text(), page);
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// A body that breaks off is an error for the script, with and without a length, and never a shorter body.
#[tokio::test]
async fn a_client_that_vanishes_is_an_error() {
    let platform = Platform::start(&["script"]).await;
    platform.upload("script", "v1").await;
    let address = platform.dev.url.trim_start_matches("http://").to_owned();
    let head = "POST /record HTTP/1.1\r\nHost: platform\r\nX-User-ID: script\r\n";
    for (name, request) in [
        ("a length", format!("{head}Content-Length: 1000\r\n\r\nhello")),
        ("chunks", format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")),
        ("a broken chunk", format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n")),
    ] {
        Reply::to(platform.customer("script").get("/forget")).await;
        let mut stream = TcpStream::connect(&address).await.expect("the platform listens");
        stream.write_all(request.as_bytes()).await.expect("sent");
        sleep(Duration::from_millis(300)).await;
        drop(stream);
        let started = Instant::now();
        let recorded = loop {
            let recorded = platform.text("script", "/recorded").await;
            if !recorded.is_empty() && recorded != "null" {
                break recorded;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{name}: nothing is recorded");
            sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(recorded, "failed after 5", "{name}");
    }
    // A complete one is none.
    let body = tests::chunked("x".repeat(300_000));
    assert_eq!(Reply::to(platform.customer("script").post("/length").body(body)).await.text(), "v1 300000");
    assert_eq!(Reply::to(platform.customer("script").post("/length").body(tests::chunked(""))).await.text(), "v1 0");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// The client gets the reply although it has not sent everything, and sends on.
#[tokio::test]
async fn an_early_reply_arrives_while_the_client_sends() {
    let platform = Platform::start(&["script"]).await;
    platform.upload("script", "v1").await;
    let address = platform.dev.url.trim_start_matches("http://").to_owned();
    let head = "POST /refuse HTTP/1.1\r\nHost: platform\r\nX-User-ID: script\r\nConnection: close\r\n";
    for kind in ["Content-Length: 20000000", "Transfer-Encoding: chunked"] {
        let mut stream = TcpStream::connect(&address).await.expect("the platform listens");
        stream.write_all(format!("{head}{kind}\r\n\r\n").as_bytes()).await.expect("sent");
        let piece = if kind.starts_with('C') {
            vec![b'x'; 1_000_000]
        } else {
            [b"f4240\r\n".to_vec(), vec![b'x'; 1_000_000], b"\r\n".to_vec()].concat()
        };
        for _ in 0..20 {
            stream.write_all(&piece).await.expect("the platform reads on");
        }
        if kind.starts_with('T') {
            stream.write_all(b"0\r\n\r\n").await.expect("the platform reads on");
        }
        let mut reply = Vec::new();
        let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut reply));
        read.await.expect("a reply in time").expect("a whole reply");
        let reply = String::from_utf8_lossy(&reply);
        assert!(reply.starts_with("HTTP/1.1 413 ") && reply.contains("too large"), "{kind}: {reply}");
    }
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}
