//! Clients that disconnect while storage does not reply: their requests must not stay in memory.
//!
//! The Workers are those of `cargo xtask build --faults`, which have routes that report their memory. They run in
//! workerd without a local platform, which would keep connections open, and with storage that replies when the test
//! allows it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use futures::future::join_all;
use tests::workerd::{Configuration, RunningWorkerd};
use tests::{Customer, Reply, expect_success};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

/// How many requests are abandoned at the same time.
const CONCURRENT: usize = 500;

/// By how many bytes a Worker's memory may grow in the second round. It is two pages of Wasm, because allocations do
/// not repeat exactly. A leak would be larger: there are hundreds of requests of each kind, and a future that is never
/// dropped takes more than 1000 bytes.
const TOLERANCE: usize = 128 * 1024;

#[tokio::test]
async fn abandoned_requests_leave_nothing_behind() {
    run(4_000).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn twenty_thousand_abandoned_requests_leave_nothing_behind() {
    run(20_000).await;
}

/// Abandons `requests` requests twice, and compares the Workers' memory after both rounds.
async fn run(requests: usize) {
    let (storage_port, may_reply) = stalling_storage().await;
    let runtime = RunningWorkerd::start(&Configuration {
        dispatcher: r#"(name = "AUTH", text = "trusted-header")"#,
        namespace: None,
        customer: r#"(name = "USER_KV", kvNamespace = "storage"), (name = "USER_R2", r2Bucket = "storage")"#,
        storage_port,
    })
    .await;
    let user = Customer::at(&runtime.url, "one");

    let mut memory = Vec::new();
    for _ in 0..2 {
        let started = Instant::now();
        for _ in 0..requests / CONCURRENT {
            abandon(&runtime, &user, &may_reply).await;
        }
        let [dispatcher, customer] = memory_sizes(&user).await;
        println!(
            "{requests} requests abandoned in {:.1} s: memory of the dispatcher {dispatcher} bytes, of the customer Worker {customer}",
            started.elapsed().as_secs_f64()
        );
        memory.push([dispatcher, customer]);
    }
    for (first, second) in memory[0].iter().zip(memory[1]) {
        assert!(second <= first + TOLERANCE, "{memory:?}");
    }

    // The slots for two large bodies are free: two such requests are not refused.
    let value = format!("{{\"key\":\"large\",\"value\":\"{}\"}}", "x".repeat(2 << 20));
    may_reply.send_replace(true);
    let replies = join_all([0, 1].map(|_| Reply::to(user.post_json("/data", value.clone())))).await;
    for reply in replies {
        assert_eq!(reply.json()["code"], "storage_unavailable", "{reply}");
    }
}

/// Returns the sizes of the Wasm memories of the dispatcher and the customer Worker.
async fn memory_sizes(user: &Customer) -> [usize; 2] {
    let mut sizes = [0; 2];
    for (size, path) in sizes.iter_mut().zip(["/dispatcher/faults/memory", "/faults/memory"]) {
        let bytes = expect_success(user.get(path)).await.json().as_u64().expect("a number");
        *size = bytes.try_into().expect("32 bits");
    }
    sizes
}

/// Waits until the number of handlers in progress, which a Worker reports at `path`, fulfils a condition.
async fn wait_for_in_progress(user: &Customer, path: &str, condition: impl Fn(u64) -> bool) {
    let started = Instant::now();
    loop {
        let in_progress = expect_success(user.get(path)).await.json().as_u64().expect("a number");
        if condition(in_progress) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{path}: {in_progress} are in progress");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Sends requests, disconnects when they wait for storage, and only then lets storage reply.
async fn abandon(runtime: &RunningWorkerd, user: &Customer, may_reply: &watch::Sender<bool>) {
    may_reply.send_replace(false);
    let connections = join_all((0..CONCURRENT).map(|number| runtime.send(request(number)))).await;
    // Large bodies without a free slot are refused, and incomplete requests may have ended already.
    let waiting = CONCURRENT as u64 * 3 / 4;
    wait_for_in_progress(user, "/faults/waiting", |in_progress| in_progress > waiting).await;
    drop(connections);
    may_reply.send_replace(true);
    for path in ["/faults/waiting", "/dispatcher/faults/waiting"] {
        wait_for_in_progress(user, path, |in_progress| in_progress == 0).await;
    }
}

/// Returns one of the kinds of request that wait for storage. Most are reads.
fn request(number: usize) -> Vec<u8> {
    let large = format!("{{\"key\":\"k\",\"value\":\"{}\"}}", "x".repeat(1_100_000));
    let (line, length, body) = match number % 16 {
        0 => ("POST /data", 21, "{\"key\":\"k\",\"value\":1}".to_owned()),
        1 => ("DELETE /data?key=k", 0, String::new()),
        2 => ("GET /data", 0, String::new()),
        3 => ("GET /files", 0, String::new()),
        4 => ("HEAD /files?key=k", 0, String::new()),
        5 => ("DELETE /files?key=k", 0, String::new()),
        6 => ("GET /stats", 0, String::new()),
        7 => ("PUT /files?key=k", 3, "abc".to_owned()),
        // Incomplete requests.
        8 => ("PUT /files?key=k", 1000, "abc".to_owned()),
        10 => {
            ("POST /files", 20_000_000, "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n".to_owned())
        }
        9 if number < 64 => ("POST /data", large.len(), large),
        _ if number.is_multiple_of(2) => ("GET /data?key=k", 0, String::new()),
        _ => ("GET /files?key=k", 0, String::new()),
    };
    let mut head = format!("{line} HTTP/1.1\r\nHost: a\r\nX-User-ID: one\r\n");
    if !line.starts_with(['G', 'H', 'D']) {
        let content_type = if line == "POST /files" { "multipart/form-data; boundary=x" } else { "application/json" };
        write!(head, "Content-Type: {content_type}\r\nContent-Length: {length}\r\n").expect("a string");
    }
    [head.as_bytes(), b"\r\n", body.as_bytes()].concat()
}

/// Starts storage that workerd calls over HTTP as KV and R2. Every operation waits until the sender is set to `true`,
/// and then fails.
async fn stalling_storage() -> (u16, watch::Sender<bool>) {
    let (may_reply, receiver) = watch::channel(false);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let router = Router::new().fallback(move || {
        let mut may_reply = receiver.clone();
        async move {
            may_reply.wait_for(|may_reply| *may_reply).await.expect("the test runs");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (port, may_reply)
}
