//! `GET /files?key=`: ranges, preconditions, and the headers that are stored with a file.

use http::StatusCode;
use tests::{Customer, Reply, expect_problem, expect_success};

const CONTENT: &str = "0123456789";

/// Stores ten bytes, and returns the file's `ETag` and `Last-Modified`.
async fn store_content(user: &Customer, key: &str) -> (String, String) {
    expect_success(user.put(&format!("/files?key={key}")).body(CONTENT)).await;
    let head = Reply::to(user.head(&format!("/files?key={key}"))).await;
    (head.header("ETag").to_owned(), head.header("Last-Modified").to_owned())
}

#[tokio::test]
async fn a_range_returns_that_part_of_the_file() {
    let user = Customer::new("user1");
    store_content(&user, "range").await;
    for (range, content, bytes) in [
        ("bytes=0-0", "0", "0-0"),
        ("bytes=2-5", "2345", "2-5"),
        ("bytes=7-", "789", "7-9"),
        ("bytes=-3", "789", "7-9"),
        ("bytes=-99", CONTENT, "0-9"),
        ("bytes=0-", CONTENT, "0-9"),
        ("bytes=5-99999999999999999999", "56789", "5-9"),
        ("Bytes=9-9", "9", "9-9"),
    ] {
        let reply = Reply::to(user.get("/files?key=range").header("Range", range)).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::PARTIAL_CONTENT, content), "{range}");
        assert_eq!(reply.header("Content-Range"), format!("bytes {bytes}/10"), "{range}");
        assert_eq!(reply.header("Content-Length"), content.len().to_string(), "{range}");
        assert_eq!(reply.header("Accept-Ranges"), "bytes");
    }
}

#[tokio::test]
async fn anything_but_a_single_range_returns_the_whole_file() {
    let user = Customer::new("user1");
    store_content(&user, "no-range").await;
    for range in ["bytes=0-1,4-5", "bytes=5-2", "bytes=x", "items=0-1", "bytes", "bytes=", "bytes=-", "bytes=1-2x", ""]
    {
        let reply = Reply::to(user.get("/files?key=no-range").header("Range", range)).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, CONTENT), "{range}");
        assert!(!reply.headers.contains_key("Content-Range"), "{range}");
        assert_eq!(reply.header("Accept-Ranges"), "bytes");
    }
    // `Range` has no meaning for HEAD (RFC 9110, section 14.2).
    let head = Reply::to(user.head("/files?key=no-range").header("Range", "bytes=0-1")).await;
    assert_eq!((head.status, head.header("Content-Length")), (StatusCode::OK, "10"));
}

#[tokio::test]
async fn an_unsatisfiable_range_is_a_416() {
    let user = Customer::new("user1");
    store_content(&user, "out-of-range").await;
    expect_success(user.put("/files?key=empty-range").header("Content-Length", 0)).await;
    for (key, range, size) in [
        ("out-of-range", "bytes=10-", 10),
        ("out-of-range", "bytes=10-20", 10),
        ("out-of-range", "bytes=99999999999999999999-", 10),
        ("out-of-range", "bytes=-0", 10),
        ("empty-range", "bytes=0-", 0),
        ("empty-range", "bytes=0-5", 0),
        ("empty-range", "bytes=-5", 0),
    ] {
        let request = user.get(&format!("/files?key={key}")).header("Range", range);
        let reply = expect_problem(request, 416, "range_not_satisfiable").await;
        assert_eq!(reply.header("Content-Range"), format!("bytes */{size}"), "{range}");
    }
    expect_problem(user.get("/files?key=no-such-file").header("Range", "bytes=99-"), 404, "file_not_found").await;
}

#[tokio::test]
async fn concatenated_ranges_equal_the_file() {
    let user = Customer::new("user2");
    let content = tests::noise(1_000_003, 6);
    expect_success(user.put("/files?key=ranges").body(content.clone())).await;
    let mut joined = Vec::new();
    while joined.len() < content.len() {
        let range = format!("bytes={}-{}", joined.len(), joined.len() + 99_999);
        let reply = Reply::to(user.get("/files?key=ranges").header("Range", range)).await;
        assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT);
        joined.extend(reply.body);
    }
    assert!(joined == content);
}

