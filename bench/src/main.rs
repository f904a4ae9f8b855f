//! The benchmark of the dispatcher and the customer Worker. It measures CPU time, storage operations, start-up time and
//! size, and compares them with twins of both Workers in plain JavaScript (`bench/twins/`).
//!
//! It runs the Workers in workerd, without wrangler, and simulates KV and R2 in its own process. It fails if a Worker
//! is over one of its limits. docs/performance.md explains the method and contains the results.
//!
//! ```text
//! cargo xtask bench              # about 7 minutes; rewrites the results in docs/performance.md
//! cargo xtask bench "GET /data"  # measures only the routes whose names contain this
//! cargo xtask bench --short      # 10 seconds; checks that the benchmark works, and ignores times
//! ```

mod load;
mod measure;
mod processors;
mod report;
mod routes;
mod run_mode;
mod sizes;
mod start_up;
mod storage;
mod workerd;

use std::env;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::report::BenchReport;
use crate::run_mode::RunMode;

/// Compare the Workers with their JavaScript twins, and fail if one is over a limit
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench")]
struct BenchOptions {
    /// Measure only the route with this name, or the routes whose names contain it; do not write docs/performance.md
    filter: Option<String>,

    /// Only check that the benchmark works: ignore times, and do not write docs/performance.md
    #[arg(long)]
    short: bool,
}

fn main() -> ExitCode {
    let options = BenchOptions::parse();
    let result = processors::reserve_one()
        .and_then(|()| tokio::runtime::Runtime::new().context("cannot start the async runtime"))
        .and_then(|runtime| runtime.block_on(run_until_stopped(&options)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the benchmark until it ends, or until Ctrl-C or SIGTERM. Dropping it stops the workerd processes.
async fn run_until_stopped(options: &BenchOptions) -> Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    tokio::select! {
        result = run(options) => result,
        _ = tokio::signal::ctrl_c() => bail!("stopped"),
        _ = terminated.recv() => bail!("stopped"),
    }
}

async fn run(options: &BenchOptions) -> Result<()> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .context("CARGO_MANIFEST_DIR is not set: run this with `cargo xtask bench`")?;
    let repository = Path::new(&manifest).parent().context("bench/ has a parent folder")?;
    let started = Instant::now();
    let mode = if options.short { RunMode::Short } else { RunMode::Full };
    let mut routes = routes::all()?;
    if let Some(filter) = &options.filter {
        let is_name = routes.iter().any(|route| route.name == *filter);
        routes.retain(|route| if is_name { route.name == *filter } else { route.name.contains(&**filter) });
        ensure!(!routes.is_empty(), "no route's name contains {filter:?}");
    }

    let routes = measure::all(repository, &routes, mode).await?;
    let (start_ups, sizes) = if options.filter.is_none() {
        (start_up::all(repository, mode).await?, sizes::all(repository)?)
    } else {
        (Vec::new(), Vec::new())
    };
    let report = BenchReport { mode, routes, start_ups, sizes };
    eprintln!("measured for {} s", started.elapsed().as_secs());
    println!("{}", report.to_markdown()?);
    if options.filter.is_none() && !options.short {
        report.write_into(&repository.join("docs/performance.md"))?;
    }
    let over = report.over_the_limit();
    ensure!(over.is_empty(), "over the limit:\n- {}", over.join("\n- "));
    Ok(())
}
