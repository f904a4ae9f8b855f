//! The benchmark: measures the dispatcher and the customer Worker against twins in plain JavaScript.
//! docs/performance.md explains the method.

mod load;
mod measure;
mod plan;
mod processors;
mod report;
mod routes;
mod runtime;
mod sizes;
mod start_up;
mod storage;

use std::env;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::plan::Plan;
use crate::report::Report;

/// Measure the Workers against their JavaScript twins, and fail if one is over its limit
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Options {
    /// Measure only the route of this name, or the routes whose names contain it. docs/performance.md stays as it is
    filter: Option<String>,

    /// Only check that the benchmark works: judge no times, and leave docs/performance.md as it is
    #[arg(long)]
    short: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = processors::reserve_one()
        .and_then(|()| tokio::runtime::Runtime::new().context("cannot start the async runtime"))
        .and_then(|runtime| runtime.block_on(run_until_stopped(&options)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the benchmark. Ctrl-C and SIGTERM end it, and the runtimes with it.
async fn run_until_stopped(options: &Options) -> Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    tokio::select! {
        outcome = run(options) => outcome,
        _ = tokio::signal::ctrl_c() => bail!("stopped"),
        _ = terminated.recv() => bail!("stopped"),
    }
}

async fn run(options: &Options) -> Result<()> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").context("run this with `cargo xtask bench`")?;
    let repository = Path::new(&manifest).parent().context("bench/ has a parent folder")?;
    let started = Instant::now();
    let plan = if options.short { Plan::Short } else { Plan::Full };
    let mut routes = routes::all()?;
    if let Some(filter) = &options.filter {
        let is_name = routes.iter().any(|route| route.name == *filter);
        routes.retain(|route| if is_name { route.name == *filter } else { route.name.contains(&**filter) });
        ensure!(!routes.is_empty(), "no route's name contains {filter:?}");
    }

    let routes = measure::all(repository, &routes, plan).await?;
    let (start_ups, sizes) = if options.filter.is_none() {
        (start_up::all(repository, plan).await?, sizes::all(repository)?)
    } else {
        (Vec::new(), Vec::new())
    };
    let report = Report { plan, routes, start_ups, sizes };
    eprintln!("measured for {} s", started.elapsed().as_secs());
    println!("{}", report.to_markdown()?);
    if options.filter.is_none() && !options.short {
        report.write_into(&repository.join("docs/performance.md"))?;
    }
    let over = report.over_the_limit();
    ensure!(over.is_empty(), "over the limit:\n- {}", over.join("\n- "));
    Ok(())
}
