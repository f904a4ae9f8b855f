//! Request headers that change the meaning of a body are obeyed or refused.

use reqwest::multipart::{Form, Part};
use serde_json::json;
use tests::{Customer, Reply, escaped, expect_problem, expect_success};

async fn expect_content(user: &Customer, key: &str, content: &str) {
    assert_eq!(Reply::to(user.get(&format!("/files?key={key}"))).await.text(), content);
}

fn form(key: &str) -> Form {
    Form::new().text("key", key.to_owned()).part("file", Part::text("new").file_name("f"))
}

/// A part of a file must not replace the whole file.
#[tokio::test]
async fn writes_with_content_range_are_refused() {
    let user = Customer::new("user1");
    expect_success(user.put("/files?key=ranged").body("01234567890123456789")).await;
    expect_success(user.post_json("/data", r#"{"key":"ranged","value":"old"}"#)).await;
    let created = expect_success(user.post("/files/uploads?key=ranged")).await.json();
    let upload = format!("key=ranged&uploadId={}", escaped(created["uploadId"].as_str().expect("an id")));
    let put_part = || user.put(&format!("/files/uploads?{upload}&partNumber=1")).body("whole");
    let part = expect_success(put_part()).await.json();
    let complete = json!({"parts": [part]}).to_string();
    for range in ["bytes 5-14/20", "bytes 0-19/20", "bytes 5-14/*", "bytes */20", "items 1-2/3", "nonsense"] {
        for request in [
            user.put("/files?key=ranged").body("x".repeat(10)),
            user.post("/files").multipart(form("ranged")),
            user.post("/files/uploads?key=ranged"),
            put_part(),
            user.post_json(&format!("/files/uploads/complete?{upload}"), complete.clone()),
            user.post_json("/data", r#"{"key":"ranged","value":"new"}"#),
            user.post_json("/db/query", r#"{"sql":"CREATE TABLE ranged (a)"}"#),
            user.post_json("/db/batch", r#"{"statements":[{"sql":"CREATE TABLE ranged (a)"}]}"#),
        ] {
            let reply = expect_problem(request.header("Content-Range", range), 400, "invalid_parameter").await;
            assert!(reply.text().contains("Content-Range"), "{reply}");
        }
    }
    expect_content(&user, "ranged", "01234567890123456789").await;
    assert_eq!(expect_success(user.get("/data?key=ranged")).await.json()["value"], "old");
    expect_success(user.post_json("/db/query", r#"{"sql":"CREATE TABLE ranged (a)"}"#)).await;
    // An empty header counts as absent, and a request without a body ignores the header.
    expect_success(user.put("/files?key=ranged").header("Content-Range", "").body("new")).await;
    let reply = Reply::to(user.get("/files?key=ranged").header("Content-Range", "bytes 0-1/3")).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "new"));
    // The upload can still be completed.
    expect_success(user.post_json(&format!("/files/uploads/complete?{upload}"), complete)).await;
    expect_content(&user, "ranged", "whole").await;
}

/// Routes that parse a body do not decode it. `PUT /files` stores an encoded file as it is.
#[tokio::test]
async fn encoded_bodies_are_refused_where_they_are_parsed() {
    let user = Customer::new("user1");
    expect_success(user.put("/files?key=coded").body("old")).await;
    let created = expect_success(user.post("/files/uploads?key=coded")).await.json();
    let upload = format!("key=coded&uploadId={}", escaped(created["uploadId"].as_str().expect("an id")));
    let put_part = |number: u16| user.put(&format!("/files/uploads?{upload}&partNumber={number}")).body("whole");
    let part = expect_success(put_part(1)).await.json();
    let complete = json!({"parts": [part]}).to_string();
    let requests = || {
        [
            user.post_json("/data", r#"{"key":"coded","value":"new"}"#),
            user.post_json("/db/query", r#"{"sql":"SELECT 1"}"#),
            user.post_json("/db/batch", r#"{"statements":[{"sql":"SELECT 1"}]}"#),
            user.post("/files").multipart(form("coded")),
            put_part(2),
            user.post_json(&format!("/files/uploads/complete?{upload}"), complete.clone()),
        ]
    };
    for (encoding, named) in
        [("gzip", "`gzip`"), ("br", "`br`"), ("identity, x-own", "`x-own`"), ("DEFLATE", "`DEFLATE`")]
    {
        for request in requests() {
            let request = request.header("Content-Encoding", encoding);
            let reply = expect_problem(request, 415, "unsupported_media_type").await;
            assert!(reply.text().contains(named), "{reply}");
            assert_eq!(reply.header("Accept-Encoding"), "identity");
        }
    }
    expect_content(&user, "coded", "old").await;
    expect_problem(user.get("/data?key=coded"), 404, "data_not_found").await;
    for request in requests() {
        expect_success(request.header("Content-Encoding", "identity")).await;
    }
    expect_content(&user, "coded", "whole").await;
}

/// JSON is UTF-8 (RFC 8259, section 8.1). A body with another charset must not be parsed as UTF-8.
#[tokio::test]
async fn json_in_another_charset_is_refused() {
    let user = Customer::new("user1");
    let request = |content_type: &str| {
        let body = r#"{"key":"charset","value":"\u00c3\u00a9 Ã©"}"#;
        user.post("/data").header("Content-Type", content_type).body(body)
    };
    for charset in ["iso-8859-1", "\"UTF-16\"", "windows-1252", "utf-8; charset=latin1"] {
        let content_type = format!("application/json; charset={charset}");
        let reply = expect_problem(request(&content_type), 415, "unsupported_media_type").await;
        assert!(reply.text().contains("UTF-8"), "{reply}");
    }
    for charset in ["utf-8", "\"UTF-8\"", "utf8", "us-ascii"] {
        expect_success(request(&format!("application/json; charset={charset}"))).await;
    }
}

/// `Range` has no meaning for a write (RFC 9110, section 14.2), and digests are not checked.
#[tokio::test]
async fn headers_without_meaning_for_a_write_are_ignored() {
    let user = Customer::new("user1");
    for (name, value) in [
        ("Range", "bytes=0-1"),
        ("If-Range", "\"x\""),
        ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
        ("Content-Digest", "sha-256=:AAAA:"),
        ("Trailer", "Expires"),
        ("Content-Location", "/other"),
    ] {
        expect_success(user.put("/files?key=ignored").header(name, value).body("all of it")).await;
        expect_content(&user, "ignored", "all of it").await;
    }
}

/// The position is that in the request body, and the problem says what was expected there.
#[tokio::test]
async fn invalid_json_is_reported_with_its_position() {
    let user = Customer::new("user1");
    for (path, body, message) in [
        ("/data", "{\"key\": \"ü\",\n \"value\": x}", "at line 2, column 11 (`x`), a value was expected"),
        ("/data", "{\"key\": \"k\", value: 1}", "at line 1, column 14 (`v`), a name in double quotes was expected"),
        ("/data", "{\"key\": \"k\"", "it ends at line 1, column 12, before an object is complete"),
        ("/data", "", "it is empty"),
        ("/db/query", "{\"sql\": \"SELECT ?\",\n\"params\": [\"\\ud800!\"]}", "at line 2, column "),
        ("/db/batch", "{\"statements\":\n[{\"sql\": 'x'}]}", "at line 2, column 10 (`'`), a value was expected"),
        (
            "/files/uploads/complete?key=a&uploadId=x",
            "{\"parts\": []\n \"x\"}",
            "at line 2, column 2 (`\"`), a comma or }",
        ),
    ] {
        let reply = expect_problem(user.post_json(path, body), 400, "invalid_json").await;
        let detail = reply.json()["detail"].as_str().expect("text").to_owned();
        assert!(detail.contains(message), "{body}: {detail}");
    }
}
