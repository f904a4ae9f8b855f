//! Cross-origin requests from pages in browsers.

use http::{Method, StatusCode};
use serde_json::json;
use tests::workerd::{Configuration, RunningWorkerd};
use tests::{Customer, Reply, escaped, expect_problem, expect_success, noise};

const APP: &str = "https://app.example";

fn preflight(user: &Customer, origin: &str) -> reqwest::RequestBuilder {
    let request = user.request(Method::OPTIONS, "/files?key=a").header("Origin", origin);
    request.header("Access-Control-Request-Method", "PUT").header("Access-Control-Request-Headers", "x-user-id")
}

#[tokio::test]
async fn a_preflight_needs_no_user_id_or_token() {
    let anonymous = Customer::anonymous_behind("cors");
    for origin in [APP, "http://localhost:3000"] {
        let reply = Reply::to(preflight(&anonymous, origin)).await;
        assert_eq!((reply.status, &*reply.body), (StatusCode::NO_CONTENT, &b""[..]), "{reply}");
        assert_eq!(reply.header("Access-Control-Allow-Origin"), origin);
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
            assert!(reply.header("Access-Control-Allow-Methods").contains(method), "{method}: {reply}");
        }
        let allowed = reply.header("Access-Control-Allow-Headers").to_lowercase();
        for name in ["authorization", "x-user-id", "content-type", "if-match", "if-none-match", "range", "traceparent"]
        {
            assert!(allowed.split(", ").any(|header| header == name), "{name}: {reply}");
        }
        assert!(reply.header("Access-Control-Max-Age").parse::<u32>().expect("seconds") > 0);
        assert!(reply.headers.get_all("Vary").iter().any(|vary| vary.to_str().expect("text").contains("Origin")));
        assert!(!reply.headers.contains_key("Access-Control-Allow-Credentials"), "{reply}");
    }
    // Other origins get no CORS headers.
    for origin in ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null", ""] {
        let reply = Reply::to(preflight(&anonymous, origin)).await;
        assert!(!reply.headers.contains_key("Access-Control-Allow-Origin"), "{origin}: {reply}");
        assert!(!reply.headers.contains_key("Access-Control-Allow-Methods"), "{origin}: {reply}");
    }
    let any = Reply::to(preflight(&Customer::anonymous_behind("cors-any"), "https://anybody.example")).await;
    assert_eq!(any.header("Access-Control-Allow-Origin"), "*");
    // An OPTIONS request that is not a preflight is an ordinary request.
    let request = anonymous.request(Method::OPTIONS, "/").header("Origin", APP);
    expect_problem_with_origin_in_vary(request, 400, "missing_user_id").await;
}

/// Like `expect_problem`, for a dispatcher with `ALLOWED_ORIGINS`, whose `Vary` also has `Origin`.
async fn expect_problem_with_origin_in_vary(request: reqwest::RequestBuilder, status: u16, code: &str) -> Reply {
    let reply = Reply::to(request).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (status, &code.into()), "{reply}");
    reply
}

#[tokio::test]
async fn only_allowed_origins_can_read_replies() {
    let user = Customer::behind("cors", "user1");
    let content = noise(3_000_000, 7);
    Reply::to(user.put("/files?key=cors").header("Cache-Control", "public, max-age=60").body(content.clone())).await;
    for origin in [Some(APP), Some("https://evil.example"), None] {
        let with = |request: reqwest::RequestBuilder| match origin {
            Some(origin) => request.header("Origin", origin),
            None => request,
        };
        for (request, status) in [
            (user.get("/"), 200),
            (user.get("/files?key=cors"), 200),
            (user.head("/files?key=cors"), 200),
            (user.get("/files?key=cors").header("Range", "bytes=10-19"), 206),
            (user.get("/files?key=not-there"), 404),
            (user.post("/data").body("{"), 415),
            (Customer::anonymous_behind("cors").get("/"), 400),
            (Customer::anonymous_behind("cors").get("/healthz"), 200),
            (Customer::behind("cors", "nobody").get("/"), 404),
            (Customer::behind("cors", "throws").get("/"), 502),
        ] {
            let reply = Reply::to(with(request)).await;
            assert_eq!(reply.status, status, "{reply}");
            let allowed = reply.headers.get("Access-Control-Allow-Origin");
            if origin == Some(APP) {
                assert_eq!(allowed.map(|value| value.to_str().expect("text")), Some(APP), "{reply}");
                for name in ["ETag", "Content-Range", "Retry-After", "WWW-Authenticate"] {
                    assert!(reply.header("Access-Control-Expose-Headers").contains(name), "{name}: {reply}");
                }
            } else {
                assert_eq!(allowed, None, "{origin:?}: {reply}");
            }
            // A cache must not reuse a reply for another origin, or for a request without one.
            let vary: Vec<&str> = reply
                .headers
                .get_all("Vary")
                .iter()
                .flat_map(|vary| vary.to_str().expect("text").split(", "))
                .collect();
            for name in ["Origin", "X-User-ID", "Authorization"] {
                assert!(vary.contains(&name), "{name}: {reply}");
            }
        }
        let reply = Reply::to(with(user.get("/files?key=cors"))).await;
        assert!(reply.body == content && reply.header("Content-Length") == "3000000");
    }
}

