//! Measures routes, both sides in turn.

use std::net::SocketAddr;
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
    /// For how long a runtime serves each route before anything is measured.
    pub warm_up: Duration,
    /// How often each side, on most routes.
    pub rounds: usize,
    /// Over how many runs of the runtimes the rounds are spread.
    pub runs: usize,
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

    /// With all routes, whichever are measured: what they have in common has been compiled for good when the first is, and knows of
    /// more than one kind of request.
    async fn warm(&self, plan: &Plan) -> Result<()> {
        for route in routes::all()? {
            warm_up(&route, self, plan.warm_up, plan.slice).await?;
        }
        Ok(())
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [self.runtime.address, self.runtime.token_address]
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
    let mut pairs: Vec<_> = routes.iter().map(|_| [Figures::new(), Figures::new()]).collect();
    for run in 0..plan.runs {
        let rounds = plan.rounds / plan.runs + usize::from(run < plan.rounds % plan.runs);
        let stands = Stands::new(repository, run).await?;
        // Before anything else, which would be in the figures of use.
        if run == 0 {
            let alike = compare::replies(stands.rust.addresses(), stands.javascript.addresses()).await?;
            eprintln!("{alike} requests, answered alike by both");
        }
        stands.warm(plan).await?;
        for (at, (route, pair)) in routes.iter().zip(&mut pairs).enumerate() {
            compare(route, stands.of(route), pair, rounds * route.rounds(), plan).await?;
            eprintln!(
                "{:>2}/{} {:28} {}",
                run * routes.len() + at + 1,
                plan.runs * routes.len(),
                route.name,
                ratio(pair)
            );
        }
    }
    Ok(routes.iter().zip(&pairs).map(|(route, pair)| measured(route, pair)).collect())
}

/// All that is measured. No two processes are equally fast, though they run the same: where their memory lies differs, and
/// what the engine made of their code. So there is more than one of each, one after another.
struct Stands {
    rust: Stand,
    rust_dispatcher: Stand,
    javascript: Stand,
}

impl Stands {
    async fn new(repository: &Path, run: usize) -> Result<Self> {
        use Language::{JavaScript, Rust};
        let stand = |dispatcher, customers| Stand::new(repository, dispatcher, customers);
        // Of processes that run the same, the one that was started last is faster by some hundredths: the sides take turns.
        if run.is_multiple_of(2) {
            let (rust, rust_dispatcher) = (stand(Rust, Rust).await?, stand(Rust, JavaScript).await?);
            Ok(Self { rust, rust_dispatcher, javascript: stand(JavaScript, JavaScript).await? })
        } else {
            let javascript = stand(JavaScript, JavaScript).await?;
            Ok(Self { javascript, rust_dispatcher: stand(Rust, JavaScript).await?, rust: stand(Rust, Rust).await? })
        }
    }

    async fn warm(&self, plan: &Plan) -> Result<()> {
        for stand in [&self.rust, &self.rust_dispatcher, &self.javascript] {
            stand.warm(plan).await?;
        }
        Ok(())
    }

    /// What is compared on a route: Rust, JavaScript.
    fn of(&self, route: &Route) -> [&Stand; 2] {
        let rust = match route.through {
            Through::Dispatcher | Through::DispatcherWithToken => &self.rust_dispatcher,
            Through::Both => &self.rust,
        };
        [rust, &self.javascript]
    }
}

/// One side's figures, a slice after another.
struct Figures {
    requests: u64,
    /// CPU time a request, of each slice.
    cpu: Vec<f64>,
    throughput: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    peak_memory: u64,
    counts: Counts,
}

/// Measures both sides of a route for some rounds.
async fn compare(
    route: &Arc<Route>,
    stands: [&Stand; 2],
    pair: &mut [Figures; 2],
    rounds: usize,
    plan: &Plan,
) -> Result<()> {
    let mut fitting = Vec::new();
    for stand in stands {
        // Others have run since it was warm.
        fitting.push(warm_up(route, stand, plan.warm_up / 4, plan.slice).await?);
        stand.runtime.take_peak_memory()?;
        stand.storage.take_counts();
    }
    // The same for both: in a small slice, what comes once in a slice counts for more.
    let times = fitting.iter().sum::<u64>().div_ceil(2);
    for _ in 0..rounds {
        for slice in 0..plan.slices {
            // Neither is always the one that comes after the other.
            let order = if slice % 2 == 0 { [0, 1] } else { [1, 0] };
            for side in order {
                pair[side].measure(route, stands[side], times).await?;
            }
        }
    }
    Ok(())
}

/// Of each slice and the other side's next to it: what slows the machine down for longer slows both, and what is shorter is in
/// few of them.
fn ratio([rust, javascript]: &[Figures; 2]) -> Spread {
    let ratios: Vec<f64> = rust.cpu.iter().zip(&javascript.cpu).map(|(rust, javascript)| rust / javascript).collect();
    Spread::of(&ratios)
}

fn measured(route: &Arc<Route>, pair: &[Figures; 2]) -> Measured {
    let [rust, javascript] = pair;
    Measured {
        route: route.clone(),
        rust: rust.side(),
        javascript: javascript.side(),
        ratio: ratio(pair),
        limit: route.limit(),
    }
}

/// Lets the runtime compile what it finds worth it, for so long, and finds out how many requests fill a slice.
async fn warm_up(route: &Arc<Route>, stand: &Stand, long: Duration, slice: Duration) -> Result<u64> {
    let (started, mut times) = (Instant::now(), 1);
    loop {
        let timing = load::run(route, stand.connections(route), times).await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests")]
        let fitting = (timing.throughput * slice.as_secs_f64()) as u64;
        if started.elapsed() > long {
            return Ok(fitting.max(1));
        }
        times = (fitting * 4).clamp(1, times * 4);
    }
}

impl Figures {
    fn new() -> Self {
        Self {
            requests: 0,
            cpu: Vec::new(),
            throughput: Vec::new(),
            p50: Vec::new(),
            p99: Vec::new(),
            peak_memory: 0,
            counts: Counts::new(),
        }
    }

    async fn measure(&mut self, route: &Arc<Route>, stand: &Stand, times: u64) -> Result<()> {
        let before = stand.runtime.cpu_time()?;
        let timing = load::run(route, stand.connections(route), times).await?;
        let taken = stand.runtime.cpu_time()?.saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
        self.cpu.push(taken.as_secs_f64() / times as f64);
        self.throughput.push(timing.throughput);
        self.p50.push(timing.p50);
        self.p99.push(timing.p99);
        self.requests += times;
        self.peak_memory = self.peak_memory.max(stand.runtime.take_peak_memory()?);
        for (operation, count) in stand.storage.take_counts() {
            *self.counts.entry(operation).or_default() += count;
        }
        Ok(())
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
