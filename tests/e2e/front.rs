//! The local platform's HTTP listener: requests cannot bypass the dispatcher, and bodies of any size need constant
//! memory.

use std::env;
use std::io;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, StatusCode};
use reqwest::{Body, RequestBuilder};
use tests::{Customer, Reply, chunked, client, expect_json, expect_problem, noise, platform_url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn the_runtimes_control_headers_are_ignored() {
    let user = Customer::new("user1");
    for (name, value) in [
        ("MF-Route-Override", "customer-user2"),
        ("mf-route-override", "customer-user2"),
        ("MF-Route-Override", "dispatcher"),
        ("MF-Original-URL", "http://x/cdn-cgi/explorer"),
        ("MF-Custom-Fetch-Service", "customer-user2"),
        ("MF-Op", "GET"),
        ("MF-Disable-Pretty-Error", "true"),
    ] {
        let worker = serde_json::json!({"status": "ok", "worker": "user1", "version": env!("CARGO_PKG_VERSION")});
        expect_json(user.get("/").header(name, value), worker).await;
        // If the header were obeyed, this request without a user id would reach a customer's Worker.
        let reply = Reply::to(client().get(platform_url()).header(name, value)).await;
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (StatusCode::BAD_REQUEST, &"missing_user_id".into()),
            "{name}"
        );
    }
    let echoed = Reply::to(Customer::new("echo").get("/").header("MF-Anything", "x")).await;
    assert!(!echoed.header("Echo").contains("mf-anything"), "{echoed}");
}

/// Sends a request as raw bytes, which an HTTP client would normalize, and returns the reply.
async fn send_raw(request: &str) -> String {
    let address = platform_url().strip_prefix("http://").expect("http").to_owned();
    let mut stream = TcpStream::connect(&address).await.expect("the platform listens");
    stream.write_all(request.as_bytes()).await.expect("the platform reads");
    let mut reply = Vec::new();
    let read = stream.read_to_end(&mut reply);
    timeout(Duration::from_secs(30), read).await.expect("the reply ends").expect("a reply");
    String::from_utf8_lossy(&reply).into_owned()
}

fn status(reply: &str) -> &str {
    reply.split(' ').nth(1).unwrap_or_default()
}

