//! The benchmark: the dispatcher and the customer Worker against twins of theirs in plain JavaScript, in one run.
//! docs/performance.md explains the method.

mod compare;
mod load;
mod measure;
mod obvious;
mod processors;
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

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::measure::Plan;
use crate::report::{Machine, Report};

/// Compare the Workers with their JavaScript twins
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Options {
    /// Only the route of this name, or those whose names contain it; nothing is written then. Without it, the tables in
    /// docs/performance.md are made anew, however few the rounds
    filter: Option<String>,

    /// One short round, to see that it works; the figures say nothing, and docs/performance.md stays as it is
    #[arg(long, conflicts_with_all = ["warm_up", "rounds", "runs", "slices", "slice"])]
    short: bool,

    /// For how long every runtime serves each of all routes before the first is measured, in milliseconds: it compiles what is used
    /// often
    #[arg(long, default_value_t = 1000)]
    warm_up: u64,

    /// How many rounds are measured, each of both sides; twice as many of the dispatcher alone and of 1 MB, four times with a
    /// token
    #[arg(long, default_value_t = 12)]
    rounds: usize,

    /// Over how many runs of the runtimes the rounds are spread
    #[arg(long, default_value_t = 4)]
    runs: usize,

    /// In how many slices a round is measured; the sides take turns
    #[arg(long, default_value_t = 8)]
    slices: usize,

    /// About how long a slice is, in milliseconds
    #[arg(long, default_value_t = 40)]
    slice: u64,

    /// Where the figures go as JSON, and then docs/performance.md stays as it is [default: bench/results.json, with --short
    /// target/bench.json]
    #[arg(long, conflicts_with = "filter")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // Before there are any threads, which get the processors of the one that starts them.
    let outcome = processors::keep_off_the_runtimes()
        .and_then(|()| tokio::runtime::Runtime::new().context("cannot start a runtime"))
        .and_then(|runtime| runtime.block_on(run_until_stopped(&options)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the benchmark; on Ctrl-C or SIGTERM it ends, and the runtimes with it.
async fn run_until_stopped(options: &Options) -> Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    tokio::select! {
        outcome = run(options) => outcome,
        _ = tokio::signal::ctrl_c() => bail!("stopped"),
        _ = terminated.recv() => bail!("stopped"),
    }
}

/// Runs the benchmark, with Workers that have been built.
async fn run(options: &Options) -> Result<()> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").context("run this with `cargo xtask bench`")?;
    let repository = Path::new(&manifest).parent().context("bench/ has a parent folder")?;
    ensure!(options.runs > 0 && options.slices > 0, "--runs and --slices must be 1 at least");
    ensure!(options.rounds >= options.runs, "--rounds must be as many as --runs at least");
    let plan = if options.short {
        Plan { warm_up: Duration::ZERO, rounds: 1, runs: 1, slices: 1, slice: Duration::from_millis(10), starts: 1 }
    } else {
        Plan {
            warm_up: Duration::from_millis(options.warm_up),
            rounds: options.rounds,
            runs: options.runs,
            slices: options.slices,
            slice: Duration::from_millis(options.slice),
            starts: 40,
        }
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