/// An encoded file is returned byte for byte, with and without an `Origin`.
#[tokio::test]
async fn encoded_bodies_pass_through_unchanged() {
    let user = Customer::behind("cors", "user1");
    // The contents do not have these encodings, so that decoding them would fail.
    for (key, encoding) in [("cors-gzip", "gzip"), ("cors-br", "br"), ("cors-other", "zstd")] {
        let content = noise(100_000, 8);
        let path = format!("/files?key={key}");
        let stored = Reply::to(user.put(&path).header("Content-Encoding", encoding).body(content.clone())).await;
        assert_eq!(stored.status, StatusCode::OK, "{stored}");
        for origin in ["", APP] {
            let reply = Reply::to(user.get(&path).header("Origin", origin)).await;
            assert_eq!(reply.header("Content-Encoding"), encoding);
            assert!(reply.body == content, "{encoding} {origin}: {} bytes", reply.body.len());
        }
    }
}

#[tokio::test]
async fn no_cors_headers_without_allowed_origins() {
    let user = Customer::new("user1");
    let reply = expect_success(user.get("/").header("Origin", APP)).await;
    assert!(reply.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{reply}");
    let anonymous = tests::client().request(Method::OPTIONS, format!("{}/", tests::platform_url()));
    let anonymous = anonymous.header("Origin", APP).header("Access-Control-Request-Method", "PUT");
    expect_problem(anonymous, 400, "missing_user_id").await;
    expect_problem(preflight(&user, APP), 405, "method_not_allowed").await;
    // If any origin is allowed, replies do not depend on the origin, and `Vary` does not name it.
    for request in [
        Customer::behind("cors-any", "user1").get("/"),
        Customer::behind("cors-any", "user1").get("/").header("Origin", APP),
    ] {
        let any = expect_success(request).await;
        assert_eq!((any.header("Vary"), any.header("Access-Control-Allow-Origin")), ("X-User-ID, Authorization", "*"));
    }
}

/// CORS headers of a customer's own Worker are replaced if the operator has configured CORS.
#[tokio::test]
async fn the_operators_cors_settings_override_the_customer_workers() {
    let headers = json!({
        "Access-Control-Allow-Origin": "https://evil.example",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "*",
    });
    let path = format!("/?headers={}", escaped(&headers.to_string()));
    for (origin, allowed) in [("https://evil.example", None), (APP, Some(APP))] {
        let reply = Reply::to(Customer::behind("cors", "strange").get(&path).header("Origin", origin)).await;
        assert_eq!(reply.text(), "strange");
        let value = reply.headers.get("Access-Control-Allow-Origin").map(|origin| origin.to_str().expect("text"));
        assert_eq!(value, allowed, "{reply}");
        assert!(!reply.headers.contains_key("Access-Control-Allow-Credentials"), "{reply}");
    }
    // Without configured origins, the Worker's headers are kept.
    let reply = Reply::to(Customer::new("strange").get(&path)).await;
    assert_eq!(reply.header("Access-Control-Allow-Origin"), "https://evil.example");
}

/// Upload libraries send headers of their own, and pages may need to read more headers.
#[tokio::test]
async fn the_operator_can_allow_and_expose_more_headers() {
    let names = |list: &str| list.split(", ").map(str::to_lowercase).collect::<Vec<String>>();
    let added = Reply::to(preflight(&Customer::anonymous_behind("cors"), APP)).await;
    let others = Reply::to(preflight(&Customer::anonymous_behind("cors-any"), APP)).await;
    let mut expected = names(others.header("Access-Control-Allow-Headers"));
    assert!(!expected.contains(&"x-requested-with".to_owned()), "{others}");
    expected.extend(["x-requested-with".to_owned(), "x-file-name".to_owned()]);
    assert_eq!(names(added.header("Access-Control-Allow-Headers")), expected);

    let added = Reply::to(Customer::behind("cors", "user1").get("/").header("Origin", APP)).await;
    let others = Reply::to(Customer::behind("cors-any", "user1").get("/")).await;
    let mut expected = names(others.header("Access-Control-Expose-Headers"));
    expected.extend(["link".to_owned(), "last-modified".to_owned()]);
    assert_eq!(names(added.header("Access-Control-Expose-Headers")), expected);
}

/// If an invalid list made only browsers' requests fail, a page could not read the reason. Therefore every request
/// fails, and the log has the reason.
#[tokio::test]
async fn invalid_header_lists_fail_every_request() {
    for (variables, status) in [
        (r#"(name = "ALLOWED_HEADERS", text = "X-A: 1")"#, 500),
        (r#"(name = "ALLOWED_HEADERS", text = "X-*")"#, 500),
        (r#"(name = "EXPOSED_HEADERS", text = "Link; ETag")"#, 500),
        (r#"(name = "EXPOSED_HEADERS", json = "[\"Link\"]")"#, 500),
        (r#"(name = "ALLOWED_HEADERS", text = "*"), (name = "EXPOSED_HEADERS", text = "")"#, 200),
    ] {
        let dispatcher = format!(
            r#"(name = "AUTH", text = "trusted-header"), (name = "ALLOWED_ORIGINS", text = "{APP}"), {variables}"#
        );
        let configuration = Configuration { dispatcher: &dispatcher, namespace: None, customer: "", storage_port: 9 };
        let runtime = RunningWorkerd::start(&configuration).await;
        let user = Customer::at(&runtime.url, "one");
        for request in [user.get("/"), user.get("/").header("Origin", APP), user.get("/healthz")] {
            let reply = Reply::to(request).await;
            assert_eq!(reply.status, status, "{variables}: {reply}");
            if status != 200 {
                assert_eq!(reply.json()["code"], "internal_error", "{variables}: {reply}");
            }
        }
        let reply = Reply::to(preflight(&user, APP)).await;
        assert_eq!(reply.status, if status == 200 { 204 } else { 500 }, "{variables}: {reply}");
    }
}
