//! Clients that disconnect while storage does not answer: nothing of their requests stays in memory.
//!
//! The Workers are those of `cargo xtask build --faults`, which tell what they hold. They run in workerd itself, where nothing
//! in front of them keeps connections, with storage that answers when it is told to.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use futures::future::join_all;
use tests::workerd::{Configuration, Workerd};
use tests::{Customer, Reply, expect_success};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

/// How many requests are abandoned at the same time.
const AT_ONCE: usize = 500;

/// By how many bytes a Worker's memory may differ after the second round: two pages of Wasm, which allocations that do not
/// repeat exactly may need. Of each kind of request there are hundreds, and a future that is never dropped takes more than
/// a thousand bytes.
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

/// Abandons so many requests twice, and compares what the Workers hold.
async fn run(requests: usize) {
    let (storage_port, answers) = stalling_storage().await;
    let runtime = Workerd::start(&Configuration {
        dispatcher: r#"(name = "AUTH", text = "trusted-header")"#,
        namespace: None,
        customer: r#"(name = "USER_KV", kvNamespace = "storage"), (name = "USER_R2", r2Bucket = "storage")"#,
        storage_port,
    })
    .await;
    let user = Customer::of(&runtime.url, "one");

    let mut memory = Vec::new();
    for _ in 0..2 {
        let started = Instant::now();
        for _ in 0..requests / AT_ONCE {
            abandon(&runtime, &user, &answers).await;
        }
        let [dispatcher, customer] = held(&user).await;
        println!(
            "{requests} requests abandoned in {:.1} s: the dispatcher holds {dispatcher} bytes, the customer Worker {customer}",
            started.elapsed().as_secs_f64()
        );
        memory.push([dispatcher, customer]);
    }
    for (first, second) in memory[0].iter().zip(memory[1]) {
        assert!(second <= first + TOLERANCE, "{memory:?}");
    }

    // Both places for large bodies are free: two requests that need one are not refused.
    let value = format!("{{\"key\":\"large\",\"value\":\"{}\"}}", "x".repeat(2 << 20));
    answers.send_replace(true);
    let replies = join_all([0, 1].map(|_| Reply::to(user.post_json("/data", value.clone())))).await;
    for reply in replies {
        assert_eq!(reply.json()["code"], "storage_unavailable", "{reply}");
    }
}

/// The sizes of the two Workers' memories.
async fn held(user: &Customer) -> [usize; 2] {
    let mut sizes = [0; 2];
    for (size, path) in sizes.iter_mut().zip(["/dispatcher/faults/memory", "/faults/memory"]) {
        let bytes = expect_success(user.get(path)).await.json().as_u64().expect("a number");
        *size = bytes.try_into().expect("it fits");
    }
    sizes
}

/// Waits until so many handlers are in progress in a Worker, which tells at this path.
async fn until_in_progress(user: &Customer, path: &str, wanted: impl Fn(u64) -> bool) {
    let started = Instant::now();
    loop {
        let in_progress = expect_success(user.get(path)).await.json().as_u64().expect("a number");
        if wanted(in_progress) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{path}: {in_progress} are in progress");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Sends requests, disconnects when they wait for storage, and only then lets storage answer.
async fn abandon(runtime: &Workerd, user: &Customer, answers: &watch::Sender<bool>) {
    answers.send_replace(false);
    let connections = join_all((0..AT_ONCE).map(|number| runtime.send(request(number)))).await;
    // Those that need a place and find none are refused, and those that break off may have ended already.
    let waiting = AT_ONCE as u64 * 3 / 4;
    until_in_progress(user, "/faults/waiting", |in_progress| in_progress > waiting).await;
    drop(connections);
    answers.send_replace(true);
    for path in ["/faults/waiting", "/dispatcher/faults/waiting"] {
        until_in_progress(user, path, |in_progress| in_progress == 0).await;
    }
}

/// Every kind of request that waits for storage, reads above all.
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
        // These break off.
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

/// KV and R2 as workerd calls them, over HTTP. Every operation waits until it may be answered, and then fails.
async fn stalling_storage() -> (u16, watch::Sender<bool>) {
    let (answers, may_answer) = watch::channel(false);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let router = Router::new().fallback(move || {
        let mut may_answer = may_answer.clone();
        async move {
            may_answer.wait_for(|may| *may).await.expect("the test runs");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (port, answers)
}
