//! The benchmark: the dispatcher and the customer Worker against twins of theirs in plain JavaScript, in one run.
//! docs/performance.md explains the method.

mod load;
mod measure;
mod report;
mod routes;
mod runtime;
mod sizes;
mod start_up;
mod storage;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::measure::Plan;
use crate::report::{Machine, Report};

/// Compare the Workers with their JavaScript twins
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Options {
    /// Only the routes of this name, or whose names contain it; nothing is written then
    filter: Option<String>,

    /// One short round, to see that it works; the figures say nothing, and docs/performance.md stays as it is
    #[arg(long)]
    short: bool,

    /// How many rounds are measured, each of both sides
    #[arg(long, default_value_t = 9)]
    rounds: usize,

    /// About how long a side is measured in a round, in milliseconds
    #[arg(long, default_value_t = 600)]
    slice: u64,

    /// Where the figures go as JSON [default: bench/results.json, with --short target/bench.json]
    #[arg(long)]
    output: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the benchmark, with Workers that have been built.
async fn run(options: &Options) -> Result<()> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").context("run this with `cargo xtask bench`")?;
    let repository = Path::new(&manifest).parent().context("bench/ has a parent folder")?;
    ensure!(options.rounds > 0, "--rounds must be 1 at least");
    let plan = if options.short {
        Plan { rounds: 1, slice: Duration::from_millis(20), starts: 1 }
    } else {
        Plan { rounds: options.rounds, slice: Duration::from_millis(options.slice), starts: 15 }
    };
    let mut routes = routes::all()?;
    if let Some(filter) = &options.filter {
        let exact = routes.iter().any(|route| route.name == *filter);
        routes.retain(|route| route.name == *filter || !exact && route.name.contains(&**filter));
        ensure!(!routes.is_empty(), "no route's name contains {filter:?}");
    }

    let machine = Machine::this()?;
    eprintln!("{machine}; {} rounds", plan.rounds);
    let routes = measure::all(repository, &routes, &plan).await?;
    let start_ups = if options.filter.is_none() { start_up::all(repository, &plan).await? } else { Vec::new() };
    let report = Report { machine, rounds: plan.rounds, routes, start_ups, sizes: sizes::all(repository)? };
    let table = report.to_markdown();
    println!("{table}");
    if options.filter.is_some() {
        return Ok(());
    }
    let output = match (&options.output, options.short) {
        (Some(output), _) => output.clone(),
        (None, true) => repository.join("target/bench.json"),
        (None, false) => {
            report::put_into(&repository.join("docs/performance.md"), &table)?;
            repository.join("bench/results.json")
        }
    };
    report.write(&output)
}
