//! What large files cost. `cargo xtask test --long memory` runs this and prints what it measures.

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

/// The memory of a platform's runtimes together, in KiB.
fn runtimes(platform: &str) -> u64 {
    let ps = Command::new("ps").args(["-A", "-o", "pid=,ppid=,rss=,args="]).output().expect("ps runs");
    let text = String::from_utf8_lossy(&ps.stdout).into_owned();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let (mut family, mut seen) = (vec![platform], 0);
    while seen < family.len() {
        let parent = family[seen];
        family.extend(lines.iter().filter(|line| line[1] == parent).map(|line| line[0]));
        seen += 1;
    }
    let workerd = lines.iter().filter(|line| family.contains(&line[0]) && line[3].ends_with("workerd"));
    workerd.map(|line| line[2].parse::<u64>().expect("a number")).sum()
}

/// Runs something, and answers by how many MiB the runtimes grew at the most meanwhile.
async fn growth<T>(dev: &Dev, act: impl Future<Output = T>) -> (T, u64) {
    let platform = dev.pid().to_string();
    let idle = runtimes(&platform);
    let done = Arc::new(AtomicBool::new(false));
    let watch = {
        let done = done.clone();
        std::thread::spawn(move || {
            let mut peak = idle;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(runtimes(&platform));
                std::thread::sleep(Duration::from_millis(100));
            }
            peak
        })
    };
    let result = act.await;
    done.store(true, Ordering::Relaxed);
    (result, (watch.join().expect("the watch ends") - idle) / 1024)
}

fn repeated(piece: &Bytes) -> impl Iterator<Item = Result<Bytes, io::Error>> + Send + 'static + use<> {
    let piece = piece.clone();
    (0..GIB / MIB).map(move |_| Ok(piece.clone()))
}

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

/// Each way on a platform of its own, because a process does not give memory back. What the simulators take by
/// themselves is measured with a Worker that does nothing else.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_gibibyte_up_and_down() {
    let piece = &Bytes::from(noise(MIB, 60));
    let plain = format!("plain={}/fixtures/plain.toml", env!("CARGO_MANIFEST_DIR"));
    let mut table = Vec::new();
    for (customer, upload) in [("plain", "PUT"), ("plain", "parts"), ("user1", "PUT"), ("user1", "form")] {
        let state = TempDir::new().expect("a folder");
        let arguments = ["--customer", if customer == "plain" { &plain } else { customer }];
        let dev = Dev::start(state.path(), &arguments).await;
        let user = &Customer::of(&dev.url, customer);
        // What the runtimes take once, whatever the size.
        expect_success(user.put("/files?key=file").body(piece.clone())).await;
        assert!(Reply::to(user.get("/files?key=file")).await.body == *piece);

        let started = Instant::now();
        let request = match upload {
            "form" => form(user, piece),
            "parts" => put(user, "/parts", piece),
            _ => put(user, "/files?key=file", piece),
        };
        let (reply, up) = growth(&dev, expect_success(request)).await;
        assert_eq!(reply.json()["size"], GIB);
        println!(
            "{customer}: {upload} of 1 GiB in {:.1} s, the runtimes grew by {up} MiB",
            started.elapsed().as_secs_f64()
        );
        assert!(dev.stop(Signal::SIGINT).await.success());

        // Twice, because the simulator does not always take as much, and started again, so that each is measured by
        // itself.
        let mut down = 0;
        for _ in 0..2 {
            let dev = Dev::start(state.path(), &arguments).await;
            let user = &Customer::of(&dev.url, customer);
            let started = Instant::now();
            let ((), grown) = growth(&dev, download(user.get("/files?key=file"), piece)).await;
            let seconds = started.elapsed().as_secs_f64();
            println!("{customer}: download of 1 GiB in {seconds:.1} s, the runtimes grew by {grown} MiB");
            assert!(dev.stop(Signal::SIGINT).await.success());
            down = down.max(grown);
        }
        table.push((up, down));
    }
    // A form goes in parts, which the simulator puts together again when they are read.
    for (ours, plain) in [(table[2], table[0]), (table[3], table[1])] {
        let share = (ours.0.saturating_sub(plain.0), ours.1.saturating_sub(plain.1));
        println!("the Workers' share: {} MiB up, {} MiB down", share.0, share.1);
        assert!(share.0 < 150 && share.1 < 150, "{table:?}");
    }
}
