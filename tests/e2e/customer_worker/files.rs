//! `/files`: uploading, reading and deleting files.

use http::StatusCode;
use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tests::{AWKWARD_KEYS, Customer, Reply, escaped, expect_json, expect_problem, expect_success, noise};

const LOGO: &[u8] = include_bytes!("../../fixtures/logo.png");

fn path(key: &str) -> String {
    format!("/files?key={}", escaped(key))
}

fn upload(user: &Customer, key: &str, content: impl Into<Vec<u8>>) -> RequestBuilder {
    let file = Part::bytes(content.into()).file_name("name.bin");
    user.post("/files").multipart(Form::new().text("key", key.to_owned()).part("file", file))
}

/// Creates a request with a form as raw bytes.
fn raw_form(user: &Customer, body: impl Into<reqwest::Body>) -> RequestBuilder {
    user.post("/files").header("Content-Type", "multipart/form-data; boundary=x").body(body)
}

#[tokio::test]
async fn an_image_comes_back_byte_for_byte_until_it_is_deleted() {
    let user = Customer::new("user1");
    expect_problem(user.get("/files?key=logo.png"), 404, "file_not_found").await;
    let file = Part::bytes(LOGO).file_name("logo.png").mime_str("image/png").expect("a type");
    let form = Form::new().text("key", "logo.png").part("file", file);
    let stored = expect_success(user.post("/files").multipart(form)).await.json();
    let etag = stored["etag"].as_str().expect("an etag");
    let expected =
        json!({"success": true, "key": "logo.png", "size": LOGO.len(), "etag": etag, "contentType": "image/png"});
    assert_eq!(stored, expected);

    let reply = Reply::to(user.get("/files?key=logo.png")).await;
    assert!(reply.status == StatusCode::OK && reply.body == LOGO, "{reply}");
    assert_eq!(reply.header("ETag"), format!("\"{etag}\""));
    for _ in 0..2 {
        expect_json(user.delete("/files?key=logo.png"), json!({"success": true})).await;
        expect_problem(user.get("/files?key=logo.png"), 404, "file_not_found").await;
    }
}

#[tokio::test]
async fn a_file_of_50_mb_comes_back_byte_for_byte() {
    let user = Customer::new("user2");
    let content = noise(50_000_000, 1);
    let stored = expect_success(upload(&user, "large", content.clone())).await;
    assert_eq!(stored.json()["size"], content.len());
    let reply = Reply::to(user.get("/files?key=large")).await;
    assert_eq!(reply.header("Content-Length"), "50000000");
    assert!(reply.body == content, "{reply}");
    expect_success(user.delete("/files?key=large")).await;
}

#[tokio::test]
async fn a_file_is_sent_with_security_headers() {
    let user = Customer::new("user1");
    let file = Part::text("<script>alert(1)</script>").file_name("x.html").mime_str("text/html").expect("a type");
    expect_success(user.post("/files").multipart(Form::new().text("key", "x.html").part("file", file))).await;
    let reply = Reply::to(user.get("/files?key=x.html")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("Content-Type"), "text/html");
    assert_eq!(reply.header("X-Content-Type-Options"), "nosniff");
    let policy = reply.header("Content-Security-Policy");
    assert!(policy.contains("sandbox") && policy.contains("default-src 'none'"), "{policy}");
    assert_eq!(reply.header("Cache-Control"), "private, no-cache");
    assert_eq!(reply.header("Vary"), "X-User-ID, Authorization");
}

/// wrangler rewrites HTML replies, and fails if it does not know the charset.
#[tokio::test]
async fn html_is_unchanged_whatever_its_charset() {
    let user = Customer::new("user1");
    for content_type in ["text/html", "text/html; charset=utf-16", "TEXT/HTML;charset=bogus", "application/xhtml+xml"] {
        let stored = user.put("/files?key=page").header("Content-Type", content_type).body("<p>x");
        expect_success(stored).await;
        for request in [user.get("/files?key=page"), user.head("/files?key=page")] {
            let reply = Reply::to(request).await;
            assert_eq!(reply.status, StatusCode::OK, "{content_type}: {reply}");
            assert_eq!((reply.header("Content-Type"), reply.header("Content-Length")), (content_type, "4"));
            assert!(["", "<p>x"].contains(&reply.text()), "{reply}");
            assert!(!reply.headers.contains_key("Platform-Content-Type"), "{reply}");
        }
        let range = Reply::to(user.get("/files?key=page").header("Range", "bytes=1-2")).await;
        assert_eq!((range.status, range.text()), (StatusCode::PARTIAL_CONTENT, "p>"), "{content_type}");
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let user = Customer::new("user1");
    expect_success(upload(&user, "head", "0123456789")).await;
    let (get, head) = (Reply::to(user.get("/files?key=head")).await, Reply::to(user.head("/files?key=head")).await);
    assert_eq!((head.status, &*head.body), (StatusCode::OK, &b""[..]));
    for name in ["Content-Type", "Content-Length", "ETag", "Last-Modified", "Cache-Control", "Vary"] {
        assert_eq!(get.header(name), head.header(name), "{name}");
    }
    assert_eq!(get.header("Content-Length"), "10");
    expect_http_date(get.header("Last-Modified"));
    assert_eq!(Reply::to(user.head("/files?key=absent")).await.status, StatusCode::NOT_FOUND);
}

/// Expects an IMF-fixdate (RFC 9110, section 5.6.7).
fn expect_http_date(date: &str) {
    let shape: String = date
        .chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '0'
            } else if c.is_ascii_alphabetic() {
                'a'
            } else {
                c
            }
        })
        .collect();
    assert_eq!(shape, "aaa, 00 aaa 0000 00:00:00 aaa", "{date}");
}

