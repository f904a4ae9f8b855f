//! How long a Worker takes from nothing to its first reply.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use tokio::time::Instant;

use crate::load;
use crate::measure::Plan;
use crate::report::{Spread, StartUp};
use crate::routes::{self, Route};
use crate::runtime::{Language, Runtime, Worker, Workers};
use crate::storage::Storage;

/// Measures both Workers, each by itself: the dispatcher in front of the twin of the customer Worker.
pub async fn all(repository: &Path, plan: &Plan) -> Result<Vec<StartUp>> {
    let mut start_ups = Vec::new();
    for worker in [Worker::Dispatcher, Worker::CustomerWorker] {
        start_ups.push(compare(repository, worker, plan).await?);
    }
    Ok(start_ups)
}

async fn compare(repository: &Path, worker: Worker, plan: &Plan) -> Result<StartUp> {
    let storage = Storage::start().await?;
    let route = routes::simplest()?;
    let mut pair = [Vec::new(), Vec::new()];
    for start in 0..plan.starts {
        // Neither is always the one that comes after the other.
        let order = if start % 2 == 0 { [0, 1] } else { [1, 0] };
        for side in order {
            let language = [Language::Rust, Language::JavaScript][side];
            let workers = match worker {
                Worker::Dispatcher => Workers::Dispatcher(language),
                Worker::CustomerWorker => Workers::Customer(language),
            };
            pair[side].push(first_reply(repository, workers, &storage, &route).await?);
        }
    }
    let [rust, javascript] = pair;
    let more: Vec<f64> = rust.iter().zip(&javascript).map(|(rust, javascript)| rust - javascript).collect();
    let start_up = StartUp {
        worker: worker.name(),
        rust: Spread::of(&rust),
        javascript: Spread::of(&javascript),
        more: Spread::of(&more),
    };
    eprintln!(
        "start of {:15} {:.1} ms, {:.1} ms: {:+.1} ms",
        start_up.worker,
        start_up.rust.median * 1e3,
        start_up.javascript.median * 1e3,
        start_up.more.median * 1e3
    );
    Ok(start_up)
}

async fn first_reply(repository: &Path, workers: Workers, storage: &Storage, route: &Arc<Route>) -> Result<f64> {
    let started = Instant::now();
    let runtime = Runtime::start(repository, workers, storage.address).await?;
    let reply = load::once(route, runtime.address).await?;
    anyhow::ensure!(reply.status() == route.status, "the first reply is {}", reply.status());
    Ok(started.elapsed().as_secs_f64())
}
