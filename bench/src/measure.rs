//! Measures routes, both sides in turn.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use crate::compare;
use crate::load::{self, Connections};
use crate::report::{Measured, Side, Spread};
use crate::routes::{self, Route, Through};
use crate::runtime::{Language, Runtime, Workers};
use crate::storage::{Counts, Operation, Storage};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long each side runs before.
    pub warm_up: Duration,
    /// How often each side.
    pub rounds: usize,
    /// In how many slices each time: the sides take turns.
    pub slices: usize,
    /// About how long a slice is.
    pub slice: Duration,
    /// How often a Worker is started.
    pub starts: usize,
}

/// A runtime with storage of its own, and connections to it.
struct Stand {
    runtime: Runtime,
    storage: Storage,
    open: Connections,
    with_token: Connections,
}

impl Stand {
    async fn new(repository: &Path, dispatcher: Language, customers: Language) -> Result<Self> {
        let storage = Storage::start().await?;
        routes::seed(&storage);
        let workers = Workers::Platform { dispatcher, customers };
        let runtime = Runtime::start(repository, workers, storage.address).await?;
        let (open, with_token) = (Connections::to(runtime.address), Connections::to(runtime.token_address));
        Ok(Self { runtime, storage, open, with_token })
    }

    fn connections(&self, route: &Route) -> &Connections {
        match route.through {
            Through::DispatcherWithToken => &self.with_token,
            Through::Dispatcher | Through::Both => &self.open,
        }
    }
}

/// Measures all routes.
pub async fn all(repository: &Path, routes: &[Arc<Route>], plan: &Plan) -> Result<Vec<Measured>> {
    use Language::{JavaScript, Rust};
    let rust = Stand::new(repository, Rust, Rust).await?;
    let rust_dispatcher = Stand::new(repository, Rust, JavaScript).await?;
    let javascript = Stand::new(repository, JavaScript, JavaScript).await?;
    let addresses = |stand: &Stand| [stand.runtime.address, stand.runtime.token_address];
    let alike = compare::replies(addresses(&rust), addresses(&javascript)).await?;
    eprintln!("{alike} requests, answered alike by both");
    // The first request is for all of them, and the runtime is to have compiled what all of them need.
    for stand in [&rust, &rust_dispatcher, &javascript] {
        warm_up(&routes::simplest()?, stand, &Plan { warm_up: plan.warm_up * 3, ..*plan }).await?;
    }
    let mut measured = Vec::new();
    for (at, route) in routes.iter().enumerate() {
        let rust = match route.through {
            Through::Dispatcher | Through::DispatcherWithToken => &rust_dispatcher,
            Through::Both => &rust,
        };
        let one = compare(route, rust, &javascript, plan).await?;
        eprintln!("{:>2}/{} {:28} {}", at + 1, routes.len(), route.name, one.ratio);
        measured.push(one);
    }
    Ok(measured)
}

/// One side's figures, a round after another.
struct Figures {
    /// How many requests are sent in a slice.
    times: u64,
    requests: u64,
    /// CPU time in the slices of this round.
    taken: Duration,
    cpu: Vec<f64>,
    throughput: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    peak_memory: u64,
    counts: Counts,
}

async fn compare(route: &Arc<Route>, rust: &Stand, javascript: &Stand, plan: &Plan) -> Result<Measured> {
    let mut sides = Vec::new();
    for stand in [rust, javascript] {
        let times = warm_up(route, stand, plan).await?;
        stand.runtime.take_peak_memory()?;
        stand.storage.take_counts();
        sides.push((stand, Figures::new(times)));
    }
    for _ in 0..plan.rounds {
        for _ in 0..plan.slices {
            for (stand, figures) in &mut sides {
                figures.measure(route, stand).await?;
            }
        }
        for (_, figures) in &mut sides {
            figures.end_round(plan);
        }
    }
    let [(_, rust), (_, javascript)] = &sides[..] else { unreachable!("there are two sides") };
    let ratios: Vec<f64> = rust.cpu.iter().zip(&javascript.cpu).map(|(rust, javascript)| rust / javascript).collect();
    Ok(Measured {
        route: route.clone(),
        rust: rust.side(),
        javascript: javascript.side(),
        ratio: Spread::of(&ratios),
        limit: route.limit(),
    })
}

/// Lets the runtime compile what it finds worth it, and finds out how many requests fill a slice.
async fn warm_up(route: &Arc<Route>, stand: &Stand, plan: &Plan) -> Result<u64> {
    let (started, mut times) = (Instant::now(), 1);
    loop {
        let timing = load::run(route, stand.connections(route), times).await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests")]
        let fitting = (timing.throughput * plan.slice.as_secs_f64()) as u64;
        if started.elapsed() > plan.warm_up {
            return Ok(fitting.max(1));
        }
        times = (fitting * 4).clamp(1, times * 4);
    }
}

impl Figures {
    fn new(times: u64) -> Self {
        Self {
            times,
            requests: 0,
            taken: Duration::ZERO,
            cpu: Vec::new(),
            throughput: Vec::new(),
            p50: Vec::new(),
            p99: Vec::new(),
            peak_memory: 0,
            counts: Counts::new(),
        }
    }

    async fn measure(&mut self, route: &Arc<Route>, stand: &Stand) -> Result<()> {
        let before = stand.runtime.cpu_time()?;
        let timing = load::run(route, stand.connections(route), self.times).await?;
        self.taken += stand.runtime.cpu_time()?.saturating_sub(before);
        self.throughput.push(timing.throughput);
        self.p50.push(timing.p50);
        self.p99.push(timing.p99);
        self.requests += self.times;
        self.peak_memory = self.peak_memory.max(stand.runtime.take_peak_memory()?);
        for (operation, count) in stand.storage.take_counts() {
            *self.counts.entry(operation).or_default() += count;
        }
        Ok(())
    }

    fn end_round(&mut self, plan: &Plan) {
        #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
        let requests = self.times as f64 * plan.slices as f64;
        self.cpu.push(std::mem::take(&mut self.taken).as_secs_f64() / requests);
    }

    fn side(&self) -> Side {
        #[expect(clippy::cast_precision_loss, reason = "a number of operations")]
        let per_request = |count: u64| count as f64 / self.requests as f64;
        let operations = self.counts.iter().filter(|(operation, _)| **operation != Operation::KvUsageWrite);
        Side {
            cpu: Spread::of(&self.cpu),
            throughput: Spread::of(&self.throughput),
            p50: Spread::of(&self.p50),
            p99: Spread::of(&self.p99),
            peak_memory: self.peak_memory,
            requests: self.requests,
            operations: operations.map(|(operation, count)| (*operation, per_request(*count))).collect(),
            usage_writes: self.counts.get(&Operation::KvUsageWrite).copied().unwrap_or_default(),
        }
    }
}
