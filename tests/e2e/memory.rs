//! The memory that large files need. `cargo xtask test --long memory` runs this test and prints what it measures.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, stream};
use nix::sys::signal::Signal;
use reqwest::{Body, RequestBuilder};
use tempfile::TempDir;
use tests::{Customer, Dev, Reply, expect_success, noise};

const MIB: usize = 1024 * 1024;
const GIB: usize = 1024 * MIB;

/// Returns the resident memory of all workerd processes of a platform, in KiB.
fn runtime_memory(platform: &str) -> u64 {
    let ps = Command::new("ps").args(["-A", "-o", "pid=,ppid=,rss=,args="]).output().expect("ps runs");
    let text = String::from_utf8_lossy(&ps.stdout).into_owned();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let (mut descendants, mut next) = (vec![platform], 0);
    while next < descendants.len() {
        let parent = descendants[next];
        descendants.extend(lines.iter().filter(|line| line[1] == parent).map(|line| line[0]));
        next += 1;
    }
    let workerd = lines.iter().filter(|line| descendants.contains(&line[0]) && line[3].ends_with("workerd"));
    workerd.map(|line| line[2].parse::<u64>().expect("a number")).sum()
}

/// Awaits a future. Returns its output, and the peak growth of the runtimes' memory in the meantime, in MiB.
async fn memory_growth<T>(dev: &Dev, future: impl Future<Output = T>) -> (T, u64) {
    let platform = dev.pid().to_string();
    let before = runtime_memory(&platform);
    let done = Arc::new(AtomicBool::new(false));
    let watcher = {
        let done = done.clone();
        std::thread::spawn(move || {
            let mut peak = before;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(runtime_memory(&platform));
                std::thread::sleep(Duration::from_millis(100));
            }
            peak
        })
    };
    let result = future.await;
    done.store(true, Ordering::Relaxed);
    (result, (watcher.join().expect("the watcher ends") - before) / 1024)
}

/// Repeats a piece of one MiB until it makes one GiB.
fn repeated(piece: &Bytes) -> impl Iterator<Item = Result<Bytes, io::Error>> + Send + 'static + use<> {
    let piece = piece.clone();
    (0..GIB / MIB).map(move |_| Ok(piece.clone()))
}

/// Downloads a file of one GiB and compares it with the repeated piece.
async fn download(request: RequestBuilder, piece: &Bytes) {
    let response = request.send().await.expect("a reply");
    assert_eq!((response.status().as_u16(), response.content_length()), (200, Some(GIB as u64)));
    let (mut stream, mut received) = (response.bytes_stream(), 0);
    while let Some(bytes) = stream.next().await {
        let mut bytes = bytes.expect("the whole body");
        while !bytes.is_empty() {
            let expected = &piece[received % MIB..];
            let compared = bytes.split_to(expected.len().min(bytes.len()));
            assert!(compared == expected[..compared.len()], "at {received}");
            received += compared.len();
        }
    }
    assert_eq!(received, GIB);
}

fn form(user: &Customer, piece: &Bytes) -> RequestBuilder {
    let head = "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nfile\r\n\
        --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
    let end = "\r\n--x--\r\n";
    let body = std::iter::once(Ok(head.into())).chain(repeated(piece)).chain([Ok(end.into())]);
    user.post("/files")
        .header("Content-Type", "multipart/form-data; boundary=x")
        .header("Content-Length", head.len() + GIB + end.len())
        .body(Body::wrap_stream(stream::iter(body)))
}

fn put(user: &Customer, path: &str, piece: &Bytes) -> RequestBuilder {
    let body = Body::wrap_stream(stream::iter(repeated(piece)));
    user.put(path).header("Content-Length", GIB).body(body)
}

/// Each transfer has a platform of its own, because a process does not return its memory to the system. The simulators'
/// own memory is measured with a minimal Worker and subtracted.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_gibibyte_streams_both_ways_in_bounded_memory() {
    let piece = &Bytes::from(noise(MIB, 60));
    let plain = format!("plain={}/fixtures/plain.toml", env!("CARGO_MANIFEST_DIR"));
    let mut table = Vec::new();
    for (customer, upload) in [("plain", "PUT"), ("plain", "parts"), ("user1", "PUT"), ("user1", "form")] {
        let state = TempDir::new().expect("a folder");
        let arguments = ["--customer", if customer == "plain" { &plain } else { customer }];
        let dev = Dev::start(state.path(), &arguments).await;
        let user = &Customer::at(&dev.url, customer);
        // A first transfer, so that allocations that are made only once are not measured.
        expect_success(user.put("/files?key=file").body(piece.clone())).await;
        assert!(Reply::to(user.get("/files?key=file")).await.body == *piece);

        let started = Instant::now();
        let request = match upload {
            "form" => form(user, piece),
            "parts" => put(user, "/parts", piece),
            _ => put(user, "/files?key=file", piece),
        };
        let (reply, up) = memory_growth(&dev, expect_success(request)).await;
        assert_eq!(reply.json()["size"], GIB);
        println!(
            "{customer}: {upload} of 1 GiB in {:.1} s, the runtimes grew by {up} MiB",
            started.elapsed().as_secs_f64()
        );
        assert!(dev.stop(Signal::SIGINT).await.success());

        // Twice, because the simulator's memory varies, and each time with new processes.
        let mut down = 0;
        for _ in 0..2 {
            let dev = Dev::start(state.path(), &arguments).await;
            let user = &Customer::at(&dev.url, customer);
            let started = Instant::now();
            let ((), grown) = memory_growth(&dev, download(user.get("/files?key=file"), piece)).await;
            let seconds = started.elapsed().as_secs_f64();
            println!("{customer}: download of 1 GiB in {seconds:.1} s, the runtimes grew by {grown} MiB");
            assert!(dev.stop(Signal::SIGINT).await.success());
            down = down.max(grown);
        }
        table.push((up, down));
    }
    // A form is stored with a multipart upload, whose parts the simulator joins when the file is read.
    for (ours, plain) in [(table[2], table[0]), (table[3], table[1])] {
        let share = (ours.0.saturating_sub(plain.0), ours.1.saturating_sub(plain.1));
        println!("the Workers' share: {} MiB up, {} MiB down", share.0, share.1);
        assert!(share.0 < 150 && share.1 < 150, "{table:?}");
    }
}
