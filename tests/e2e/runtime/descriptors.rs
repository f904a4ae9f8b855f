//! A platform that can open few files, and a crowd of clients.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tests::processes::{descriptors, processes};
use tests::{Customer, Dev, Reply, expect_json, expect_success};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// How many files each process can open. The platform's own program has half as many.
const FILES: u32 = 512;

/// How many clients come at once. Each needs several files of the platform's own program.
const CROWD: usize = 300;

const CUSTOMERS: [&str; 3] = ["a", "b", "c"];

/// Not every client of the crowd is served. workerd ends if it cannot accept a connection, and would take the requests of
/// all others with it.
#[tokio::test]
async fn a_crowd_beyond_the_limit_of_open_files_ends_no_process_and_leaves_no_file_open() {
    let state = TempDir::new().expect("a folder");
    let arguments: Vec<&str> = CUSTOMERS.iter().flat_map(|id| ["--customer", *id]).collect();
    let dev = Dev::start_with_few_descriptors(FILES, state.path(), &arguments).await;
    for id in CUSTOMERS {
        let customer = Customer::at(&dev.url, id);
        expect_success(customer.put("/files?key=file").body("content")).await;
        expect_success(customer.post_json("/data", r#"{"key":"k","value":"kept"}"#)).await;
    }
    let before = descriptors(&processes(state.path()));

    // Clients that send nothing use up all connections until they disconnect.
    let address = dev.url.trim_start_matches("http://").to_owned();
    let silent = futures::future::join_all((0..CROWD).map(|_| TcpStream::connect(&address))).await;
    sleep(Duration::from_secs(2)).await;
    drop(silent);
    let clients: Vec<Customer> = CUSTOMERS.iter().map(|id| Customer::at(&dev.url, id)).collect();
    let writes = (0..CROWD).map(|number| write(&clients[number % clients.len()], number));
    let replies = futures::future::join_all(writes).await;
    // This closes the connections that wait for further requests.
    drop(clients);
    let mut counts = BTreeMap::<u16, usize>::new();
    for status in &replies {
        *counts.entry(*status).or_default() += 1;
    }
    println!("{CROWD} writers at once got these replies, 0 is none: {counts:?}");
    assert!(counts.keys().all(|status| [0, 200, 502, 503].contains(status)), "{counts:?}");

    // The simulators close the files of what nobody uses after ten seconds.
    let started = Instant::now();
    loop {
        let after = descriptors(&processes(state.path()));
        if after <= before + 20 {
            break;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "{before} files are open before, {after} after");
        sleep(Duration::from_millis(500)).await;
    }
    println!("{} ms later, as many files are open as before", started.elapsed().as_millis());
    for (id, replies) in CUSTOMERS.iter().enumerate().map(|(at, id)| (id, replies.iter().enumerate().skip(at))) {
        let customer = Customer::at(&dev.url, id);
        assert_eq!(Reply::to(customer.get("/files?key=file")).await.text(), "content");
        for (number, _) in replies.step_by(CUSTOMERS.len()).filter(|(_, status)| **status == 200) {
            let value = json!({ "key": number.to_string(), "value": number });
            expect_json(customer.get(&format!("/data?key={number}")), value).await;
        }
    }
    let stderr = dev.stop_and_get_stderr().await;
    assert!(!stderr.contains("process ended"), "{stderr}");
}

/// Writes a value. Returns the status of the reply, or 0 if there is none in time.
async fn write(customer: &Customer, number: usize) -> u16 {
    let body = json!({ "key": number.to_string(), "value": number }).to_string();
    let request = customer.post_json("/data", body).timeout(Duration::from_secs(12));
    request.send().await.map_or(0, |reply| reply.status().as_u16())
}
