//! What customers' Workers fetch goes through the outbound Worker, where one is configured.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::api::expect_result;
use tests::{Customer, Dev, Reply, repository};

/// A checkout whose dispatcher has the outbound Worker that wrangler.toml suggests.
fn checkout_with_outbound() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for entry in fs::read_dir(repository()).expect("the repository") {
        let name = entry.expect("an entry").file_name();
        if !["wrangler.toml", ".git", ".platform", "target"].iter().any(|skipped| name == *skipped) {
            symlink(repository().join(&name), folder.path().join(&name)).expect("a link");
        }
    }
    let mut config = fs::read_to_string(repository().join("wrangler.toml")).expect("a file");
    for line in ["outbound = { service = ", "OUTBOUND = true"] {
        let comment = format!("# {line}");
        assert_eq!(config.matches(&comment).count(), 1, "{comment}");
        config = config.replace(&comment, line);
    }
    fs::write(folder.path().join("wrangler.toml"), config).expect("a file");
    let builds = folder.path().join("builds");
    fs::create_dir(&builds).expect("a folder");
    for worker in ["dispatcher", "customer-worker", "outbound"] {
        symlink(repository().join(worker).join("build"), builds.join(worker)).expect("a link");
    }
    folder
}

#[tokio::test]
async fn requests_go_through_the_outbound_worker_with_its_parameters() {
    let checkout = checkout_with_outbound();
    let state = TempDir::new().expect("a folder");
    let builds = checkout.path().join("builds");
    let arguments =
        ["--builds", builds.to_str().expect("UTF-8"), "--records", "--customer", "one", "--customer", "two"];
    let dev = Dev::start_in(checkout.path(), state.path(), &arguments).await;
    let api = dev.api();
    for id in ["one", "two"] {
        expect_result(api.upload(id, super::SOURCE, json!({ "compatibility_date": "2026-11-17" }))).await;
    }
    let fetch = async |id: &str| {
        let url = tests::escaped("https://blocked.example/path");
        Reply::to(Customer::at(&dev.url, id).get(&format!("/fetch?url={url}"))).await.text().to_owned()
    };
    // The outbound Worker allows no host, and answers itself.
    assert_eq!(fetch("one").await, "reached 403");
    assert_eq!(fetch("two").await, "reached 403");

    // It knows whose request it is, and follows the customer's record.
    let logged = async |id: &str| -> Vec<Value> {
        let path = format!("/workers/dispatch/namespaces/customers/logs?script={id}");
        let text = Reply::to(api.get(&path)).await.text().to_owned();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter_map(|line| serde_json::from_str(line["message"].as_str()?).ok()).collect()
    };
    for id in ["one", "two"] {
        let lines = logged(id).await;
        assert!(!lines.is_empty(), "nothing is logged");
        for line in lines {
            assert_eq!((&line["userId"], &line["plan"]), (&id.into(), &"default".into()), "{line}");
        }
    }
    assert!(dev.stop(Signal::SIGINT).await.success());
}