#[tokio::test]
async fn preconditions_are_evaluated_against_the_stored_file() {
    const LONG_AGO: &str = "Mon, 01 Jan 2001 00:00:00 GMT";
    const FAR_AHEAD: &str = "Fri, 01 Jan 2100 00:00:00 GMT";
    let user = Customer::new("user1");
    let (etag, modified) = store_content(&user, "conditions").await;
    let (weak, unquoted) = (format!("W/{etag}"), etag.trim_matches('"').to_owned());
    let list = format!("\"a\", {weak} ,\"b\"");
    for (headers, status) in [
        (vec![("If-None-Match", &*etag)], 304),
        (vec![("If-None-Match", &weak)], 304),
        (vec![("If-None-Match", &unquoted)], 304),
        (vec![("If-None-Match", &list)], 304),
        (vec![("If-None-Match", "*")], 304),
        (vec![("If-None-Match", "\"other\"")], 200),
        (vec![("If-None-Match", "\"a\", \"b\"")], 200),
        (vec![("If-None-Match", "")], 200),
        (vec![("If-Match", &etag)], 200),
        (vec![("If-Match", "*")], 200),
        (vec![("If-Match", &list)], 412),
        (vec![("If-Match", "\"other\"")], 412),
        (vec![("If-Modified-Since", &modified)], 304),
        (vec![("If-Modified-Since", FAR_AHEAD)], 304),
        (vec![("If-Modified-Since", LONG_AGO)], 200),
        (vec![("If-Modified-Since", "yesterday")], 200),
        (vec![("If-Unmodified-Since", &modified)], 200),
        (vec![("If-Unmodified-Since", FAR_AHEAD)], 200),
        (vec![("If-Unmodified-Since", LONG_AGO)], 412),
        (vec![("If-None-Match", "\"other\""), ("If-Modified-Since", FAR_AHEAD)], 200),
        (vec![("If-None-Match", &etag), ("If-Modified-Since", LONG_AGO)], 304),
        (vec![("If-Match", &etag), ("If-Unmodified-Since", LONG_AGO)], 200),
        (vec![("If-Match", "\"other\""), ("If-None-Match", &etag)], 412),
        (vec![("If-Match", &etag), ("If-None-Match", &etag)], 304),
        // Preconditions are evaluated before the range.
        (vec![("If-None-Match", &etag), ("Range", "bytes=0-1")], 304),
        (vec![("If-None-Match", &etag), ("Range", "bytes=99-")], 304),
        (vec![("If-Match", "\"other\""), ("Range", "bytes=99-")], 412),
        (vec![("If-Match", &etag), ("Range", "bytes=99-")], 416),
        (vec![("If-None-Match", "\"other\""), ("Range", "bytes=0-1")], 206),
    ] {
        let with = |request: reqwest::RequestBuilder| {
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
        };
        let reply = Reply::to(with(user.get("/files?key=conditions"))).await;
        assert_eq!(reply.status, status, "{headers:?}: {reply}");
        let content = match status {
            200 => CONTENT,
            206 => "01",
            304 => "",
            _ => reply.text(),
        };
        assert_eq!(reply.text(), content, "{headers:?}");
        if status == 304 {
            // A cache needs these headers to reuse its copy.
            assert_eq!((reply.header("ETag"), reply.header("Cache-Control")), (&*etag, "private, no-cache"));
            assert_eq!(reply.header("Vary"), "X-User-ID, Authorization");
        }
        if status < 400 {
            let head = Reply::to(with(user.head("/files?key=conditions"))).await;
            assert_eq!(head.status, if status == 206 { 200 } else { status }, "{headers:?}");
        }
    }
    for name in ["If-Match", "If-None-Match"] {
        expect_problem(user.get("/files?key=absent").header(name, &etag), 404, "file_not_found").await;
    }
}

#[tokio::test]
async fn if_range_with_another_version_returns_the_whole_file() {
    let user = Customer::new("user1");
    let (etag, modified) = store_content(&user, "if-range").await;
    for (version, status) in [
        (&*etag, 206),
        (&*modified, 206),
        ("\"other\"", 200),
        (&*format!("W/{etag}"), 200),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 200),
        ("nonsense", 200),
    ] {
        let request = user.get("/files?key=if-range").header("Range", "bytes=2-3").header("If-Range", version);
        let reply = Reply::to(request).await;
        assert_eq!(
            (reply.status.as_u16(), reply.text()),
            (status, if status == 206 { "23" } else { CONTENT }),
            "{version}"
        );
    }
    // An unsatisfiable range is an error only if `If-Range` names the stored version.
    let request =
        |version: &str| user.get("/files?key=if-range").header("Range", "bytes=99-").header("If-Range", version);
    assert_eq!(Reply::to(request("\"other\"")).await.status, 200);
    expect_problem(request(&etag), 416, "range_not_satisfiable").await;
}

#[tokio::test]
async fn headers_of_an_upload_are_stored_and_returned() {
    let user = Customer::new("user1");
    let headers = [
        ("Content-Type", "text/css; charset=utf-8"),
        ("Cache-Control", "public, max-age=60"),
        ("Content-Disposition", "attachment; filename=\"a.css\""),
        ("Content-Language", "en, de"),
        ("Expires", "Fri, 01 Jan 2100 00:00:00 GMT"),
    ];
    let with = |request: reqwest::RequestBuilder| {
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .header("X-Other", "not stored")
    };
    expect_success(with(user.put("/files?key=kept-headers").body("a{}"))).await;

    let upload = expect_success(with(user.post("/files/uploads?key=kept-headers-parts"))).await.json();
    let upload =
        format!("key=kept-headers-parts&uploadId={}", tests::escaped(upload["uploadId"].as_str().expect("an id")));
    let part = expect_success(user.put(&format!("/files/uploads?{upload}&partNumber=1")).body("a{}")).await.json();
    let parts = serde_json::json!({"parts": [part]}).to_string();
    let stored = expect_success(user.post_json(&format!("/files/uploads/complete?{upload}"), parts)).await.json();
    assert_eq!(stored["contentType"], "text/css; charset=utf-8");

    for key in ["kept-headers", "kept-headers-parts"] {
        for reply in [
            Reply::to(user.get(&format!("/files?key={key}"))).await,
            Reply::to(user.head(&format!("/files?key={key}"))).await,
        ] {
            for (name, value) in headers {
                assert_eq!(reply.header(name), value, "{key}");
            }
            assert!(!reply.headers.contains_key("X-Other"));
        }
    }
}

