//! Many customers at once, on one connection and in one runtime.

use std::fmt::Write;

use http::StatusCode;
use tests::raw::{exchange, parse_replies};
use tests::{Customer, Reply, expect_success, noise};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::victim::{KEYS, Scene};

/// Pipelined requests of two customers: each reply is for the customer of its request.
#[tokio::test]
async fn pipelined_requests_do_not_mix() {
    let scene = Scene::new("pipelined").await;
    for round in 0..10 {
        let mut requests = String::new();
        for number in 0..20 {
            let id = if (number + round) % 2 == 0 { "attacker" } else { "victim" };
            let path = ["/data?key=plain", "/files?key=plain", "/", "/data", "/nothing"][number % 5];
            let connection = if number == 19 { "close" } else { "keep-alive" };
            write!(requests, "GET {path} HTTP/1.1\r\nHost: x\r\nX-User-ID: {id}\r\nConnection: {connection}\r\n\r\n")
                .expect("writing to a string cannot fail");
        }
        let replies = parse_replies(&exchange(&requests).await);
        assert_eq!(replies.len(), 20);
        for (number, reply) in replies.iter().enumerate() {
            if (number + round) % 2 == 0 {
                scene.expect_no_secret_in(format!("request {number} of {requests}"), &reply.body);
            } else if [0, 1, 3].contains(&(number % 5)) {
                assert!(reply.text().contains(scene.secret()), "request {number}: {reply}");
            }
        }
    }
    scene.end().await;
}

/// The attacker sends a request byte by byte. Between the bytes, the victim sends requests.
#[tokio::test]
async fn a_slow_request_gets_its_own_reply() {
    let scene = Scene::new("slow").await;
    for path in ["/data?key=plain", "/files?key=plain"] {
        let mut stream = tests::raw::connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-User-ID: attacker\r\nConnection: close\r\n\r\n");
        for byte in request.as_bytes() {
            stream.write_all(&[*byte]).await.expect("the platform reads");
            expect_success(scene.victim.get("/data?key=plain")).await;
        }
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.expect("a reply");
        scene.expect_no_secret_in(path, &received);
    }
    scene.end().await;
}

/// The attacker opens a download, and reads it after the victim's requests.
#[tokio::test]
async fn an_open_download_contains_no_other_customers_data() {
    let scene = Scene::new("open-ranges").await;
    let content = noise(20_000_000, 77);
    expect_success(scene.attacker.put("/files?key=large").body(content.clone())).await;
    for range in ["bytes=0-", "bytes=1000000-", "bytes=-19000000"] {
        let open = scene.attacker.get("/files?key=large").header("Range", range).send().await.expect("a reply");
        for key in KEYS {
            let path = format!("/files?key={}", tests::escaped(key));
            let victims = Reply::to(scene.victim.get(&path).header("Range", "bytes=0-")).await;
            assert!(victims.text().starts_with(scene.secret()), "{victims}");
        }
        let rest = Reply::read(open).await;
        assert_eq!(rest.status, StatusCode::PARTIAL_CONTENT);
        assert!(content.ends_with(&rest.body[rest.body.len() - 1000..]), "{range}");
        scene.expect_no_secret_in(range, &rest.body);
        scene.expect_unchanged(range).await;
    }
    scene.end().await;
}

/// The attacker's upload breaks off while the victim sends requests.
#[tokio::test]
async fn an_interrupted_body_is_not_continued_by_another_request() {
    let scene = Scene::new("broken-off").await;
    for headers in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        for path in ["/data", "/files?key=broken", "/files"] {
            let method = if path == "/files?key=broken" { "PUT" } else { "POST" };
            let mut stream = tests::raw::connect().await;
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nX-User-ID: attacker\r\nContent-Type: application/json\r\n{headers}\r\n\r\n\
                 14\r\n{{\"key\":\"broken\",\"valu"
            );
            stream.write_all(request.as_bytes()).await.expect("the platform reads");
            expect_success(scene.victim.get("/data?key=plain")).await;
            drop(stream);
            scene.expect_unchanged(headers).await;
        }
    }
    scene.end().await;
}

/// A connection serves many customers. The customer of one request must not carry over to the next.
#[tokio::test]
async fn requests_on_one_connection_do_not_mix() {
    let (one, two) = (Customer::new("user1"), Customer::new("user2"));
    for (user, content) in [(&one, "one's"), (&two, "two's")] {
        expect_success(user.put("/files?key=mixed").body(content)).await;
    }
    let client = tests::client();
    let requests = (0..200).map(|number| {
        let (id, content) = if number % 2 == 0 { ("user1", "one's") } else { ("user2", "two's") };
        let request = client.get(format!("{}/files?key=mixed", tests::platform_url())).header("X-User-ID", id);
        async move {
            let reply = Reply::to(request).await;
            assert!(reply.status == StatusCode::OK && reply.text() == content, "{id}: {reply}");
        }
    });
    futures::future::join_all(requests).await;
}

/// A customer's Worker forwards a reply with an invalid status from another server. Only that customer's request fails.
#[tokio::test]
async fn an_invalid_reply_of_one_customer_harms_no_other() {
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 999 Strange\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx").await;
        }
    });
    let strange = format!("/?url={}", tests::escaped(&format!("http://{address}/")));
    for (dispatcher, customer) in
        [("cors", Customer::behind("cors", "strange")), ("platform", Customer::new("strange"))]
    {
        let slow = Reply::to(customer.get("/?wait=1500"));
        let others = async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            for _ in 0..3 {
                let reply = Reply::to(customer.get(&strange)).await;
                assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (502, &"customer_worker_failed".into()));
            }
        };
        let (slow, ()) = futures::join!(slow, others);
        assert_eq!((slow.status, slow.text()), (StatusCode::OK, "strange"), "{dispatcher}");
    }
}
