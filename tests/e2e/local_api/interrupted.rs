//! Kills the operator's tool after each of its API calls in turn.

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

/// A proxy in front of the API. It forwards a number of calls, and withholds the reply to the last of them.
struct InterruptingProxy {
    api: String,
    /// How many more calls are forwarded.
    remaining: AtomicUsize,
    /// Notified when the API has handled the last call.
    last_handled: Notify,
}

async fn forward(State(proxy): State<Arc<InterruptingProxy>>, request: Request) -> Response {
    let remaining = proxy.remaining.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1));
    let Ok(remaining) = remaining else { return std::future::pending().await };
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().expect("a path").as_str();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("the complete body");
    let mut headers = parts.headers;
    headers.remove("host");
    let sent = tests::client().request(parts.method, format!("{}{path}", proxy.api)).headers(headers).body(body);
    let reply = sent.send().await.expect("the API replies");
    let status = reply.status();
    let body = reply.bytes().await.expect("the complete reply");
    if remaining == 1 {
        proxy.last_handled.notify_one();
        return std::future::pending().await;
    }
    (status, Body::from(body)).into_response()
}

/// Runs the tool until the API has handled this number of calls, then kills it. Returns whether the tool was killed.
async fn run_until(platform: &Platform, calls: usize, arguments: &[&str]) -> bool {
    let base = &platform.api.environment["CLOUDFLARE_API_BASE_URL"];
    let origin = base.strip_suffix("/client/v4").expect("the API's path").to_owned();
    let proxy =
        Arc::new(InterruptingProxy { api: origin, remaining: AtomicUsize::new(calls), last_handled: Notify::new() });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    let router = axum::Router::new().fallback(forward).with_state(proxy.clone());
    let server = tokio::spawn(axum::serve(listener, router).into_future());
    let tool = std::env::var_os("PLATFORM").expect("PLATFORM is set");
    let mut tool = platform.api.command(Path::new(&tool));
    tool.env("CLOUDFLARE_API_BASE_URL", format!("http://{address}/client/v4")).args(arguments);
    tool.stdout(std::process::Stdio::null());
    let mut tool = tool.spawn().expect("the tool starts");
    let killed = tokio::select! {
        () = proxy.last_handled.notified() => {
            tool.kill().await.expect("the tool runs");
            true
        }
        status = tool.wait() => {
            assert!(status.expect("the tool ends").success());
            false
        }
    };
    server.abort();
    killed
}

/// Counts the resources with a customer's name.
async fn resources(platform: &Platform, id: &str) -> Value {
    let name = format!("customer-{id}");
    let count = |list: &Value, member: &str| {
        list.as_array().expect("a list").iter().filter(|item| item[member] == *name || item[member] == *id).count()
    };
    let kv = expect_result(platform.api.get("/storage/kv/namespaces?per_page=1000")).await;
    let r2 = expect_result(platform.api.get("/r2/buckets")).await;
    let d1 = expect_result(platform.api.get("/d1/database?per_page=1000")).await;
    let scripts = expect_result(platform.api.get(SCRIPTS)).await;
    let settings = expect_result(platform.api.get("/workers/scripts/dispatcher/settings")).await;
    let records =
        settings["bindings"].as_array().expect("a list").iter().find(|binding| binding["name"] == "CUSTOMERS");
    let records = records.expect("the binding CUSTOMERS")["namespace_id"].as_str().expect("an id").to_owned();
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
async fn interrupted_commands_can_be_repeated() {
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
        assert_eq!(resources(&platform, &id).await, all, "create, killed after {calls} calls");
        let customer = platform.customer(&id);
        expect_success(customer.post_json("/data", r#"{"key":"k","value":1}"#)).await;
        expect_success(customer.put("/files?key=k").body("content")).await;
        if !killed {
            break;
        }
        rounds = calls;
    }
    assert!(
        rounds >= 7,
        "create must call the dispatcher's settings, KV, R2, D1, the script and the record: {rounds} calls"
    );

    let mut kills = 0;
    for calls in 1..=rounds + 1 {
        let id = format!("round{calls}");
        let killed = run_until(&platform, calls, &["customer", "delete", &id, "--yes"]).await;
        if killed && resources(&platform, &id).await != none {
            platform.api.customer(&["delete", &id, "--yes"]).await;
        }
        kills += usize::from(killed);
        assert_eq!(resources(&platform, &id).await, none, "delete, killed after {calls} calls");
        expect_problem(platform.customer(&id).get("/"), 404, "unknown_user").await;
    }
    println!("create was killed after each of its {rounds} calls, delete after each of its first {kills} calls");
    expect_success(platform.customer("user1").get("/")).await;
}
