//! Measures the CPU time of routes, Workers and twins in turn.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;

use crate::load::Client;
use crate::plan::Plan;
use crate::report::{Measured, Spread};
use crate::routes::{self, Route};
use crate::runtime::{Entry, Language, Runtime};
use crate::storage::{Counts, Operation, Storage};

/// The order in which the sides take turns: neither always comes after the other.
pub const TURNS: [[usize; 2]; 2] = [[0, 1], [1, 0]];

/// Measures routes.
pub async fn all(repository: &Path, routes: &[Route], plan: Plan) -> Result<Vec<Measured>> {
    let mut samples: Vec<[Samples; 2]> = routes.iter().map(|_| Default::default()).collect();
    for run in 0..plan.runs() {
        let sides = start_sides(repository, run).await?;
        for route in routes {
            compare_replies(route, &sides).await?;
        }
        if matches!(plan, Plan::Full) {
            warm_up(&sides, plan).await?;
        }
        for (route, samples) in routes.iter().zip(&mut samples) {
            measure(route, &sides, samples, plan).await?;
            eprintln!("run {} of {}: {:25} {}", run + 1, plan.runs(), route.name, ratio(samples));
        }
    }
    routes.iter().zip(&samples).map(|(route, samples)| measured(route, samples)).collect()
}

/// The Workers or their twins, in a runtime with storage of its own.
struct Side {
    runtime: Runtime,
    storage: Storage,
    clients: BTreeMap<Entry, Client>,
}

/// Starts the Workers and the twins. Of two processes that run the same code, the one that was started last is faster by
/// some hundredths, so each side is the last one in every other run.
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
        let storage = Storage::start().await?;
        routes::seed(&storage);
        let entries = [Entry::Platform, Entry::Dispatcher, Entry::DispatcherWithToken];
        let runtime = Runtime::start(repository, language, &entries, storage.address).await?;
        let clients = entries.into_iter().map(|entry| (entry, Client::new(runtime.addresses[&entry]))).collect();
        Ok(Self { runtime, storage, clients })
    }

    fn client(&self, route: &Route) -> &Client {
        &self.clients[&route.entry]
    }

    /// Serves a route for some time. Returns how many requests fill a slice.
    async fn serve(&self, route: &Route, time: Duration, slice: Duration) -> Result<u64> {
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

/// Serves all routes, even if few are measured: how V8 compiles what they share depends on all of them.
async fn warm_up(sides: &[Side; 2], plan: Plan) -> Result<()> {
    for route in routes::all()? {
        for side in sides {
            side.serve(&route, plan.warm_up(route.class), plan.slice()).await?;
        }
    }
    Ok(())
}

/// Both sides must answer with the route's status and with bodies of the same length.
async fn compare_replies(route: &Route, [rust, javascript]: &[Side; 2]) -> Result<()> {
    let (rust, javascript) = (rust.client(route).send(route).await?, javascript.client(route).send(route).await?);
    ensure!(rust == javascript, "{}: the twin replies {javascript:?}, the Worker {rust:?}", route.name);
    Ok(())
}

/// What was measured of one side.
#[derive(Default)]
struct Samples {
    /// The CPU time a request in seconds, for each slice.
    cpu: Vec<f64>,
    requests: u64,
    counts: Counts,
}

async fn measure(route: &Route, sides: &[Side; 2], samples: &mut [Samples; 2], plan: Plan) -> Result<()> {
    let mut fitting = 0;
    for side in sides {
        // Other routes have run since the first warm-up.
        fitting += side.serve(route, plan.warm_up(route.class) / 5, plan.slice()).await?;
        side.storage.take_counts();
    }
    // The same number for both sides, as what happens once a slice would otherwise cost one of them more.
    let times = fitting.div_ceil(2);
    let started = Instant::now();
    loop {
        for side in TURNS.into_iter().flatten() {
            samples[side].add_slice(route, &sides[side], times).await?;
        }
        if started.elapsed() >= plan.measuring_time(route.class) {
            return Ok(());
        }
    }
}

impl Samples {
    async fn add_slice(&mut self, route: &Route, side: &Side, times: u64) -> Result<()> {
        let before = side.runtime.cpu_time()?;
        side.client(route).repeat(route, times).await?;
        let cpu = side.runtime.cpu_time()?.saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
        self.cpu.push(cpu.as_secs_f64() / times as f64);
        self.requests += times;
        for (operation, count) in side.storage.take_counts() {
            *self.counts.entry(operation).or_default() += count;
        }
        Ok(())
    }

    /// Storage operations a request.
    fn operations(&self) -> BTreeMap<Operation, f64> {
        let counts = self.counts.iter().filter(|(operation, _)| **operation != Operation::KvUsageWrite);
        #[expect(clippy::cast_precision_loss, reason = "a number of operations")]
        counts.map(|(operation, count)| (*operation, *count as f64 / self.requests as f64)).collect()
    }
}

/// Compares each slice with the other side's slice next to it: a machine that slows down slows both. The median ignores
/// the few slices that something else disturbed.
fn ratio([rust, javascript]: &[Samples; 2]) -> Spread {
    Spread::of(rust.cpu.iter().zip(&javascript.cpu).map(|(rust, javascript)| rust / javascript))
}

fn measured(route: &Route, samples: &[Samples; 2]) -> Result<Measured> {
    let [rust, javascript] = samples;
    let operations = rust.operations();
    ensure!(operations == javascript.operations(), "{}: the twin has other storage operations", route.name);
    Ok(Measured {
        name: route.name,
        class: route.class,
        rust: Spread::of(rust.cpu.iter().copied()),
        javascript: Spread::of(javascript.cpu.iter().copied()),
        ratio: ratio(samples),
        operations,
        requests: rust.requests,
        usage_writes: rust.counts.get(&Operation::KvUsageWrite).copied().unwrap_or_default(),
    })
}