/// An encoded file is stored and returned as it is.
#[tokio::test]
async fn an_encoded_file_is_not_encoded_again() {
    let user = Customer::new("user1");
    // `printf hello | gzip -n`
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00";
    let request =
        user.put("/files?key=encoded").header("Content-Encoding", "gzip").header("Content-Type", "text/plain");
    assert_eq!(expect_success(request.body(gzip.to_vec())).await.json()["size"], gzip.len());
    for encoding in ["gzip", "identity", "br, gzip"] {
        let reply = Reply::to(user.get("/files?key=encoded").header("Accept-Encoding", encoding)).await;
        assert_eq!((reply.header("Content-Encoding"), &*reply.body), ("gzip", &gzip[..]), "{encoding}");
        assert_eq!(reply.header("Content-Length"), gzip.len().to_string());
    }
}

#[tokio::test]
async fn headers_that_cannot_be_stored_are_refused() {
    let user = Customer::new("user1");
    let too_long = "x".repeat(1025);
    for (name, value) in [
        ("Cache-Control", &*too_long),
        ("Content-Type", &*too_long),
        ("Content-Disposition", "attachment; filename=\"ä.css\""),
        ("Expires", "tomorrow"),
        ("Expires", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        for request in [user.put("/files?key=refused").body("x"), user.post("/files/uploads?key=refused")] {
            let value = http::HeaderValue::from_bytes(value.as_bytes()).expect("a header may hold it");
            expect_problem(request.header(name, value), 400, "invalid_parameter").await;
        }
    }
    expect_problem(user.get("/files?key=refused"), 404, "file_not_found").await;
}

/// S3 clients send such an `Expires` for files that must not be cached.
#[tokio::test]
async fn expires_may_be_in_the_past() {
    let user = Customer::new("user1");
    for (value, stored) in [
        ("0", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("-1", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Thu, 01 Jan 1970 00:00:01 GMT", "Thu, 01 Jan 1970 00:00:01 GMT"),
    ] {
        expect_success(user.put("/files?key=expired").header("Expires", value).body("x")).await;
        assert_eq!(Reply::to(user.get("/files?key=expired")).await.header("Expires"), stored, "{value}");
        let created =
            expect_success(user.post("/files/uploads?key=expired-parts").header("Expires", value)).await.json();
        let upload =
            format!("key=expired-parts&uploadId={}", tests::escaped(created["uploadId"].as_str().expect("an id")));
        let part = expect_success(user.put(&format!("/files/uploads?{upload}&partNumber=1")).body("x")).await.json();
        let parts = serde_json::json!({"parts": [part]}).to_string();
        expect_success(user.post_json(&format!("/files/uploads/complete?{upload}"), parts)).await;
        assert_eq!(Reply::to(user.head("/files?key=expired-parts")).await.header("Expires"), stored, "{value}");
    }
}

/// An entity tag may contain a comma (RFC 9110, section 8.8.3).
#[tokio::test]
async fn a_comma_does_not_end_an_etag() {
    let user = Customer::new("user1");
    let (etag, _) = store_content(&user, "comma").await;
    let tag = etag.trim_matches('"');
    let get = |name: &'static str, value: String| user.get("/files?key=comma").header(name, value);
    for tags in [
        format!("\"x,{tag}\""),
        format!("\"x,{tag}\", \"y\""),
        format!("\"{tag},x\""),
        format!("W/\"x, {tag}\""),
        format!("\"y\", \"x, {tag} ,z\""),
        "\"x,*\"".to_owned(),
        "\"*\"".to_owned(),
    ] {
        let reply = Reply::to(get("If-None-Match", tags.clone())).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, CONTENT), "{tags}");
        expect_problem(get("If-Match", tags.clone()), 412, "precondition_failed").await;
        let reply = Reply::to(get("If-Range", tags.clone()).header("Range", "bytes=0-1")).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, CONTENT), "{tags}");
    }
    for tags in [format!("\"x,y\", {etag}"), format!("\"x,*\",{etag},"), format!("\"x,\" , W/\"z\",{tag}")] {
        assert_eq!(Reply::to(get("If-None-Match", tags.clone())).await.status, StatusCode::NOT_MODIFIED, "{tags}");
        assert_eq!(Reply::to(get("If-Match", tags.clone())).await.text(), CONTENT, "{tags}");
    }
    assert_eq!(Reply::to(get("If-Range", etag).header("Range", "bytes=0-1")).await.text(), "01");
}
