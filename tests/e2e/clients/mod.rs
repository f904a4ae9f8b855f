//! Popular HTTP clients and SDKs with their own defaults. Each is a script in `tests/clients/`, which runs in its own
//! process and prints a line of JSON for each check.

mod install;
mod proxy;
mod report;
mod secrets;

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::{NamedTempFile, TempDir};
use tests::Dev;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use install::Programs;
use proxy::Proxy;
use report::ClientReport;

/// How long a script may run.
const SCRIPT_TIMEOUT: Duration = Duration::from_mins(5);

/// The scripts, and the number of checks of each, so that a script that ends early fails.
const SCRIPTS: [(&str, usize); 9] = [
    ("python/curl_client.py", 24),
    ("python/httpie_client.py", 12),
    ("python/sockets_client.py", 2),
    ("python/requests_client.py", 26),
    ("python/httpx_client.py", 15),
    ("node/fetch_client.mjs", 21),
    ("node/axios_client.mjs", 18),
    ("python/cloudflare_client.py", 24),
    ("node/cloudflare_client.mjs", 22),
];

#[tokio::test]
#[ignore = "takes minutes"]
async fn popular_clients_work_with_their_defaults() {
    let programs = spawn_blocking(Programs::install).await.expect("the clients' packages can be installed");
    let state = TempDir::new().expect("a folder");
    let origins = ["--var", "ALLOWED_ORIGINS:https://app.example"];
    let headers = ["--var", "ALLOWED_HEADERS:X-Requested-With, Cache-Control"];
    let arguments = [&["--customer", "clients"][..], &origins, &headers].concat();
    let dev = Dev::start(state.path(), &arguments).await;
    let proxy = Proxy::start(&dev.url).await;

    let mut report = ClientReport::default();
    for (script, checks) in SCRIPTS {
        report.add(script, checks, &run(script, &programs, &dev, &proxy).await);
    }
    println!("{report}");
    report.expect_success();
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// Runs a script until it ends or its time is up, and returns its standard output. Its errors go to the test's output.
async fn run(script: &str, programs: &Programs, dev: &Dev, proxy: &Proxy) -> String {
    let output = NamedTempFile::new().expect("a file");
    let mut command = dev.api().command(programs.interpreter(script));
    command.arg(tests::repository().join("tests/clients").join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("PLATFORM_URL", &dev.url).env("NO_PROXY", "127.0.0.1").envs(proxy.environment());
    command.stdout(output.reopen().expect("the file exists"));
    let started = Instant::now();
    let mut process = command.spawn().expect("the script starts");
    if timeout(SCRIPT_TIMEOUT, process.wait()).await.is_err() {
        process.kill().await.expect("the script runs");
    }
    println!("{script}: {:.0} s", started.elapsed().as_secs_f64());
    fs::read_to_string(&output).expect("UTF-8")
}
