//! Measures the time from the start of workerd to a Worker's first reply.

use std::path::Path;

use anyhow::Result;
use tokio::time::Instant;

use crate::load::Client;
use crate::measure::TURNS;
use crate::plan::Plan;
use crate::report::StartUp;
use crate::routes::{self, Route};
use crate::runtime::{Entry, Language, Runtime, Worker};
use crate::storage::Storage;

/// Measures the dispatcher in front of the customer Worker's twin, and the customer Worker without a dispatcher.
pub async fn all(repository: &Path, plan: Plan) -> Result<Vec<StartUp>> {
    let route = routes::all()?.remove(0);
    let storage = Storage::start().await?;
    let mut start_ups = Vec::new();
    for (worker, entry) in [(Worker::Dispatcher, Entry::Dispatcher), (Worker::CustomerWorker, Entry::CustomerWorker)] {
        let mut fastest = [f64::INFINITY; 2];
        for start in 0..plan.starts() {
            for side in TURNS[start % 2] {
                let language = [Language::Rust, Language::JavaScript][side];
                let seconds = first_reply(repository, language, entry, &storage, &route).await?;
                fastest[side] = fastest[side].min(seconds);
            }
        }
        let [rust, javascript] = fastest;
        start_ups.push(StartUp { worker, rust, javascript });
    }
    Ok(start_ups)
}

async fn first_reply(
    repository: &Path,
    language: Language,
    entry: Entry,
    storage: &Storage,
    route: &Route,
) -> Result<f64> {
    let started = Instant::now();
    let runtime = Runtime::start(repository, language, &[entry], storage.address).await?;
    Client::new(runtime.addresses[&entry]).send(route).await?;
    Ok(started.elapsed().as_secs_f64())
}
