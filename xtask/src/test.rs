//! Runs every test in the repository.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use local_platform::{Auth, LocalPlatform, Options};
use tempfile::TempDir;

use crate::setup::{self, Tools};
use crate::test_platform::TestPlatform;
use crate::{build, program};

/// Run every test in the repository.
#[derive(Debug, clap::Args)]
pub struct TestArguments {
    /// Run only the end-to-end tests whose names contain this
    pub filter: Option<String>,

    /// Run only the long end-to-end tests, one after another; they print what they measure
    #[arg(long)]
    pub long: bool,

    /// Environment variables for the end-to-end tests.
    #[arg(skip)]
    pub settings: Vec<(&'static str, String)>,
}

/// Runs the unit tests, and the end-to-end tests against a platform that it starts.
pub fn run(repository: &Path, tools: &Tools, arguments: &TestArguments) -> Result<()> {
    build::run(repository, tools, &build::BuildArguments::default())?;
    build::with_faults(repository, tools)?;
    if arguments.filter.is_none() && !arguments.long {
        cargo(repository, &["test", "--workspace", "--exclude=tests"])?;
    }
    cargo(repository, &["build", "--package=platform"])?;
    cargo(repository, &["test", "--package=tests", "--no-run"])?;
    // One of the tests runs the benchmark. It is built here, because a build during the tests would slow them down.
    cargo(repository, &["build", "--quiet", "--profile=load", "--package=bench"])?;
    let api_testers = setup::install_api_testers(repository)?;
    tokio::runtime::Runtime::new().context("cannot start the async runtime")?.block_on(end_to_end(
        repository,
        arguments,
        &api_testers,
    ))
}

fn cargo(repository: &Path, arguments: &[&str]) -> Result<()> {
    program::run(Command::new("cargo").current_dir(repository).args(arguments), "install Rust")
}

/// Starts a platform on free ports with an empty state folder, runs the tests against it, and stops it.
async fn end_to_end(repository: &Path, arguments: &TestArguments, api_testers: &Path) -> Result<()> {
    let state = TempDir::new().context("cannot create a state folder")?;
    let log = repository.join("target/end-to-end.log");
    let TestPlatform { customers, workers } = TestPlatform::read(repository)?;
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
        customers,
        others: workers,
        allow: Vec::new(),
        idle: Options::IDLE,
        log: Some(log.clone()),
    };
    let mut platform = LocalPlatform::start(options).await?;
    let mut tests = tokio::process::Command::new("cargo");
    tests.current_dir(repository).args(["test", "--package=tests"]).args(&arguments.filter);
    if arguments.long {
        tests.args(["--", "--ignored", "--nocapture"]);
    }
    // Most tests wait for the platform, so more threads than processors help. The long tests measure times.
    tests.env("RUST_TEST_THREADS", if arguments.long { "1" } else { "8" });
    tests.envs(arguments.settings.iter().cloned());
    tests.env("PLATFORM_URL", format!("http://{}", platform.address()));
    tests.env("PLATFORM_PID", std::process::id().to_string());
    tests.env("PLATFORM_STATE", state.path());
    tests.env("PLATFORM_LOG", &log);
    tests.env("API_TESTERS", api_testers);
    let xtask = std::env::current_exe().context("cannot find the path of this program")?;
    tests.env("PLATFORM", xtask.with_file_name("platform")).env("XTASK", xtask);
    let status = tokio::select! {
        status = tests.status() => status.context("cannot run cargo")?,
        error = platform.keep_running() => return Err(error),
    };
    platform.stop().await?;
    if !status.success() {
        bail!("end-to-end tests failed; the platform's output is in {}", log.display());
    }
    Ok(())
}