#[tokio::test]
async fn a_file_keeps_its_content_type() {
    let user = Customer::new("user1");
    for (sent, stored_type) in [
        (Some("image/svg+xml"), "image/svg+xml"),
        (Some("text/plain; charset=iso-8859-1"), "text/plain; charset=iso-8859-1"),
        (Some("application/x-unheard-of"), "application/x-unheard-of"),
        (None, "application/octet-stream"),
    ] {
        let header = sent.map(|sent| format!("Content-Type: {sent}\r\n")).unwrap_or_default();
        let body = format!(
            "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\ntype\r\n\
             --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n{header}\r\ncontent\r\n--x--\r\n"
        );
        let stored = expect_success(raw_form(&user, body)).await;
        assert_eq!(stored.json()["contentType"], stored_type);
        assert_eq!(Reply::to(user.get("/files?key=type")).await.header("Content-Type"), stored_type);
    }
}

#[tokio::test]
async fn form_fields_may_come_in_any_order_and_unknown_ones_are_ignored() {
    let user = Customer::new("user1");
    let file = Part::text("content").file_name("f");
    let form = Form::new().text("before", "x").part("file", file).text("key", "order").text("after", "y");
    expect_success(user.post("/files").multipart(form)).await;
    assert_eq!(Reply::to(user.get("/files?key=order")).await.text(), "content");
}

#[tokio::test]
async fn an_empty_file_is_stored() {
    let user = Customer::new("user1");
    assert_eq!(expect_success(upload(&user, "empty", "")).await.json()["size"], 0);
    let reply = Reply::to(user.get("/files?key=empty")).await;
    assert_eq!((reply.status, reply.header("Content-Length"), &*reply.body), (StatusCode::OK, "0", &b""[..]));
}

#[tokio::test]
async fn keys_up_to_the_limit_stay_distinct() {
    let user = Customer::new("user2");
    let (longest, longest_wide) = ("k".repeat(1024), "é".repeat(512));
    let keys = AWKWARD_KEYS.into_iter().chain([&*longest, &*longest_wide]);
    for key in keys.clone() {
        assert_eq!(expect_success(upload(&user, key, key)).await.json()["key"], key);
        assert_eq!(expect_success(user.put(&path(key)).body(key.to_owned())).await.json()["key"], key);
    }
    for key in keys.clone() {
        let reply = Reply::to(user.get(&path(key))).await;
        assert!(reply.status == StatusCode::OK && reply.text() == key, "{key:?}: {reply}");
    }
    for key in keys.clone() {
        expect_success(user.delete(&path(key))).await;
        expect_problem(user.get(&path(key)), 404, "file_not_found").await;
    }
}

#[tokio::test]
async fn bad_keys_are_refused() {
    let user = Customer::new("user1");
    let too_long = path(&"k".repeat(1025));
    for (path, code) in [
        ("/files?key=", "invalid_key"),
        ("/files?key=%c3%28", "invalid_key"),
        (&too_long, "invalid_key"),
        ("/files?key=a&key=a", "invalid_parameter"),
    ] {
        expect_problem(user.get(path), 400, code).await;
        expect_problem(user.delete(path), 400, code).await;
        assert_eq!(Reply::to(user.head(path)).await.status, 400);
    }
    for request in [user.delete("/files"), user.delete("/files?KEY=a"), user.put("/files").body("x")] {
        expect_problem(request, 400, "missing_key").await;
    }
    for (key, code) in [("", "invalid_key"), (&*"k".repeat(1025), "invalid_key")] {
        expect_problem(upload(&user, key, "x"), 400, code).await;
    }
}

#[tokio::test]
async fn a_bad_form_is_refused_and_the_old_file_stays() {
    let user = Customer::new("user1");
    expect_success(upload(&user, "bad", "old")).await;
    let key = "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nbad\r\n";
    let file = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nnew\r\n";
    let text = "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nnew\r\n";
    let key_file = "--x\r\nContent-Disposition: form-data; name=\"key\"; filename=\"f\"\r\n\r\nbad\r\n";
    let typed =
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\nContent-Type: a/ü\r\n\r\nnew\r\n";
    let end = "--x--\r\n";
    for (body, code) in [
        (String::new(), "invalid_form"),
        ("not a form".to_owned(), "invalid_form"),
        (format!("{key}{file}"), "invalid_form"),
        (
            format!("{key}--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nne"),
            "invalid_form",
        ),
        (format!("{key}{end}"), "invalid_form"),
        (format!("{key}{text}{end}"), "invalid_form"),
        (format!("{key}{typed}{end}"), "invalid_form"),
        (format!("{key_file}{file}{end}"), "invalid_form"),
        (format!("{key}{key}{file}{end}"), "invalid_form"),
        (format!("{key}{file}{file}{end}"), "invalid_form"),
        (format!("{file}{end}"), "missing_key"),
        (format!("{key}{file}{end}").replace("bad", ""), "invalid_key"),
    ] {
        expect_problem(raw_form(&user, body), 400, code).await;
    }
    let form = format!("{key}{file}{end}");
    let send = |content_type: &str| user.post("/files").header("Content-Type", content_type).body(form.clone());
    expect_problem(send("multipart/form-data"), 400, "invalid_form").await;
    expect_problem(send("multipart/form-data; boundary=y"), 400, "invalid_form").await;
    for content_type in ["application/json", "application/x-www-form-urlencoded", "multipart/mixed; boundary=x"] {
        expect_problem(send(content_type), 415, "unsupported_media_type").await;
    }
    expect_problem(user.post("/files").body(form), 415, "unsupported_media_type").await;
    assert_eq!(Reply::to(user.get("/files?key=bad")).await.text(), "old");
}
