//! Measures the CPU time of routes. The Workers and the twins take turns.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;

use crate::load::Client;
use crate::report::{RouteResult, Spread};
use crate::routes::{self, MeasuredRoute};
use crate::run_mode::RunMode;
use crate::storage::{Counts, StorageOperation, StorageServer};
use crate::workerd::{EntryPoint, Language, Workerd};

/// The order in which the sides take turns. It alternates, so that neither side always runs second.
pub const TURNS: [[usize; 2]; 2] = [[0, 1], [1, 0]];

/// Measures all routes on both sides.
pub async fn all(repository: &Path, routes: &[MeasuredRoute], mode: RunMode) -> Result<Vec<RouteResult>> {
    let mut samples: Vec<[Samples; 2]> = routes.iter().map(|_| Default::default()).collect();
    for run in 0..mode.runs() {
        let sides = start_sides(repository, run).await?;
        for route in routes {
            compare_replies(route, &sides).await?;
        }
        if matches!(mode, RunMode::Full) {
            warm_up(&sides, mode).await?;
        }
        for (route, samples) in routes.iter().zip(&mut samples) {
            measure(route, &sides, samples, mode).await?;
            eprintln!("run {} of {}: {:25} {}", run + 1, mode.runs(), route.name, ratio(samples));
        }
    }
    routes.iter().zip(&samples).map(|(route, samples)| route_result(route, samples)).collect()
}

/// The Workers or their twins, in a workerd process with its own storage.
struct Side {
    workerd: Workerd,
    storage: StorageServer,
    clients: BTreeMap<EntryPoint, Client>,
}

/// Starts the Workers and the twins. Of two processes that run the same code, the one that was started last is a few
/// percent faster, so the sides swap in every run.
async fn start_sides(repository: &Path, run: usize) -> Result<[Side; 2]> {
    if run.is_multiple_of(2) {
        let rust = Side::start(repository, Language::Rust).await?;
        Ok([rust, Side::start(repository, Language::JavaScript).await?])
    } else {
        let javascript = Side::start(repository, Language::JavaScript).await?;
        Ok([Side::start(repository, Language::Rust).await?, javascript])
    }
}

impl Side {
    async fn start(repository: &Path, language: Language) -> Result<Self> {
        let storage = StorageServer::start().await?;
        routes::seed(&storage);
        let entries = [EntryPoint::Platform, EntryPoint::Dispatcher, EntryPoint::DispatcherWithToken];
        let workerd = Workerd::start(repository, language, &entries, storage.address).await?;
        let clients = entries.into_iter().map(|entry| (entry, Client::new(workerd.addresses[&entry]))).collect();
        Ok(Self { workerd, storage, clients })
    }

    fn client(&self, route: &MeasuredRoute) -> &Client {
        &self.clients[&route.entry]
    }

    /// Sends a route's request repeatedly for `time`. Returns how many requests fit into `slice`.
    async fn serve(&self, route: &MeasuredRoute, time: Duration, slice: Duration) -> Result<u64> {
        let (started, mut times) = (Instant::now(), 1);
        loop {
            let before = Instant::now();
            self.client(route).repeat(route, times).await?;
            #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
            let fitting = slice.as_secs_f64() / before.elapsed().as_secs_f64() * times as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests")]
            let fitting = (fitting as u64).max(1);
            if started.elapsed() >= time {
                return Ok(fitting);
            }
            times = fitting.min(times * 4);
        }
    }
}

/// Serves all routes, even if only a few are measured. They share code, and V8's optimizations of it depend on all of
/// them.
async fn warm_up(sides: &[Side; 2], mode: RunMode) -> Result<()> {
    for route in routes::all()? {
        for side in sides {
            side.serve(&route, mode.warm_up(route.class), mode.slice()).await?;
        }
    }
    Ok(())
}

/// Fails unless both sides reply with the route's status and with bodies of the same length.
async fn compare_replies(route: &MeasuredRoute, [rust, javascript]: &[Side; 2]) -> Result<()> {
    let (rust, javascript) = (rust.client(route).send(route).await?, javascript.client(route).send(route).await?);
    ensure!(rust == javascript, "{}: the twin's reply is {javascript:?}, the Worker's is {rust:?}", route.name);
    Ok(())
}

/// The measurements of one side.
#[derive(Default)]
struct Samples {
    /// The CPU time per request of each slice, in seconds.
    cpu: Vec<f64>,
    requests: u64,
    counts: Counts,
}

async fn measure(route: &MeasuredRoute, sides: &[Side; 2], samples: &mut [Samples; 2], mode: RunMode) -> Result<()> {
    let mut fitting = 0;
    for side in sides {
        // Other routes have run since the first warm-up.
        fitting += side.serve(route, mode.warm_up(route.class) / 5, mode.slice()).await?;
        side.storage.take_counts();
    }
    // Both sides serve the same number of requests, so that a fixed cost per slice affects both equally.
    let times = fitting.div_ceil(2);
    let started = Instant::now();
    loop {
        for side in TURNS.into_iter().flatten() {
            samples[side].add_slice(route, &sides[side], times).await?;
        }
        if started.elapsed() >= mode.measuring_time(route.class) {
            return Ok(());
        }
    }
}

impl Samples {
    async fn add_slice(&mut self, route: &MeasuredRoute, side: &Side, times: u64) -> Result<()> {
        let before = side.workerd.cpu_time()?;
        side.client(route).repeat(route, times).await?;
        let cpu = side.workerd.cpu_time()?.saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
        self.cpu.push(cpu.as_secs_f64() / times as f64);
        self.requests += times;
        for (operation, count) in side.storage.take_counts() {
            *self.counts.entry(operation).or_default() += count;
        }
        Ok(())
    }

    /// Returns the number of storage operations per request.
    fn operations(&self) -> BTreeMap<StorageOperation, f64> {
        let counts = self.counts.iter().filter(|(operation, _)| **operation != StorageOperation::KvUsageWrite);
        #[expect(clippy::cast_precision_loss, reason = "a number of operations")]
        counts.map(|(operation, count)| (*operation, *count as f64 / self.requests as f64)).collect()
    }
}

/// Divides the CPU time of each of the Workers' slices by that of the twins' slice that was measured next to it,
/// because a machine that slows down affects both. The median ignores the few slices that other processes disturbed.
fn ratio([rust, javascript]: &[Samples; 2]) -> Spread {
    Spread::of(rust.cpu.iter().zip(&javascript.cpu).map(|(rust, javascript)| rust / javascript))
}

fn route_result(route: &MeasuredRoute, samples: &[Samples; 2]) -> Result<RouteResult> {
    let [rust, javascript] = samples;
    let operations = rust.operations();
    ensure!(
        operations == javascript.operations(),
        "{}: the twin performs other storage operations than the Worker",
        route.name
    );
    Ok(RouteResult {
        name: route.name,
        class: route.class,
        rust: Spread::of(rust.cpu.iter().copied()),
        javascript: Spread::of(javascript.cpu.iter().copied()),
        ratio: ratio(samples),
        operations,
        requests: rust.requests,
        usage_writes: rust.counts.get(&StorageOperation::KvUsageWrite).copied().unwrap_or_default(),
    })
}
