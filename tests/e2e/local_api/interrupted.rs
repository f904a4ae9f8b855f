//! The operator's tool, killed after each of its calls in turn.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tests::api::{SCRIPTS, expect_result};
use tests::{Reply, expect_problem, expect_success};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::Platform;

/// Something in front of the API that passes so many calls on, and of the last of them not the answer.
struct Severed {
    api: String,
    /// How many calls are left.
    left: AtomicUsize,
    /// Told when the last one has been done.
    over: Notify,
}

async fn pass(State(severed): State<Arc<Severed>>, request: Request) -> Response {
    let left = severed.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    let Ok(left) = left else { return std::future::pending().await };
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().expect("a path").as_str();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("the whole body");
    let mut headers = parts.headers;
    headers.remove("host");
    let sent = tests::client().request(parts.method, format!("{}{path}", severed.api)).headers(headers).body(body);
    let reply = sent.send().await.expect("the API answers");
    let status = reply.status();
    let body = reply.bytes().await.expect("the whole reply");
    if left == 1 {
        severed.over.notify_one();
        return std::future::pending().await;
    }
    (status, Body::from(body)).into_response()
}

/// Runs the tool until the call of this number has been done, then kills it; answers whether it came so far.
async fn run_until(platform: &Platform, calls: usize, arguments: &[&str]) -> bool {
    let base = &platform.api.environment["CLOUDFLARE_API_BASE_URL"];
    let origin = base.strip_suffix("/client/v4").expect("where it is").to_owned();
    let severed = Arc::new(Severed { api: origin, left: AtomicUsize::new(calls), over: Notify::new() });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    let router = axum::Router::new().fallback(pass).with_state(severed.clone());
    let server = tokio::spawn(axum::serve(listener, router).into_future());
    let tool = std::env::var_os("PLATFORM").expect("PLATFORM is set");
    let mut tool = platform.api.command(Path::new(&tool));
    tool.env("CLOUDFLARE_API_BASE_URL", format!("http://{address}/client/v4")).args(arguments);
    tool.stdout(std::process::Stdio::null());
    let mut tool = tool.spawn().expect("it runs");
    let killed = tokio::select! {
        () = severed.over.notified() => {
            tool.kill().await.expect("it runs");
            true
        }
        status = tool.wait() => {
            assert!(status.expect("it ends").success());
            false
        }
    };
    server.abort();
    killed
}

/// What there is with a customer's name.
async fn of(platform: &Platform, id: &str) -> Value {
    let name = format!("customer-{id}");
    let count = |list: &Value, member: &str| {
        list.as_array().expect("a list").iter().filter(|one| one[member] == *name || one[member] == *id).count()
    };
    let kv = expect_result(platform.api.get("/storage/kv/namespaces?per_page=1000")).await;
    let r2 = expect_result(platform.api.get("/r2/buckets")).await;
    let d1 = expect_result(platform.api.get("/d1/database?per_page=1000")).await;
    let scripts = expect_result(platform.api.get(SCRIPTS)).await;
    let settings = expect_result(platform.api.get("/workers/scripts/dispatcher/settings")).await;
    let records = settings["bindings"].as_array().expect("a list").iter().find(|one| one["name"] == "CUSTOMERS");
    let records = records.expect("it is bound")["namespace_id"].as_str().expect("an id").to_owned();
    let record = Reply::to(platform.api.get(&format!("/storage/kv/namespaces/{records}/values/{id}"))).await;
    json!({
        "kv": count(&kv, "title"),
        "r2": count(&r2["buckets"], "name"),
        "d1": count(&d1, "name"),
        "script": count(&scripts, "id"),
        "record": usize::from(record.status == 200),
    })
}

#[tokio::test]
async fn whatever_was_begun_is_finished_and_nothing_is_made_twice() {
    let platform = Platform::start(&["--records"]).await;
    let all = json!({"kv": 1, "r2": 1, "d1": 1, "script": 1, "record": 1});
    let none = json!({"kv": 0, "r2": 0, "d1": 0, "script": 0, "record": 0});
    let mut rounds = 0;
    for calls in 1.. {
        let id = format!("round{calls}");
        let killed = run_until(&platform, calls, &["customer", "create", &id, "--no-build"]).await;
        if killed {
            platform.api.customer(&["create", &id, "--no-build"]).await;
        }
        assert_eq!(of(&platform, &id).await, all, "create, stopped after {calls} calls");
        let customer = platform.customer(&id);
        expect_success(customer.post_json("/data", r#"{"key":"k","value":1}"#)).await;
        expect_success(customer.put("/files?key=k").body("content")).await;
        if !killed {
            break;
        }
        rounds = calls;
    }
    assert!(rounds >= 7, "the dispatcher's settings, KV, R2, D1, script, record: {rounds}");

    let mut stopped = 0;
    for calls in 1..=rounds + 1 {
        let id = format!("round{calls}");
        let killed = run_until(&platform, calls, &["customer", "delete", &id, "--yes"]).await;
        if killed && of(&platform, &id).await != none {
            platform.api.customer(&["delete", &id, "--yes"]).await;
        }
        stopped += usize::from(killed);
        assert_eq!(of(&platform, &id).await, none, "delete, stopped after {calls} calls");
        expect_problem(platform.customer(&id).get("/"), 404, "unknown_user").await;
    }
    println!("create was killed after each of its {rounds} calls, delete after the first {stopped} of its calls");
    expect_success(platform.customer("user1").get("/")).await;
}
