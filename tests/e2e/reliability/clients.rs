//! Slow clients, and clients that vanish: they must not use up what others need.

use std::time::Duration;

use bytes::Bytes;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tests::processes::{memory, processes};
use tests::storage::query_in;
use tests::{Customer, Dev, Reply, expect_success, noise};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const MIB: usize = 1 << 20;

/// How long another client's request may take meanwhile.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the platform may take to release what the clients used. It first handles all that they sent, which takes
/// minutes on a machine that is busy with other tests.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(150);

/// What a misbehaving client does.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// Sends a byte a second of its headers.
    SlowHeaders,
    /// Sends a byte a second of a file.
    SlowFile,
    /// Sends a byte a second of a large value.
    SlowValue,
    /// Reads a byte a second of a file.
    SlowReader,
    /// Disconnects in the middle of a form that is stored with a multipart upload.
    VanishingForm,
    /// Disconnects in the middle of a large value.
    VanishingValue,
    /// Disconnects at the beginning of a reply.
    VanishingReader,
}

const HABITS: [Habit; 7] = [
    Habit::SlowHeaders,
    Habit::SlowFile,
    Habit::SlowValue,
    Habit::SlowReader,
    Habit::VanishingForm,
    Habit::VanishingValue,
    Habit::VanishingReader,
];

#[tokio::test]
async fn slow_and_vanishing_clients_do_not_affect_others() {
    run(12).await;
}

#[tokio::test]
#[ignore = "takes minutes when other tests run beside it"]
async fn a_crowd_of_slow_and_vanishing_clients_does_not_affect_others() {
    run(40).await;
}

/// Lets that many clients have each habit.
async fn run(clients_per_habit: usize) {
    let state = TempDir::new().expect("a folder");
    let dev = Dev::start(state.path(), &["--customer", "slow", "--customer", "other"]).await;
    let (slow, other) = (Customer::at(&dev.url, "slow"), Customer::at(&dev.url, "other"));
    let file = Bytes::from(noise(4 * MIB, 70));
    expect_success(slow.put("/files?key=file").body(file.clone())).await;
    let address = dev.url.trim_start_matches("http://").to_owned();
    let before = memory(&processes(state.path()), "workerd serve") >> 20;

    let until = Instant::now() + Duration::from_secs(12);
    let mut clients = JoinSet::new();
    let sent = Bytes::from(noise(6 * MIB, 71));
    for habit in HABITS {
        for number in 0..clients_per_habit {
            let client = client(address.clone(), habit, sent.clone(), until);
            clients.spawn(async move {
                sleep(Duration::from_millis(100) * u32::try_from(number).expect("small")).await;
                client.await;
            });
        }
    }
    let mut rounds = 0;
    while Instant::now() < until {
        let key = format!("/files?key={rounds}");
        timeout(REPLY_TIMEOUT, expect_success(other.put(&key).body(noise(1000, rounds))))
            .await
            .expect("a reply in time");
        let reply = timeout(REPLY_TIMEOUT, Reply::to(other.get(&key))).await.expect("a reply in time");
        assert_eq!(reply.body, noise(1000, rounds));
        // The same customer's other clients must be served as well.
        let reply = timeout(REPLY_TIMEOUT, Reply::to(slow.head("/files?key=file"))).await.expect("a reply in time");
        assert_eq!(reply.status, 200, "{reply}");
        rounds += 1;
    }
    clients.join_all().await;
    println!("{rounds} rounds of three requests beside {} misbehaving clients", clients_per_habit * HABITS.len());

    // Everything is released: the slots for large bodies, and the parts of unfinished uploads.
    let value = format!("{{\"key\":\"large\",\"value\":\"{}\"}}", "x".repeat(2 * MIB));
    let started = Instant::now();
    while Reply::to(slow.post_json("/data", value.clone())).await.status != 200 {
        assert!(started.elapsed() < RELEASE_TIMEOUT, "the slots for large bodies are not released");
        sleep(Duration::from_millis(500)).await;
    }
    let unfinished = "SELECT upload_id FROM _mf_multipart_uploads WHERE state = 0";
    while !query_in(state.path(), "r2", unfinished).is_empty() {
        assert!(started.elapsed() < RELEASE_TIMEOUT, "unfinished uploads remain");
        sleep(Duration::from_millis(500)).await;
    }
    assert!(Reply::to(slow.get("/files?key=file")).await.body == file);
    let after = memory(&processes(state.path()), "workerd serve") >> 20;
    println!("the runtimes' memory: {before} MiB before, {after} MiB after");
    assert!(dev.stop(Signal::SIGINT).await.success());
}

async fn client(address: String, habit: Habit, sent: Bytes, until: Instant) {
    let mut stream = TcpStream::connect(&address).await.expect("the platform listens");
    let request = match habit {
        Habit::SlowHeaders => "GET / HTTP/1.1\r\nX-Slow: ".to_owned(),
        Habit::SlowFile => head("PUT /files?key=slow", 100_000, "application/x"),
        Habit::SlowValue | Habit::VanishingValue => head("POST /data", 3 * MIB, "application/json"),
        Habit::VanishingForm => head("POST /files", 20 * MIB, "multipart/form-data; boundary=x"),
        Habit::SlowReader | Habit::VanishingReader => head("GET /files?key=file", 0, "application/x"),
    };
    // The platform may have closed the connection already.
    if stream.write_all(request.as_bytes()).await.is_err() {
        return;
    }
    let mut byte = [0];
    while Instant::now() < until {
        match habit {
            Habit::SlowHeaders | Habit::SlowFile | Habit::SlowValue => {
                if stream.write_all(b" ").await.is_err() {
                    return;
                }
            }
            Habit::SlowReader => {
                if stream.read(&mut byte).await.is_err() {
                    return;
                }
            }
            Habit::VanishingForm => {
                let fields = "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nform\r\n\
                    --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
                // The connection may be closed before all of this is sent.
                let _ = stream.write_all(fields.as_bytes()).await;
                let _ = timeout(Duration::from_secs(3), stream.write_all(&sent)).await;
                return;
            }
            Habit::VanishingValue => {
                let _ = timeout(Duration::from_secs(3), stream.write_all(&sent[..MIB])).await;
                return;
            }
            Habit::VanishingReader => {
                let _ = stream.read(&mut byte).await;
                return;
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn head(line: &str, length: usize, content_type: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-User-ID: slow\r\nContent-Type: {content_type}\r\nContent-Length: \
         {length}\r\n\r\n"
    )
}
