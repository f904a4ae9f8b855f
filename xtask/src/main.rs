//! Chores of this repository. `cargo xtask help` lists them.

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

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Chores of this repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Install what the other chores need: the Wasm target, npm packages, build tools, schemathesis
    Setup,
    /// Build the Workers, release, into each crate's build/
    Build(build::Arguments),
    /// Run the platform on this machine: the dispatcher and its customers, with no Cloudflare account
    Dev(dev::Arguments),
    /// Measure the Workers against twins in plain JavaScript: CPU time, storage operations, start, size
    #[command(disable_help_flag = true)]
    Bench(bench::Arguments),
    /// Run every test in the repository
    Test(test::Arguments),
    /// Run what takes long: load, kills, failing storage, generated requests, large files, and the builds twice
    Soak(soak::Arguments),
    /// Check what the project depends on: licences, sources, known vulnerabilities
    Audit,
    /// Check that the Workers built in another folder are the same, byte for byte
    Reproduce,
}

fn main() -> ExitCode {
    match run(Cli::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<()> {
    let repository = repository()?;
    let tools = setup::setup(&repository)?;
    match chore {
        Chore::Setup => setup::install_api_testers(&repository).map(drop),
        Chore::Build(arguments) => build::run(&repository, &tools, &arguments),
        Chore::Dev(arguments) => dev::run(&repository, &tools, arguments),
        Chore::Bench(arguments) => bench::run(&repository, &tools, &arguments),
        Chore::Test(arguments) => test::run(&repository, &tools, &arguments),
        Chore::Soak(arguments) => soak::run(&repository, &tools, &arguments),
        Chore::Audit => audit::run(&repository, &tools),
        Chore::Reproduce => reproduce::run(&repository, &tools),
    }
}

/// The repository's root, wherever in it the chore was called: that of the checkout that Cargo runs this for, which need
/// not be the one that it was built in.
fn repository() -> Result<PathBuf> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").context("run this with `cargo xtask`")?;
    let root = Path::new(&manifest).parent().context("xtask/ has a parent folder")?;
    root.canonicalize().with_context(|| format!("there is no repository at {}", root.display()))
}
