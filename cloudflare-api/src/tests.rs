//! Tests of the client against a mock API, which returns prepared replies and records requests.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use serde_json::{Value, json};

use super::*;

/// A request that the mock API received.
#[derive(Debug)]
struct ReceivedRequest {
    line: String,
    headers: HeaderMap,
    body: String,
}

/// The status, `Retry-After` in seconds, and the body.
type MockReply = (u16, Option<u64>, String);

#[derive(Clone, Default)]
struct MockApi {
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
    replies: Arc<Mutex<VecDeque<MockReply>>>,
}

impl MockApi {
    /// Starts a mock API that returns these replies in this order, and creates a client for it.
    async fn start(replies: impl IntoIterator<Item = MockReply>) -> (Self, Cloudflare) {
        let api = Self { replies: Arc::new(Mutex::new(replies.into_iter().collect())), ..Self::default() };
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let base_url = format!("http://{}/client/v4/", listener.local_addr().expect("an address"));
        let served = api.clone();
        let router = axum::Router::new().fallback(any(move |request| served.clone().reply(request)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let account = AccountCredentials {
            base_url: base_url.parse().expect("a URL"),
            id: "account".to_owned(),
            token: "hush".to_owned(),
        };
        (api, Cloudflare::new(account).with_first_delay(Duration::from_millis(5)))
    }

    async fn reply(self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("the whole body");
        let line = format!("{} {}", parts.method, parts.uri);
        let body = String::from_utf8_lossy(&body).into_owned();
        self.requests.lock().expect("no panic").push(ReceivedRequest { line, headers: parts.headers, body });
        let reply = self.replies.lock().expect("no panic").pop_front();
        let (status, retry_after, text) = reply.unwrap_or((500, None, "no prepared reply is left".to_owned()));
        let mut response = (StatusCode::from_u16(status).expect("a status"), Body::from(text)).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert("Retry-After", seconds.into());
        }
        response
    }

    /// The method and URI of each request.
    fn lines(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").iter().map(|request| request.line.clone()).collect()
    }

    /// Removes and returns the last request.
    fn last(&self) -> ReceivedRequest {
        self.requests.lock().expect("no panic").pop().expect("a request")
    }
}

fn success(result: &Value) -> MockReply {
    (200, None, json!({"success": true, "errors": [], "messages": [], "result": result}).to_string())
}

fn failure(status: u16, code: u64, message: &str) -> MockReply {
    let errors = json!([{"code": code, "message": message}]);
    (status, None, json!({"success": false, "errors": errors, "messages": [], "result": null}).to_string())
}

fn page(result: &Value, info: &Value) -> MockReply {
    let page = json!({"success": true, "errors": [], "messages": [], "result": result, "result_info": info});
    (200, None, page.to_string())
}

#[tokio::test]
async fn requests_name_the_account_and_carry_its_token() {
    let (api, cloudflare) = MockApi::start([success(&json!({"id": "kv1", "title": "customer-a"}))]).await;
    let namespace = cloudflare.create_kv_namespace("customer-a").await.expect("created");
    assert_eq!((&*namespace.id, &*namespace.title), ("kv1", "customer-a"));
    let request = api.last();
    assert_eq!(request.line, "POST /client/v4/accounts/account/storage/kv/namespaces");
    assert_eq!(request.headers["authorization"], "Bearer hush");
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.body, r#"{"title":"customer-a"}"#);
    assert!(!format!("{cloudflare:?}").contains("hush"), "the token is not shown");
}

#[tokio::test]
async fn names_stay_a_single_segment_of_the_path() {
    let (api, cloudflare) = MockApi::start([failure(404, 7, "no"), failure(404, 7, "no"), failure(404, 7, "no")]).await;
    for id in ["../../tokens", "a/b?c#d", "%2e%2e"] {
        assert_eq!(cloudflare.kv_namespace(id).await.expect("not found"), None);
    }
    let prefix = "GET /client/v4/accounts/account/storage/kv/namespaces/";
    let expected = ["..%2F..%2Ftokens", "a%2Fb%3Fc%23d", "%252e%252e"].map(|id| format!("{prefix}{id}"));
    assert_eq!(api.lines(), expected);
}

#[tokio::test]
async fn requests_are_retried_on_overload_and_failure_but_not_on_refusal() {
    let created = success(&json!({"uuid": "d1", "name": "a"}));
    let html = (502, None, "<html>".to_owned());
    let (api, cloudflare) = MockApi::start([failure(500, 1, "oops"), html, (429, None, String::new()), created]).await;
    cloudflare.create_database("a", None).await.expect("at the fourth attempt");
    assert_eq!(api.lines().len(), 4);

    for status in [400, 401, 403, 404, 409, 413] {
        let (api, cloudflare) = MockApi::start([failure(status, 10014, "the title is taken")]).await;
        let error = cloudflare.create_kv_namespace("a").await.expect_err("refused");
        let expected =
            "POST /client/v4/accounts/account/storage/kv/namespaces: the title is taken [code: 10014]".to_owned();
        assert_eq!((error.to_string(), api.lines().len()), (expected, 1), "{status}");
        assert!(error.has_code(&[10014]) && !error.has_code(&[10013]) && error.is_not_found() == (status == 404));
    }
    // A 200 with `success: false` is a refusal, too.
    let (_, cloudflare) = MockApi::start([failure(200, 9, "no")]).await;
    assert!(cloudflare.create_kv_namespace("a").await.expect_err("refused").has_code(&[9]));
}

#[tokio::test]
async fn retries_end_after_six_attempts() {
    let (api, cloudflare) = MockApi::start((0..6).map(|_| failure(503, 1, "down"))).await;
    let error = cloudflare.delete_database("a").await.expect_err("six failures").to_string();
    assert_eq!(error, "DELETE /client/v4/accounts/account/d1/database/a: down [code: 1]");
    assert_eq!(api.lines().len(), 6);

    // Nothing listens at the address.
    let unused = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let base_url = format!("http://{}/", unused.local_addr().expect("an address")).parse().expect("a URL");
    drop(unused);
    let account = AccountCredentials { base_url, id: "account".to_owned(), token: "hush".to_owned() };
    let error =
        Cloudflare::new(account).with_first_delay(Duration::from_millis(1)).databases().await.expect_err("no reply");
    assert_eq!(error.to_string(), "GET /accounts/account/d1/database: no reply from the API");
}

#[tokio::test]
async fn retry_after_is_respected() {
    let (_, cloudflare) = MockApi::start([(429, Some(1), String::new()), success(&json!([]))]).await;
    let started = Instant::now();
    assert_eq!(cloudflare.kv_namespaces().await.expect("a list"), []);
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn all_pages_of_a_list_are_fetched() {
    let namespace = |id: &str| json!({"id": id, "title": id});
    let info = |page: u64| json!({"page": page, "per_page": 2, "count": 2, "total_count": 3});
    let pages = [page(&json!([namespace("a"), namespace("b")]), &info(1)), page(&json!([namespace("c")]), &info(2))];
    let (api, cloudflare) = MockApi::start(pages).await;
    let ids: Vec<String> =
        cloudflare.kv_namespaces().await.expect("a list").into_iter().map(|namespace| namespace.id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    let path = "GET /client/v4/accounts/account/storage/kv/namespaces?per_page=100";
    assert_eq!(api.lines(), [path.to_owned(), format!("{path}&page=2")]);

    let pages = [
        page(&json!({"buckets": [{"name": "a"}]}), &json!({"cursor": "next/1", "per_page": 1})),
        page(&json!({"buckets": [{"name": "b"}]}), &json!({"cursor": "", "per_page": 1})),
    ];
    let (api, cloudflare) = MockApi::start(pages).await;
    assert_eq!(cloudflare.buckets(Some(Jurisdiction::Eu)).await.expect("a list").len(), 2);
    let path = "GET /client/v4/accounts/account/r2/buckets?per_page=1000";
    assert_eq!(api.lines(), [path.to_owned(), format!("{path}&cursor=next%2F1")]);
    assert_eq!(api.last().headers["cf-r2-jurisdiction"], "eu");
}

#[tokio::test]
async fn deleting_something_that_does_not_exist_succeeds() {
    let replies = [failure(404, 10007, "gone"), (204, None, String::new()), success(&Value::Null)];
    let (api, cloudflare) = MockApi::start(replies).await;
    cloudflare.delete_kv_namespace("a").await.expect("gone");
    cloudflare.delete_script("customers", "a").await.expect("gone");
    cloudflare.delete_bucket("a", None).await.expect("gone");
    let script = "DELETE /client/v4/accounts/account/workers/dispatch/namespaces/customers/scripts/a?force=true";
    assert_eq!(api.lines()[1], script);
}

#[tokio::test]
async fn every_attempt_uploads_the_complete_script() {
    let reply =
        json!({"success": true, "errors": [], "messages": [{"code": 1, "message": "no AI here"}], "result": {}});
    let (api, cloudflare) = MockApi::start([failure(500, 1, "oops"), (200, None, reply.to_string())]).await;
    let module = |name: &str, media_type, content: &'static str| ScriptModule {
        name: name.to_owned(),
        media_type,
        content: Bytes::from_static(content.as_bytes()),
    };
    let upload = ScriptUpload {
        metadata: json!({"main_module": "index.js", "keep_bindings": ["secret_text"]}),
        modules: vec![
            module("index.js", "application/javascript+module", "export default {}"),
            module("./index_bg.wasm", "application/wasm", "\0asm"),
        ],
    };
    assert_eq!(cloudflare.upload_script("customers", "user3", upload).await.expect("uploaded"), ["no AI here"]);
    let attempts = api.requests.lock().expect("no panic");
    assert_eq!(attempts.len(), 2);
    for request in attempts.iter() {
        assert_eq!(request.line, "PUT /client/v4/accounts/account/workers/dispatch/namespaces/customers/scripts/user3");
        let media_type = request.headers["content-type"].to_str().expect("text");
        assert!(media_type.starts_with("multipart/form-data; boundary="), "{media_type}");
        for part in [
            "name=\"metadata\"\r\nContent-Type: application/json\r\n\r\n{\"keep_bindings\":[\"secret_text\"],\"main_module\":\"index.js\"}\r\n",
            "name=\"index.js\"; filename=\"index.js\"\r\nContent-Type: application/javascript+module\r\n\r\nexport default {}\r\n",
            "name=\"./index_bg.wasm\"; filename=\"./index_bg.wasm\"\r\nContent-Type: application/wasm\r\n\r\n\0asm\r\n",
        ] {
            assert!(request.body.contains(part), "{part}: {}", request.body);
        }
    }
}

#[tokio::test]
async fn script_settings_come_with_messages() {
    let reply = json!({"success": true, "messages": [{"code": 0, "message": "no AI here"}], "result": {"tags": []}});
    let (api, cloudflare) = MockApi::start([(200, None, reply.to_string()), failure(404, 10092, "none")]).await;
    let found = cloudflare.script_settings_with_messages("customers", "a").await.expect("there");
    assert_eq!(found, Some((json!({"tags": []}), vec!["no AI here".to_owned()])));
    assert_eq!(cloudflare.script_settings("customers", "a").await.expect("not there"), None);
    let path = "GET /client/v4/accounts/account/workers/dispatch/namespaces/customers/scripts/a/settings";
    assert_eq!(api.lines(), [path, path]);
}

#[tokio::test]
async fn kv_values_are_text_and_keys_are_percent_encoded() {
    let values = "/client/v4/accounts/account/storage/kv/namespaces/kv1";
    let raw = |text: &str| (200, None, text.to_owned());
    let (api, cloudflare) =
        MockApi::start([raw("{\"plan\":1}"), raw(""), failure(404, 10009, "no"), failure(403, 10000, "keep out")])
            .await;
    assert_eq!(cloudflare.kv_value("kv1", "a/b c?").await.expect("a value").as_deref(), Some("{\"plan\":1}"));
    assert_eq!(api.last().line, format!("GET {values}/values/a%2Fb%20c%3F"));
    assert_eq!(cloudflare.kv_value("kv1", "a").await.expect("a value").as_deref(), Some(""));
    assert_eq!(cloudflare.kv_value("kv1", "a").await.expect("none"), None);
    assert!(cloudflare.kv_value("kv1", "a").await.expect_err("refused").has_code(&[10000]));
    for key in ["", ".", ".."] {
        let error = cloudflare.delete_kv_value("kv1", key).await.expect_err(key).to_string();
        assert_eq!(error, format!("{key:?} cannot be a name"));
    }

    let pages = [
        page(&json!([{"name": "a"}]), &json!({"count": 1, "cursor": "c"})),
        page(&json!([{"name": "b", "expiration": 1}]), &json!({"count": 1, "cursor": ""})),
    ];
    let (api, cloudflare) =
        MockApi::start([success(&Value::Null), success(&Value::Null)].into_iter().chain(pages)).await;
    cloudflare.set_kv_value("kv1", "user1", "{}").await.expect("set");
    let request = api.last();
    assert_eq!((&*request.line, &*request.body), (&*format!("PUT {values}/values/user1"), "{}"));
    cloudflare.delete_kv_value("kv1", "user1").await.expect("deleted");
    assert_eq!(cloudflare.kv_keys("kv1").await.expect("keys").len(), 2);
    let expected = ["DELETE K/values/user1", "GET K/keys?limit=1000", "GET K/keys?limit=1000&cursor=c"];
    assert_eq!(api.lines(), expected.map(|line| line.replace('K', values)));
}

#[tokio::test]
async fn object_keys_are_sent_in_the_body() {
    let objects = json!([{"key": "../../x", "size": 1}]);
    let info = json!({"cursor": "c", "is_truncated": false, "per_page": 1000});
    let (api, cloudflare) = MockApi::start([page(&objects, &info), success(&json!([]))]).await;
    let eu = Some(Jurisdiction::Eu);
    assert_eq!(cloudflare.first_objects("b", eu).await.expect("objects")[0].key, "../../x");
    cloudflare.delete_objects("b", eu, &["../../x", "é"]).await.expect("deleted");
    let path = "/client/v4/accounts/account/r2/buckets/b/objects";
    assert_eq!(api.lines(), [format!("GET {path}?per_page=1000"), format!("DELETE {path}")]);
    let request = api.last();
    assert_eq!(
        (&*request.body, &request.headers["cf-r2-jurisdiction"]),
        ("[\"../../x\",\"é\"]", &"eu".parse().expect("text"))
    );
}

#[tokio::test]
async fn database_named_finds_the_exact_name() {
    let databases =
        json!([{"uuid": "1", "name": "customer-ab"}, {"uuid": "2", "name": "customer-a", "jurisdiction": "eu"}]);
    let (api, cloudflare) = MockApi::start([success(&databases), success(&json!([]))]).await;
    let found = cloudflare.database_named("customer-a").await.expect("a list").expect("one");
    assert_eq!((&*found.uuid, found.jurisdiction), ("2", Some("eu".to_owned())));
    assert_eq!(cloudflare.database_named("b").await.expect("a list"), None);
    let path = "GET /client/v4/accounts/account/d1/database?per_page=100";
    assert_eq!(api.lines(), [format!("{path}&name=customer-a"), format!("{path}&name=b")]);
}

#[tokio::test]
async fn a_limit_is_recognized_by_code_or_message() {
    for (status, code, message, over) in [
        (400, 7406, "no", true),
        (403, 1, "You have reached the maximum number of namespaces", true),
        (400, 10014, "a namespace with this account ID and title already exists", false),
        (403, 1, "account limit exceeded", true),
    ] {
        let (_, cloudflare) = MockApi::start([failure(status, code, message)]).await;
        let error = cloudflare.create_kv_namespace("a").await.expect_err("refused");
        assert_eq!(error.is_over_limit(), over, "{message}");
    }
}

#[tokio::test]
async fn a_malformed_reply_is_an_error() {
    for text in ["", "<html>", "[]", r#"{"success":true,"result":{"id":1}}"#, r#"{"success":true}"#] {
        let (_, cloudflare) = MockApi::start([(200, None, text.to_owned())]).await;
        let error = cloudflare.create_kv_namespace("a").await.expect_err(text);
        assert!(matches!(error, Error::Unexpected { .. }), "{text}: {error}");
    }
}

#[tokio::test]
async fn the_first_retry_is_reported_once() {
    static REASONS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let failed = || (503, None, String::new());
    let done = || (200, None, json!({"success": true, "result": []}).to_string());
    let (_, client) = MockApi::start([failed(), failed(), done(), failed(), done()]).await;
    let client = client.on_retry(|reason| REASONS.lock().expect("no panic").push(reason.to_owned()));
    for _ in 0..2 {
        client.dispatch_namespaces().await.expect("a list");
    }
    assert_eq!(*REASONS.lock().expect("no panic"), ["it replied with 503 Service Unavailable"]);
}

#[test]
fn an_invalid_base_url_is_refused() {
    for (url, reason) in [
        ("localhost:1/client/v4", "does not begin with http:// or https://: localhost:1/client/v4"),
        ("mailto:x", "does not begin with http:// or https://: mailto:x"),
        ("nowhere", "is not a URL"),
    ] {
        let account = AccountCredentials::from_variables(|name| {
            Some(if name == "CLOUDFLARE_API_BASE_URL" { url } else { "x" }.to_owned())
        });
        let error = account.expect_err(url).to_string();
        assert!(error.contains(reason), "{error}");
    }
}
