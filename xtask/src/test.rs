//! Runs every test in the repository.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use local_platform::{Auth, Customer, LocalPlatform, Options};
use tempfile::TempDir;

use crate::setup::{self, Tools};
use crate::{build, program};

/// Run every test in the repository.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run only the end-to-end tests whose names contain this
    pub filter: Option<String>,

    /// Run those end-to-end tests that take long, and only those; they print what they measure
    #[arg(long)]
    pub long: bool,

    /// What those get in their environment.
    #[arg(skip)]
    pub settings: Vec<(&'static str, String)>,
}

/// The customers that the end-to-end tests use. Those that count what is stored have customers of their own.
const CUSTOMERS: &[&str] = &[
    "user1",
    "user2",
    "a",
    "attacker",
    "the-longest-user-id-that-there-can-be-0123456789",
    "bare=tests/fixtures/bare.toml",
    "busy",
    "count1",
    "count2",
    "count3",
    "cut-off",
    "echo=tests/fixtures/echo.js",
    "flaky=tests/fixtures/flaky.toml",
    "gate=tests/fixtures/gate.toml",
    "list1",
    "list2",
    "outbound-caller=tests/fixtures/outbound-caller.toml",
    "parts",
    "prefixed=tests/fixtures/prefixed.toml",
    "records=tests/fixtures/records.toml",
    "round-trips",
    "rpc=tests/fixtures/rpc.toml",
    "rpc-called",
    "strange=tests/fixtures/strange.js",
    "throws=tests/fixtures/throws.js",
    "unreliable=tests/fixtures/unreliable.toml",
    "victim",
];

/// Workers that some of them are bound to.
const OTHERS: &[&str] = &[
    "tests/fixtures/flaky-storage.toml",
    "tests/fixtures/outbound.toml",
    "tests/fixtures/unreliable-storage.toml",
    "tests/fixtures/dispatchers/alternating.toml",
    "tests/fixtures/dispatchers/auth-unknown.toml",
    "tests/fixtures/dispatchers/broken-defaults.toml",
    "tests/fixtures/dispatchers/broken-records.toml",
    "tests/fixtures/dispatchers/broken-rest.toml",
    "tests/fixtures/dispatchers/cors.toml",
    "tests/fixtures/dispatchers/cors-any.toml",
    "tests/fixtures/dispatchers/guarded.toml",
    "tests/fixtures/dispatchers/jwks-broken.toml",
    "tests/fixtures/dispatchers/ordered.toml",
    "tests/fixtures/dispatchers/records.toml",
    "tests/fixtures/dispatchers/secrets-short.toml",
    "tests/fixtures/dispatchers/strict.toml",
    "tests/fixtures/dispatchers/token.toml",
    "tests/fixtures/dispatchers/unbound.toml",
    "tests/fixtures/dispatchers/unconfigured.toml",
];

/// Runs the unit tests, the local namespace's, then the end-to-end tests against a platform of their own.
pub fn run(repository: &Path, tools: &Tools, arguments: &Arguments) -> Result<()> {
    build::run(repository, tools, &build::Arguments::default())?;
    build::with_faults(repository, tools)?;
    if arguments.filter.is_none() && !arguments.long {
        cargo(repository, &["test", "--workspace", "--exclude=tests"])?;
        let mut npm = Command::new("npm");
        npm.current_dir(repository.join("local-platform/namespace")).args(["test", "--silent"]);
        npm.env("PATH", build::path_with(&tools.npm_programs)?);
        program::run(&mut npm, "install Node.js 20 or later")?;
    }
    cargo(repository, &["build", "--package=platform"])?;
    cargo(repository, &["test", "--package=tests", "--no-run"])?;
    // One of them runs it. Built then, it would keep the processors from the others.
    cargo(repository, &["build", "--quiet", "--profile=load", "--package=bench"])?;
    let api_testers = setup::install_api_testers(repository)?;
    tokio::runtime::Runtime::new().context("cannot start a runtime")?.block_on(end_to_end(
        repository,
        arguments,
        &api_testers,
    ))
}

fn cargo(repository: &Path, arguments: &[&str]) -> Result<()> {
    program::run(Command::new("cargo").current_dir(repository).args(arguments), "install Rust")
}

/// Starts a platform on free ports with a fresh state folder, runs the tests against it, and stops it.
async fn end_to_end(repository: &Path, arguments: &Arguments, api_testers: &Path) -> Result<()> {
    let state = TempDir::new().context("cannot make a state folder")?;
    let log = repository.join("target/end-to-end.log");
    let options = Options {
        repository: repository.to_owned(),
        builds: None,
        state: state.path().to_owned(),
        port: 0,
        api_port: 0,
        api_token: None,
        records: false,
        auth: Auth::TrustedHeader,
        vars: Vec::new(),
        customers: CUSTOMERS.iter().map(|customer| fixture(repository, customer)).collect(),
        others: OTHERS.iter().map(|path| repository.join(path)).collect(),
        log: Some(log.clone()),
        verbose: true,
    };
    let mut platform = LocalPlatform::start(options).await?;
    let mut tests = tokio::process::Command::new("cargo");
    tests.current_dir(repository).args(["test", "--package=tests"]).args(&arguments.filter);
    if arguments.long {
        tests.args(["--", "--ignored", "--nocapture"]);
    }
    // They wait for the platform most of the time; the long ones do not, and measure.
    tests.env("RUST_TEST_THREADS", if arguments.long { "1" } else { "8" });
    tests.envs(arguments.settings.iter().cloned());
    tests.env("PLATFORM_URL", format!("http://{}", platform.address()));
    tests.env("PLATFORM_PID", std::process::id().to_string());
    tests.env("PLATFORM_STATE", state.path());
    tests.env("PLATFORM_LOG", &log);
    tests.env("API_TESTERS", api_testers);
    let xtask = std::env::current_exe().context("this program has no path")?;
    tests.env("PLATFORM", xtask.with_file_name("platform")).env("XTASK", xtask);
    let status = tokio::select! {
        status = tests.status() => status.context("cannot run cargo")?,
        error = platform.keep_running() => return Err(error),
    };
    platform.stop().await?;
    if !status.success() {
        bail!("end-to-end tests failed; what the platform printed is in {}", log.display());
    }
    Ok(())
}

fn fixture(repository: &Path, customer: &str) -> Customer {
    let customer: Customer = customer.parse().expect("a valid id");
    Customer { worker: customer.worker.map(|worker| repository.join(worker)), ..customer }
}
