//! Watches the Workers' sources.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::build::Package;

/// How long it must be quiet after a change. Editors write a file in several steps, and `git checkout` many files.
const QUIET: Duration = Duration::from_millis(50);

/// What is watched, relative to the repository, and the Workers that are built from it.
const SOURCES: [(&str, &[Package]); 9] = [
    ("dispatcher/src", &[Package::Dispatcher]),
    ("dispatcher/entry.js", &[Package::Dispatcher]),
    ("docs/openapi.json", &[Package::Dispatcher]),
    ("customer-worker/src", &[Package::CustomerWorker]),
    ("customer-worker/entry.js", &[Package::CustomerWorker]),
    ("outbound/src", &[Package::Outbound]),
    ("outbound/entry.js", &[Package::Outbound]),
    ("edge/src", &WORKERS),
    ("shared/src", &WORKERS),
];

/// All Workers.
pub const WORKERS: [Package; 3] = [Package::Dispatcher, Package::CustomerWorker, Package::Outbound];

/// Watches the sources as long as it exists.
#[derive(Debug)]
pub struct SourceWatcher {
    repository: PathBuf,
    changes: UnboundedReceiver<PathBuf>,
    _watcher: RecommendedWatcher,
}

impl SourceWatcher {
    /// Starts to watch.
    pub fn new(repository: &Path) -> Result<Self> {
        let repository = repository.canonicalize().context("cannot find the repository")?;
        let (sender, changes) = unbounded_channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
            Ok(event) => event.paths.into_iter().for_each(|path| {
                // Nobody listens any more when the platform stops.
                let _ = sender.send(path);
            }),
            Err(error) => eprintln!("cannot watch the sources: {error}"),
        })
        .context("cannot watch the sources")?;
        for (source, _) in SOURCES {
            // A file that an editor replaces is another one, so its folder is watched.
            let path = repository.join(source);
            let (folder, mode) = match path.parent() {
                Some(folder) if path.is_file() => (folder, RecursiveMode::NonRecursive),
                _ => (&*path, RecursiveMode::Recursive),
            };
            watcher.watch(folder, mode).with_context(|| format!("cannot watch {}", folder.display()))?;
        }
        Ok(Self { repository, changes, _watcher: watcher })
    }

    /// Waits for changes, and returns the Workers that are built from what has changed.
    pub async fn changed(&mut self) -> Vec<Package> {
        loop {
            let Some(first) = self.changes.recv().await else { std::future::pending().await };
            let mut paths = vec![first];
            while let Ok(Some(path)) = timeout(QUIET, self.changes.recv()).await {
                paths.push(path);
            }
            let workers = built_from(&self.repository, &paths);
            if !workers.is_empty() {
                return workers;
            }
        }
    }
}

fn built_from(repository: &Path, paths: &[PathBuf]) -> Vec<Package> {
    let uses = |worker: &Package| {
        let sources = SOURCES.iter().filter(|(_, workers)| workers.contains(worker));
        let mut sources = sources.map(|(source, _)| repository.join(source));
        sources.any(|source| paths.iter().any(|path| path.starts_with(&source)))
    };
    WORKERS.into_iter().filter(uses).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_built_from_their_own_sources_and_shared_ones() {
        let built_from = |path: &str| built_from(Path::new("/r"), &[Path::new("/r").join(path)]);
        assert_eq!(built_from("customer-worker/src/files/mod.rs"), [Package::CustomerWorker]);
        assert_eq!(built_from("docs/openapi.json"), [Package::Dispatcher]);
        assert_eq!(built_from("shared/src/lib.rs"), WORKERS);
        for other in ["docs/openapi.json.swp", "customer-worker/build/index.js", "platform/src/lib.rs", "README.md"] {
            assert_eq!(built_from(other), [], "{other}");
        }
    }
}
