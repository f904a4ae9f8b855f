//! The repository's tasks: it builds the Workers, runs the local platform, and runs tests, benchmarks and checks. The
//! first run installs the tools that the tasks need.
//!
//! ```text
//! cargo xtask dev        # the platform with two customers on http://127.0.0.1:8787
//! cargo xtask test       # every test in the repository
//! cargo xtask test cors  # only the end-to-end tests whose names contain "cors"
//! cargo xtask help       # lists all tasks
//! ```

mod audit;
mod bench;
mod build;
mod dev;
mod paths;
mod program;
mod reproduce;
mod setup;
mod soak;
mod test;
mod test_platform;
mod watch;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Tasks of this repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct XtaskCli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the other tasks need: the Wasm target, npm packages, build tools, schemathesis
    Setup,
    /// Build the Workers for deployment, into the build/ folder of each crate
    Build(build::BuildArguments),
    /// Run the platform on this machine: the dispatcher and its customers, without a Cloudflare account
    Dev(dev::DevArguments),
    /// Compare the Workers with twins in plain JavaScript: CPU time, storage operations, start-up time, size
    #[command(disable_help_flag = true)]
    Bench(bench::BenchArguments),
    /// Run every test in the repository
    Test(test::TestArguments),
    /// Run the long tests: load, kills, failing storage, generated requests, large files, and two builds compared
    Soak(soak::SoakArguments),
    /// Check the dependencies: licences, sources, known vulnerabilities
    Audit,
    /// Check that a build in another folder produces the same Workers, byte for byte
    Reproduce,
}

fn main() -> ExitCode {
    match run(XtaskCli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let repository = repository()?;
    let tools = setup::setup(&repository)?;
    match task {
        Task::Setup => setup::install_api_testers(&repository).map(drop),
        Task::Build(arguments) => build::run(&repository, &tools, &arguments),
        Task::Dev(arguments) => dev::run(&repository, &tools, arguments),
        Task::Bench(arguments) => bench::run(&repository, &tools, &arguments),
        Task::Test(arguments) => test::run(&repository, &tools, &arguments),
        Task::Soak(arguments) => soak::run(&repository, &tools, &arguments),
        Task::Audit => audit::run(&repository, &tools),
        Task::Reproduce => reproduce::run(&repository, &tools),
    }
}

/// Returns the root of the checkout that Cargo runs this program for. The program may have been built in another one.
fn repository() -> Result<PathBuf> {
    let manifest =
        env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR is not set: run this with `cargo xtask`")?;
    let root = Path::new(&manifest).parent().context("xtask/ has a parent folder")?;
    root.canonicalize().with_context(|| format!("cannot find the repository at {}", root.display()))
}
