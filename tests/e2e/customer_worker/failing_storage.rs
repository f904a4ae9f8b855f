//! Storage that throws errors. `fixtures/flaky-storage.js` stands in front of the simulators and fails if a key says
//! so.

use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tests::{Customer, Reply, escaped, expect_problem, expect_success, noise};

async fn expect_unavailable(request: RequestBuilder) {
    let reply = expect_problem(request.header("X-Request-Id", "flaky-request"), 503, "storage_unavailable").await;
    assert_eq!(reply.header("Retry-After"), "1", "{reply}");
    assert_eq!(reply.json()["requestId"], "flaky-request");
    assert!(!reply.text().contains("secret"), "{reply}");
}

fn form(user: &Customer, key: &str, content: Vec<u8>) -> RequestBuilder {
    user.post("/files")
        .multipart(Form::new().text("key", key.to_owned()).part("file", Part::bytes(content).file_name("f")))
}

#[tokio::test]
async fn the_stand_in_works_while_it_does_not_fail() {
    let user = Customer::new("flaky");
    expect_success(user.post_json("/data", r#"{"key":"works","value":[1]}"#)).await;
    assert_eq!(expect_success(user.get("/data?key=works")).await.json()["value"], json!([1]));
    expect_success(user.put("/files?key=works").body("content")).await;
    assert_eq!(Reply::to(user.get("/files?key=works")).await.text(), "content");
    let content = noise(6_000_000, 50);
    expect_success(form(&user, "works", content.clone())).await;
    assert!(Reply::to(user.get("/files?key=works")).await.body == content);
}

/// Other programs may write such headers to the bucket.
#[tokio::test]
async fn stored_headers_that_clients_cannot_set_are_omitted() {
    let user = Customer::new("flaky");
    expect_success(user.put("/files?key=odd").body("content")).await;
    for reply in [Reply::to(user.get("/files?key=odd")).await, Reply::to(user.head("/files?key=odd")).await] {
        let headers =
            ["Content-Type", "Cache-Control", "Content-Language", "Content-Length"].map(|name| reply.header(name));
        assert_eq!(headers, ["application/octet-stream", "private, no-cache", "en", "7"], "{reply}");
        for name in ["Content-Disposition", "X-Odd"] {
            assert!(!reply.headers.contains_key(name), "{reply}");
        }
    }
}

#[tokio::test]
async fn throwing_storage_is_a_503() {
    let user = Customer::new("flaky");
    for operation in ["get", "head", "put", "delete", "list"] {
        let key = escaped(&format!("fail:{operation}"));
        match operation {
            "get" => {
                expect_unavailable(user.get(&format!("/files?key={key}"))).await;
                expect_unavailable(user.get(&format!("/data?key={key}"))).await;
            }
            "head" => assert_eq!(Reply::to(user.head(&format!("/files?key={key}"))).await.status, 503),
            "put" => {
                expect_unavailable(user.put(&format!("/files?key={key}")).body("x")).await;
                expect_unavailable(form(&user, "fail:put", b"x".to_vec())).await;
                expect_unavailable(user.post_json("/data", r#"{"key":"fail:put","value":1}"#)).await;
            }
            "delete" => {
                expect_unavailable(user.delete(&format!("/files?key={key}"))).await;
                expect_unavailable(user.delete(&format!("/data?key={key}"))).await;
            }
            _ => {
                expect_unavailable(user.get(&format!("/files?prefix={key}"))).await;
                expect_unavailable(user.get(&format!("/data?prefix={key}"))).await;
            }
        }
    }
    expect_unavailable(user.post_json("/db/query", r#"{"sql":"SELECT 1"}"#)).await;
    expect_unavailable(user.post_json("/db/batch", r#"{"statements":[{"sql":"SELECT 1"}]}"#)).await;
}

/// R2 fails if a file does not have the requested range. When the Worker then reads the file's size, the file has been
/// replaced by a longer one.
#[tokio::test]
async fn a_range_of_a_file_that_has_just_grown_is_returned() {
    let user = Customer::new("flaky");
    expect_success(user.put("/files?key=grows").header("Content-Length", 0)).await;
    let reply = Reply::to(user.get("/files?key=grows").header("Range", "bytes=1-3")).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (206, "row"), "{reply}");
    assert_eq!(reply.header("Content-Range"), "bytes 1-3/5", "{reply}");
}

/// An upload whose storage fails in the middle leaves no parts and keeps the old file.
#[tokio::test]
async fn a_failed_write_leaves_nothing_behind() {
    let user = Customer::new("flaky");
    for failing in ["create", "part", "complete"] {
        let key = format!("half/fail:{failing}");
        let path = format!("/files?key={}", escaped(&key));
        expect_success(user.put(&path).body("old")).await;
        expect_unavailable(form(&user, &key, noise(12_000_000, 51))).await;
        assert_eq!(Reply::to(user.get(&path)).await.text(), "old", "{failing}");
        let sql = format!("SELECT upload_id FROM _mf_multipart_uploads WHERE key = '{key}' AND state = 0");
        assert_eq!(tests::storage::query("r2", &sql), [""; 0], "{failing}");
    }
    expect_unavailable(user.post_json("/data", r#"{"key":"fail:put","value":1}"#)).await;
    expect_problem(user.get(&format!("/data?key={}", escaped("fail:put"))), 404, "data_not_found").await;
}

/// The operator finds the cause, which the problem does not reveal, by the problem's request id.
#[tokio::test]
async fn the_log_has_the_cause() {
    expect_unavailable(Customer::new("flaky").get(&format!("/files?key={}", escaped("log fail:get")))).await;
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/end-to-end.log");
    let logged = async {
        loop {
            let text = std::fs::read_to_string(log).expect("the platform's log");
            if let Some(line) = text
                .lines()
                .find(|line| line.contains("secret-get") && line.contains("\"requestId\":\"flaky-request\""))
            {
                return line.to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let line = tokio::time::timeout(std::time::Duration::from_secs(10), logged).await.expect("it is logged");
    assert!(line.contains("\"code\":\"storage_unavailable\""), "{line}");
}
