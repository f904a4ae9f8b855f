//! What customers' Workers fetch goes through the outbound Worker, where one is configured.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::api::expect_result;
use tests::{Customer, Dev, LocalApi, Reply, escaped, repository};
use tokio::time::{Instant, sleep, timeout};

use super::doors::server;

/// A checkout whose dispatcher has the outbound Worker that wrangler.toml suggests.
fn checkout_with_outbound(allowed_hosts: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for entry in fs::read_dir(repository()).expect("the repository") {
        let name = entry.expect("an entry").file_name();
        if !["wrangler.toml", "outbound", ".git", ".platform", "target"].iter().any(|skipped| name == *skipped) {
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
    let config = fs::read_to_string(repository().join("outbound/wrangler.toml")).expect("a file");
    assert_eq!(config.matches("ALLOWED_HOSTS = \"\"").count(), 1);
    let config = config.replace("ALLOWED_HOSTS = \"\"", &format!("ALLOWED_HOSTS = {allowed_hosts:?}"));
    fs::create_dir(folder.path().join("outbound")).expect("a folder");
    fs::write(folder.path().join("outbound/wrangler.toml"), config).expect("a file");
    let builds = folder.path().join("builds");
    fs::create_dir(&builds).expect("a folder");
    for worker in ["dispatcher", "customer-worker", "outbound"] {
        symlink(repository().join(worker).join("build"), builds.join(worker)).expect("a link");
    }
    folder
}

/// A platform with an outbound Worker and the customers `one` and `two`, whose Worker is the workbench.
struct PlatformWithOutbound {
    dev: Dev,
    api: LocalApi,
    _checkout: TempDir,
    _state: TempDir,
}

impl PlatformWithOutbound {
    async fn start(allowed_hosts: &str, arguments: &[&str]) -> Self {
        let checkout = checkout_with_outbound(allowed_hosts);
        let state = TempDir::new().expect("a folder");
        let builds = checkout.path().join("builds");
        let customers = ["--records", "--customer", "one", "--customer", "two"];
        let all = [&["--builds", builds.to_str().expect("UTF-8")], &customers[..], arguments].concat();
        let dev = Dev::start_in(checkout.path(), state.path(), &all).await;
        let api = dev.api();
        for id in ["one", "two"] {
            expect_result(api.upload(id, super::SOURCE, json!({ "compatibility_date": "2026-11-17" }))).await;
        }
        Self { dev, api, _checkout: checkout, _state: state }
    }

    /// What a customer's Worker reports of its attempt to fetch a URL.
    async fn fetch(&self, id: &str, url: &str) -> String {
        self.text(id, &format!("/fetch?url={}", escaped(url))).await
    }

    async fn text(&self, id: &str, path: &str) -> String {
        Reply::to(Customer::at(&self.dev.url, id).get(path)).await.text().to_owned()
    }

    /// The lines that the outbound Worker has logged about a script's requests, once there is one about this host.
    async fn logged(&self, id: &str, host: &str) -> Vec<Value> {
        let path = format!("/workers/dispatch/namespaces/customers/logs?script={id}");
        let started = Instant::now();
        loop {
            let text = Reply::to(self.api.get(&path)).await.text().to_owned();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
            let lines: Vec<Value> =
                lines.filter_map(|line| serde_json::from_str(line["message"].as_str()?).ok()).collect();
            if lines.iter().any(|line| line["host"] == host) {
                return lines;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "no request of {id} to {host} is logged: {text}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn requests_go_through_the_outbound_worker_with_its_parameters() {
    let platform = PlatformWithOutbound::start("", &[]).await;
    for id in ["one", "two"] {
        // The outbound Worker allows no host, and answers itself.
        assert_eq!(platform.fetch(id, "https://blocked.example/path").await, "reached 403");
        // It knows whose request it is, and follows the customer's record.
        for line in platform.logged(id, "blocked.example").await {
            assert_eq!((&line["userId"], &line["plan"]), (&id.into(), &"default".into()), "{line}");
        }
    }

    // Both customers send requests while the plan of one after the other changes. No request is lost, and the first one
    // after a change has the new plan. Each plan and each host has its customer's name.
    let busy = async |id: &str| -> () {
        loop {
            let fetched = platform.fetch(id, &format!("https://{id}.example/")).await;
            assert_eq!(fetched, "reached 403", "{id}");
        }
    };
    let records = platform.api.records().await;
    let changes = async {
        for (number, id) in (0..3).flat_map(|number| [(number, "one"), (number, "two")]) {
            let plan = format!("{id}-{number}");
            let record = json!({ "plan": plan }).to_string();
            expect_result(platform.api.request(Method::PUT, &format!("{records}/{id}")).body(record)).await;
            let host = format!("{plan}.{id}.example");
            assert_eq!(platform.fetch(id, &format!("https://{host}/")).await, "reached 403");
            let lines = platform.logged(id, &host).await;
            let line = lines.iter().find(|line| line["host"] == *host).expect("it is logged");
            assert_eq!(line["plan"], *plan, "{line}");
        }
    };
    tokio::select! {
        _ = futures::future::join4(busy("one"), busy("one"), busy("two"), busy("two")) => {}
        done = timeout(Duration::from_secs(50), changes) => done.expect("the plans change in time"),
    }
    for id in ["one", "two"] {
        let lines = platform.logged(id, &format!("{id}.example")).await;
        for line in &lines {
            let [user, plan, host] = ["userId", "plan", "host"].map(|name| line[name].as_str().expect("a text"));
            let is_own_plan = plan == "default" || plan.starts_with(id);
            let is_own_host = host == "blocked.example" || host.ends_with(&format!("{id}.example"));
            assert!(user == id && is_own_plan && is_own_host, "{line}");
        }
        let plans: BTreeSet<&str> = lines.iter().filter_map(|line| line["plan"].as_str()).collect();
        println!("{id}: {} requests, {plans:?}", lines.len());
        assert_eq!(plans.len(), 4, "{plans:?}");
    }
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// The outbound Worker allows all of these hosts, so that only the runtime keeps them apart from a customer's Worker.
#[tokio::test]
async fn no_address_of_this_machine_is_reached_through_the_outbound_worker() {
    let hosts = "127.0.0.1 localhost 0.0.0.0 [::1] [::] [::ffff:7f00:1] 127.0.0.2";
    let platform = PlatformWithOutbound::start(hosts, &["--allow", "127.0.0.2"]).await;
    let forbidden = server("127.0.0.1", None).await;
    let ports = [
        platform.dev.url.rsplit(':').next().expect("a port").to_owned(),
        platform.api.environment["CLOUDFLARE_API_BASE_URL"].split([':', '/']).nth(4).expect("a port").to_owned(),
        forbidden.port().to_string(),
    ];
    let connect = async |address: &str| platform.text("one", &format!("/connect?address={}", escaped(address))).await;
    for port in ports {
        for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "127.1", "2130706433"]
        {
            let address = format!("{host}:{port}");
            // The outbound Worker's reply to a host that it cannot reach.
            assert_eq!(platform.fetch("one", &format!("http://{address}/")).await, "reached 502", "{address}");
            let redirecting = server("127.0.0.2", Some(format!("http://{address}/"))).await;
            assert_eq!(platform.fetch("one", &format!("http://{redirecting}/")).await, "reached 502", "{address}");
            let connected = connect(&address).await;
            assert!(connected.starts_with("refused: "), "{address}: {connected}");
        }
    }
    let allowed = server("127.0.0.2", None).await;
    assert_eq!(platform.fetch("one", &format!("http://{allowed}/")).await, "reached 200");
    // What the outbound Worker does not see is blocked, as on Cloudflare.
    let connected = connect(&allowed.to_string()).await;
    assert!(connected.starts_with("refused: "), "{connected}");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}
