//! Request smuggling: a request in the body of a request whose length is ambiguous. A proxy in front of the platform
//! sees one request of the attacker. The platform must not see a second one.

use tests::raw::{parse_replies, status};

use super::victim::Scene;

/// The smuggled request. It has the victim's id.
const SMUGGLED: &str = "GET /data?key=plain HTTP/1.1\r\nHost: x\r\nX-User-ID: victim\r\nConnection: close\r\n\r\n";

/// Returns a request of the attacker with these headers and this body. A second request follows, which makes the
/// platform close the connection if the body has ended before it.
fn request(first: &str, headers: &str, body: &str) -> String {
    const LAST: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let all = "Host: x\r\nX-User-ID: attacker\r\nContent-Type: application/json";
    format!("{first}\r\n{all}\r\n{headers}\r\n{body}{LAST}")
}

/// `Content-Length` and `Transfer-Encoding` together, in both orders and many spellings.
#[tokio::test]
async fn length_and_chunks_together_smuggle_nothing() {
    let scene = Scene::new("ends").await;
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    let in_chunk = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    let all = chunked.len();
    for encoding in [
        "Transfer-Encoding: chunked",
        "transfer-encoding: CHUNKED",
        "Transfer-Encoding: Chunked ",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chunk",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: x\r\n chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "X: x\nTransfer-Encoding: chunked",
        "X: x\rTransfer-Encoding: chunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding: chunk\u{212a}ed",
        "Transfer_Encoding: chunked",
        "Transfer-Encodin\u{261}: chunked",
        "TE: chunked",
    ] {
        // These headers are not `Transfer-Encoding`, so only the length counts. For every parser, the bytes after it
        // are the next request.
        let is_unambiguous = ["Transfer_Encoding", "TE:"].iter().any(|name| encoding.starts_with(name));
        for length in [all, 5, 0] {
            let length = format!("Content-Length: {length}");
            for headers in [format!("{length}\r\n{encoding}\r\n"), format!("{encoding}\r\n{length}\r\n")] {
                if is_unambiguous && !headers.contains(&format!(": {all}\r\n")) {
                    continue;
                }
                scene.attempt_raw_open(request("POST /data HTTP/1.1", &headers, &chunked)).await;
            }
        }
        if !is_unambiguous {
            let headers = format!("{encoding}\r\nContent-Length: 4\r\n");
            scene.attempt_raw_open(request("POST /data HTTP/1.1", &headers, &in_chunk)).await;
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn invalid_lengths_smuggle_nothing() {
    let scene = Scene::new("lengths").await;
    let all = SMUGGLED.len();
    for length in [
        format!("Content-Length: 0\r\nContent-Length: {all}"),
        format!("Content-Length: {all}\r\nContent-Length: 0"),
        format!("Content-Length: 0, {all}"),
        format!("Content-Length: {all}, 0"),
        format!("Content-Length: {all},{all}"),
        format!("Content-Length: +{all}"),
        format!("Content-Length: -{all}"),
        format!("Content-Length: {all}.0"),
        format!("Content-Length: 0x{all:x}"),
        format!("Content-Length: {all}e0"),
        format!("Content-Length: {all} 0"),
        format!("Content-Length: 0\r\n {all}"),
        format!("Content-Length:\r\n {all}"),
        format!("Content-Length : {all}"),
        format!(" Content-Length: {all}"),
        format!("Content-Length: 0\r\nContent_Length: {all}\r\nContent-Length: {all}"),
        "Content-Length: 18446744073709551616".to_owned(),
        "Content-Length: 18446744073709551615".to_owned(),
        format!("Content-Length: 1844674407370955{all}"),
        "Content-Length: \u{664}\u{660}".to_owned(),
        "Content-Length: \"0\"".to_owned(),
        "Content-Length: 0;".to_owned(),
        "Content-Length:".to_owned(),
    ] {
        for first in ["POST /data HTTP/1.1", "GET /data?key=plain HTTP/1.1", "PUT /files?key=plain HTTP/1.1"] {
            scene.attempt_raw_open(request(first, &format!("{length}\r\n"), SMUGGLED)).await;
        }
    }
    scene.end().await;
}

/// Chunks with an invalid or a wrong size.
#[tokio::test]
async fn invalid_chunks_smuggle_nothing() {
    let scene = Scene::new("chunks").await;
    let all = SMUGGLED.len();
    for body in [
        format!("0x0\r\n\r\n{SMUGGLED}"),
        format!("+0\r\n\r\n{SMUGGLED}"),
        format!("-0\r\n\r\n{SMUGGLED}"),
        format!(" 0\r\n\r\n{SMUGGLED}"),
        format!("\r\n0\r\n\r\n{SMUGGLED}"),
        format!("\r\n\r\n{SMUGGLED}"),
        format!("zz\r\n\r\n{SMUGGLED}"),
        format!("10000000000000000\r\n\r\n{SMUGGLED}"),
        format!("ffffffffffffffff\r\n{SMUGGLED}"),
        format!("fffffffffffffffff\r\n{SMUGGLED}"),
        format!("{all:x}\n{SMUGGLED}\n0\n\n"),
        format!("{all:x};\n{SMUGGLED}\r\n0\r\n\r\n"),
        format!("{all:x};a=\"\r\n{SMUGGLED}\r\n0\r\n\r\n"),
        format!("{all:x};a=b\rc\r\n{SMUGGLED}\r\n0\r\n\r\n"),
        format!("{all:x} \r\n{SMUGGLED}\r\n0\r\n\r\n"),
        format!("000{all:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
        format!("2\r\n{SMUGGLED}\r\n0\r\n\r\n"),
        format!("2\r\n{{}}\n0\r\n\r\n{SMUGGLED}"),
        format!("2\r\n{{}}0\r\n\r\n{SMUGGLED}"),
        format!("2\r\n{{}}XX0\r\n\r\n{SMUGGLED}"),
        format!("2\r\n{{}}\r\n0\n\n{SMUGGLED}"),
        format!("2\r\n{{}}\r\n0\r\n\n{SMUGGLED}"),
        format!("2\r\n{{}}\r\n0\r\r\n{SMUGGLED}"),
        format!("2\r\n{{}}\r\n{SMUGGLED}"),
        format!("\u{664}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
    ] {
        for first in ["POST /data HTTP/1.1", "PUT /files?key=plain HTTP/1.1", "GET / HTTP/1.1", "POST /data HTTP/1.0"] {
            let headers = "Transfer-Encoding: chunked\r\n";
            scene.attempt_raw_open(request(first, headers, &body)).await;
        }
    }
    scene.end().await;
}

/// Trailers after the last chunk belong to the body. They are not headers.
#[tokio::test]
async fn trailers_are_not_headers() {
    let scene = Scene::new("trailers").await;
    let body = r#"{"key":"plain","value":"trailed"}"#;
    for (announced, trailer) in [
        ("X-User-ID", "X-User-ID: victim"),
        ("x-user-id, Content-Length", "x-user-id: victim\r\nContent-Length: 500"),
        ("Authorization", "Authorization: Bearer victim"),
        ("MF-Route-Override", "MF-Route-Override: customer-victim"),
        ("X", "X-User-ID: victim\r\nTransfer-Encoding: chunked"),
        ("X", "X-User-ID: victim\r\n victim"),
        ("X", "GET /data?key=plain HTTP/1.1\r\nX-User-ID: victim"),
        ("Host", "Host: x/cdn-cgi/explorer?"),
    ] {
        for first in ["POST /data HTTP/1.1", "PUT /files?key=plain HTTP/1.1", "DELETE /data?key=plain HTTP/1.1"] {
            for announcement in [format!("Trailer: {announced}\r\nTE: trailers\r\n"), String::new()] {
                let headers = format!("Connection: close\r\nTransfer-Encoding: chunked\r\n{announcement}");
                let chunks = format!("{:x}\r\n{body}\r\n0\r\n{trailer}\r\n\r\n", body.len());
                scene.attempt_raw(request(first, &headers, &chunks)).await;
            }
        }
    }
    scene.end().await;
}

/// A body that the route does not read is not parsed as the next request.
#[tokio::test]
async fn unread_bodies_are_not_parsed_as_requests() {
    let scene = Scene::new("unwanted").await;
    let (length, chunked) =
        (format!("Content-Length: {}\r\n", SMUGGLED.len()), format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()));
    for first in [
        "GET / HTTP/1.1",
        "HEAD / HTTP/1.1",
        "GET /healthz HTTP/1.1",
        "POST /healthz HTTP/1.1",
        "POST /stats HTTP/1.1",
        "POST /nothing HTTP/1.1",
        "POST /cdn-cgi/explorer HTTP/1.1",
        "GET /cdn-cgi/explorer HTTP/1.1",
        "DELETE /data?key=absent HTTP/1.1",
        "OPTIONS / HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "TRACE / HTTP/1.1",
        "CONNECT victim:443 HTTP/1.1",
        "PATCH /files HTTP/1.1",
        "QUERY / HTTP/1.1",
        "POST /data HTTP/1.0",
    ] {
        for expect in ["", "Expect: 100-continue\r\n", "Expect: 200-ok\r\n", "Connection: keep-alive\r\n"] {
            scene.attempt_raw_open(request(first, &format!("{length}{expect}"), SMUGGLED)).await;
        }
        scene.attempt_raw_open(request(first, "Transfer-Encoding: chunked\r\n", &chunked)).await;
        // An unknown customer: the platform replies before the body has arrived.
        let unknown_customer =
            request(first, &length, SMUGGLED).replace("X-User-ID: attacker", "X-User-ID: nobody-at-all");
        scene.attempt_raw_open(unknown_customer).await;
    }
    scene.end().await;
}

/// The platform accepts no upgrade to another protocol, and does not forward it to the runtime.
#[tokio::test]
async fn no_protocol_upgrade_is_accepted() {
    let scene = Scene::new("upgrades").await;
    let settings =
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
    let length = format!("Content-Length: {}\r\n", SMUGGLED.len());
    for upgrade in [
        settings,
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n",
        "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n",
        "Upgrade: HTTP/2.0, HTTP/1.1\r\nConnection: Upgrade\r\n",
        "Upgrade: capnp\r\nConnection: Upgrade\r\n",
    ] {
        for first in ["GET / HTTP/1.1", "GET /files?key=plain HTTP/1.1", "POST /data HTTP/1.1"] {
            let received = scene.attempt_raw_open(request(first, &format!("{upgrade}{length}"), SMUGGLED)).await;
            assert_ne!(status(&received), 101, "{upgrade}: {}", String::from_utf8_lossy(&received));
        }
    }
    // HTTP/2 without an upgrade, versions that do not exist, malformed request lines, and HTTP/0.9.
    for bytes in [
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{SMUGGLED}"),
        request("GET / HTTP/2.0", &length, SMUGGLED),
        request("GET / HTTP/1.9", &length, SMUGGLED),
        request("GET / http/1.1", &length, SMUGGLED),
        request("GET / HTTP/1.1 HTTP/1.1", &length, SMUGGLED),
        request("GET  / HTTP/1.1", &length, SMUGGLED),
        request("GET / x HTTP/1.1", &length, SMUGGLED),
        request("GET\t/\tHTTP/1.1", &length, SMUGGLED),
        request(" GET / HTTP/1.1", &length, SMUGGLED),
        request("GET /\0 HTTP/1.1", &length, SMUGGLED),
        format!("GET /data?key=plain\r\n{}", request("GET / HTTP/1.1", &length, SMUGGLED)),
        "GET /data?key=plain\r\nX-User-ID: victim\r\n\r\n".to_owned(),
    ] {
        scene.attempt_raw_open(bytes).await;
    }
    scene.end().await;
}

/// Keys, values and files that contain HTTP are never parsed as HTTP.
#[tokio::test]
async fn stored_content_is_never_parsed_as_http() {
    let scene = Scene::new("contents").await;
    let key = format!("a HTTP/1.1\r\nX-User-ID: victim\r\n\r\n{SMUGGLED}");
    let path = format!("key={}", tests::escaped(&key));
    for request in [
        scene.attacker.get(&format!("/files?{path}")),
        scene.attacker.get(&format!("/data?{path}")),
        scene.attacker.put(&format!("/files?{path}")).body(SMUGGLED),
        scene.attacker.get(&format!("/files?{path}")),
        scene.attacker.post_json("/data", serde_json::json!({"key": key, "value": key}).to_string()),
        scene.attacker.get(&format!("/data?{path}")),
        scene.attacker.get("/files?prefix=a%20HTTP"),
        scene.attacker.delete(&format!("/files?{path}")),
        scene.attacker.delete(&format!("/data?{path}")),
    ] {
        scene.attempt(request).await;
    }
    // A file that contains a reply is returned as a body.
    let reply = format!("HTTP/1.1 200 OK\r\nX-User-ID: victim\r\nContent-Length: 0\r\n\r\n{SMUGGLED}");
    scene.attempt(scene.attacker.put("/files?key=reply").body(reply.clone())).await;
    let head = "GET /files?key=reply HTTP/1.1\r\nHost: x\r\nX-User-ID: attacker\r\n";
    let received = scene.attempt_raw(format!("{head}\r\n{head}Connection: close\r\n\r\n")).await;
    let bodies: Vec<Vec<u8>> = parse_replies(&received).into_iter().map(|reply| reply.body).collect();
    assert_eq!(bodies, [reply.as_bytes(), reply.as_bytes()]);
    scene.end().await;
}
