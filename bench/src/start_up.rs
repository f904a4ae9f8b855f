//! Measures the time from the start of workerd to a Worker's first reply.

use std::path::Path;

use anyhow::Result;
use tokio::time::Instant;

use crate::load::Client;
use crate::measure::TURNS;
use crate::report::StartUp;
use crate::routes::{self, MeasuredRoute};
use crate::run_mode::RunMode;
use crate::storage::StorageServer;
use crate::workerd::{EntryPoint, Language, MeasuredWorker, Workerd};

/// Measures the dispatcher in front of the customer Worker's twin, and the customer Worker without a dispatcher.
pub async fn all(repository: &Path, mode: RunMode) -> Result<Vec<StartUp>> {
    let route = routes::all()?.remove(0);
    let storage = StorageServer::start().await?;
    let mut start_ups = Vec::new();
    for (worker, entry) in [
        (MeasuredWorker::Dispatcher, EntryPoint::Dispatcher),
        (MeasuredWorker::CustomerWorker, EntryPoint::CustomerWorker),
    ] {
        let mut fastest = [f64::INFINITY; 2];
        for start in 0..mode.starts() {
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

/// Starts workerd, and returns the time until the first reply, in seconds.
async fn first_reply(
    repository: &Path,
    language: Language,
    entry: EntryPoint,
    storage: &StorageServer,
    route: &MeasuredRoute,
) -> Result<f64> {
    let started = Instant::now();
    let workerd = Workerd::start(repository, language, &[entry], storage.address).await?;
    Client::new(workerd.addresses[&entry]).send(route).await?;
    Ok(started.elapsed().as_secs_f64())
}