/// The runtime concatenates `Host` and path to a URL, so a `Host` that contains a path could select another path.
#[tokio::test]
async fn a_host_header_does_not_bypass_the_dispatcher() {
    let one = Customer::new("user1");
    tests::expect_success(one.put("/files?key=hosted").body("user1's")).await;
    for host in [
        "127.0.0.1/cdn-cgi/local/r2/public/customer-user1/hosted?",
        "localhost/cdn-cgi/local/r2/public/customer-user1/hosted?",
        "127.0.0.1/cdn-cgi/local/scheduled?",
        "127.0.0.1/cdn-cgi/mf/scheduled?",
        "127.0.0.1/cdn-cgi/handler/scheduled?",
        "127.0.0.1/cdn-cgi/local/email?",
        "127.0.0.1/cdn-cgi/local/platform-proxy?",
        "x/files?key=hosted&",
        "x#",
        "x?",
        "x\\",
        "user:pass@x",
        "",
        "a b",
        "x:abc",
        "127.0.0.1:99999",
        "customer-user1\r\nHost: x",
    ] {
        for user in ["X-User-ID: user2\r\n", ""] {
            let reply = send_raw(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n{user}Connection: close\r\n\r\n")).await;
            assert_eq!(status(&reply), "400", "{host}: {reply}");
            assert!(!reply.contains("user1's"), "{host}: {reply}");
        }
    }
    for host in ["localhost", "user1.example.com", "customer-user1", "[::1]:1"] {
        let reply =
            send_raw(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-User-ID: user2\r\nConnection: close\r\n\r\n")).await;
        assert!(status(&reply) == "200" && reply.contains("\"worker\":\"user2\""), "{host}: {reply}");
    }
}

/// Two parsers may disagree on the length of these requests. The bytes after the first request are never executed as a
/// second one.
#[tokio::test]
async fn a_smuggled_request_is_not_executed() {
    let smuggled = "GET /files?key=hosted HTTP/1.1\r\nHost: x\r\nX-User-ID: user1\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: 5 \r\n x\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
    ] {
        let request = format!(
            "POST /data HTTP/1.1\r\nHost: x\r\nX-User-ID: user2\r\nConnection: close\r\n{headers}\r\n0\r\n\r\n{smuggled}"
        );
        let reply = send_raw(&request).await;
        assert!(!reply.contains("user1's") && reply.matches("HTTP/1.1 ").count() <= 1, "{headers}: {reply}");
        assert!(["400", "415", ""].contains(&status(&reply)), "{headers}: {reply}");
    }
}

/// A chunked body ends with an empty chunk. Without one it is incomplete, even if its JSON is valid.
#[tokio::test]
async fn an_incomplete_chunked_body_is_not_stored() {
    let user = Customer::new("user1");
    let address = platform_url().strip_prefix("http://").expect("http").to_owned();
    for (end, number) in [("", 0), ("zz\r\n", 1), ("0\r\n", 2)] {
        let body = format!(r#"{{"key":"broken-off/{number}","value":1}}"#);
        let request = format!(
            "POST /data HTTP/1.1\r\nHost: x\r\nX-User-ID: user1\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n{end}",
            body.len()
        );
        let mut stream = TcpStream::connect(&address).await.expect("the platform listens");
        stream.write_all(request.as_bytes()).await.expect("the platform reads");
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(stream);
        tokio::time::sleep(Duration::from_millis(700)).await;
        let reply = Reply::to(user.get(&format!("/data?key=broken-off/{number}"))).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{end:?}: {reply}");
    }
}

/// It is not parsed as the next request either.
#[tokio::test]
async fn the_body_of_a_get_is_ignored() {
    for (id, path, method) in [("user1", "/", "GET"), ("user1", "/", "HEAD"), ("echo", "/", "GET")] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        for body in [Body::from("hello"), chunked("hello")] {
            let reply = Reply::to(Customer::new(id).request(method.clone(), path).body(body)).await;
            assert_eq!(reply.status, StatusCode::OK, "{method} {id}: {reply}");
            assert!(!reply.text().contains("hello"), "{reply}");
        }
    }
}

/// The runtime throws an error for such a method.
#[tokio::test]
async fn an_unknown_method_is_a_405() {
    let user = Customer::new("user1");
    for path in ["/files", "/healthz", "/nothing"] {
        let reply = expect_problem(
            user.request(Method::from_bytes(b"BREW").expect("a method"), path),
            405,
            "method_not_allowed",
        )
        .await;
        assert_eq!(reply.header("Allow"), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
}

#[tokio::test]
async fn the_runtimes_internal_pages_are_unreachable() {
    for target in [
        "/cdn-cgi",
        "/cdn-cgi/",
        "/cdn-cgi/explorer",
        "/cdn-cgi/explorer/api/storage/kv/namespaces",
        "/cdn-cgi/local/explorer/api/workers",
        "/cdn-cgi/handler/scheduled",
        "/cdn-cgi/mf/reload",
        "/cdn-cgi/ProxyWorker/play",
        "/CDN-CGI/explorer",
        "//cdn-cgi/explorer",
        "/./cdn-cgi/explorer",
        "/x/../cdn-cgi/explorer",
        "/x/%2e%2e/cdn-cgi/explorer",
        "/.%2e/cdn-cgi/explorer",
        "/\\cdn-cgi/explorer",
        "\\cdn-cgi\\explorer",
        "/%63dn-cgi/explorer",
        "http://localhost/cdn-cgi/explorer",
        "http://cdn-cgi/cdn-cgi/explorer",
        "/cdn-cgi/explorer?x=/",
        "/cdn-cgi/explorer#x",
        "*",
    ] {
        let reply =
            send_raw(&format!("GET {target} HTTP/1.1\r\nHost: x\r\nX-User-ID: user1\r\nConnection: close\r\n\r\n"))
                .await;
        assert!(["404", "400"].contains(&status(&reply)), "{target}: {reply}");
    }
    let reply = Reply::to(client().get(format!("{}/cdn-cgi/x", platform_url())).header("X-Request-Id", "mine")).await;
    assert_eq!((reply.json()["code"].as_str(), reply.json()["requestId"].as_str()), (Some("not_found"), Some("mine")));
    assert_eq!(reply.header("Vary"), "X-User-ID, Authorization");
    // A path that contains `cdn-cgi` elsewhere goes to the customer's Worker.
    let reply = Reply::to(Customer::new("echo").get("/x/cdn-cgi/explorer")).await;
    assert_eq!(reply.status, StatusCode::OK);
}

/// Returns the resident memory of the process that listens, in KiB.
fn resident_memory() -> u64 {
    let pid = env::var("PLATFORM_PID").expect("PLATFORM_PID is not set: run the tests with `cargo xtask test`");
    let ps = Command::new("ps").args(["-o", "rss=", "-p", &pid]).output().expect("ps runs");
    String::from_utf8(ps.stdout).expect("text").trim().parse().expect("a number")
}

#[tokio::test]
async fn a_200_mb_body_streams_both_ways_in_constant_memory() {
    const PIECES: usize = 200;
    let piece = Bytes::from(noise(1_000_000, 3));
    let body = {
        let piece = piece.clone();
        Body::wrap_stream(stream::iter((0..PIECES).map(move |_| Ok::<_, io::Error>(piece.clone()))))
    };
    let before = resident_memory();
    let mut peak = before;
    let request = Customer::new("echo").post("/").header("Content-Length", PIECES * piece.len()).body(body);
    let response = request.send().await.expect("a reply");
    assert_eq!(response.status(), StatusCode::OK);

    let mut received = 0;
    let mut stream = response.bytes_stream();
    while let Some(bytes) = stream.next().await {
        let mut bytes = bytes.expect("the whole body");
        while !bytes.is_empty() {
            // The position of a byte determines its value.
            let expected = &piece[received % piece.len()..];
            let compared = bytes.split_to(expected.len().min(bytes.len()));
            assert!(compared == expected[..compared.len()], "at {received}");
            received += compared.len();
        }
        peak = peak.max(resident_memory());
    }
    assert_eq!(received, PIECES * piece.len());
    assert!(peak - before < 50_000, "the listener grew by {} KiB", peak - before);
}

/// The reader disconnects before it has read the reply.
#[tokio::test]
async fn a_disconnecting_reader_affects_no_other() {
    let echo = Customer::new("echo");
    for _ in 0..5 {
        let body =
            Body::wrap_stream(stream::iter((0..100).map(|_| Ok::<_, io::Error>(Bytes::from(noise(1_000_000, 4))))));
        let response = echo.post("/").body(body).send().await.expect("a reply");
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(response);
    }
    assert_eq!(Reply::to(echo.get("/")).await.status, StatusCode::OK);
}

/// The runtime may reply before it has read the body. The client must receive that reply.
#[tokio::test]
async fn an_early_reply_reaches_the_client() {
    let body = Bytes::from(noise(30_000_000, 5));
    for (id, path, status) in
        [("nobody", "/data", 404), ("User1", "/", 400), ("user1", "/stats", 405), ("throws", "/", 502)]
    {
        for body in [body.clone().into(), chunked(body.clone())] {
            expect_status(Customer::new(id).post(path).body(body), status).await;
        }
    }
}

/// The runtime does not support streams of such lengths.
#[tokio::test]
async fn a_huge_content_length_is_refused() {
    let user = Customer::new("user1");
    for length in [(1_u64 << 53) - 1, 1 << 53, u64::MAX >> 1] {
        let body = || Body::wrap_stream(stream::once(async { Ok::<_, io::Error>("x") }).chain(stream::pending()));
        for (request, status) in [
            (user.put("/files?key=endless"), 413),
            (user.post("/data").header("Content-Type", "application/json"), 413),
            (user.post("/healthz"), 405),
        ] {
            expect_status(request.header("Content-Length", length).body(body()), status).await;
        }
    }
    expect_problem(user.get("/files?key=endless"), 404, "file_not_found").await;
}

/// curl stops sending when it receives an error, and then waits for the end of the reply.
#[tokio::test]
async fn a_client_that_stops_sending_gets_the_whole_early_reply() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("large");
    std::fs::write(&file, noise(31_000_000, 6)).expect("a file");
    for (path, content_type, status) in [("/stats", "text/plain", "405"), ("/data", "application/json", "413")] {
        let curl = tokio::process::Command::new("curl")
            .args(["-sS", "-o", "-", "-w", "\n%{http_code}", "-H", "X-User-ID: user1", "--data-binary"])
            .arg(format!("@{}", file.display()))
            .args(["-H", &format!("Content-Type: {content_type}"), &format!("{}{path}", platform_url())])
            .kill_on_drop(true)
            .output();
        let output = timeout(Duration::from_secs(30), curl).await.expect("curl ends").expect("curl runs");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(printed.ends_with(&format!("\n{status}")) && printed.contains("requestId"), "{path}: {printed}");
    }
}

async fn expect_status(request: RequestBuilder, status: u16) {
    let reply = Reply::to(request).await;
    assert_eq!(reply.status, status, "{reply}");
    assert_eq!(reply.header("Content-Type"), "application/problem+json", "{reply}");
}
