//! Measures the sizes of the Workers.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::workerd::{Language, MeasuredWorker};

/// A Worker's size in bytes after compression with gzip, which is what Cloudflare limits.
#[derive(Debug)]
pub struct Size {
    /// The Worker.
    pub worker: MeasuredWorker,
    /// The size of the JavaScript.
    pub javascript: usize,
    /// The size of the Wasm.
    pub wasm: usize,
    /// The size of the text modules: the dispatcher has the description of the HTTP API.
    pub text: usize,
}

impl Size {
    /// The size of the code.
    #[must_use]
    pub fn code(&self) -> usize {
        self.javascript + self.wasm
    }

    /// The maximum size of the code.
    #[must_use]
    pub fn limit(&self) -> usize {
        match self.worker {
            MeasuredWorker::Dispatcher => 80_000,
            MeasuredWorker::CustomerWorker => 170_000,
        }
    }
}

/// Measures both Workers.
pub fn all(repository: &Path) -> Result<Vec<Size>> {
    let size = |worker: MeasuredWorker| {
        let modules = worker.modules(Language::Rust).into_iter();
        let sizes = modules.map(|(_, path)| compressed_size(&repository.join(path))).collect::<Result<Vec<_>>>()?;
        Ok(Size { worker, javascript: sizes[0], wasm: sizes[1], text: sizes[2..].iter().sum() })
    };
    [MeasuredWorker::Dispatcher, MeasuredWorker::CustomerWorker].into_iter().map(size).collect()
}

fn compressed_size(path: &Path) -> Result<usize> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&content).and_then(|()| encoder.finish()).map(|compressed| compressed.len()).context("gzip")
}
