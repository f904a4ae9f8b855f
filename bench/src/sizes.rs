//! How large the Workers are.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use crate::runtime::{Language, Worker};

/// A Worker's size, compressed as uploads are measured, in bytes: each of its modules.
#[derive(Debug, Serialize)]
pub struct Size {
    /// The Worker.
    pub worker: &'static str,
    /// Its JavaScript: the glue that wasm-bindgen makes.
    pub glue: usize,
    /// Its Wasm.
    pub wasm: usize,
    /// The description of the HTTP API that the dispatcher has beside them, a text that only its own route reads.
    pub text: usize,
    /// Its twin.
    pub javascript: usize,
}

/// The sizes of both Workers.
pub fn all(repository: &Path) -> Result<Vec<Size>> {
    [Worker::Dispatcher, Worker::CustomerWorker].into_iter().map(|worker| size(repository, worker)).collect()
}

fn size(repository: &Path, worker: Worker) -> Result<Size> {
    let compressed = |language| -> Result<Vec<usize>> {
        worker.modules(language).iter().map(|(_, path)| compressed_size(&repository.join(path))).collect()
    };
    let (rust, javascript) = (compressed(Language::Rust)?, compressed(Language::JavaScript)?);
    Ok(Size {
        worker: worker.name(),
        glue: rust[0],
        wasm: rust[1],
        text: rust[2..].iter().sum(),
        javascript: javascript[0],
    })
}

fn compressed_size(path: &Path) -> Result<usize> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&content).and_then(|()| encoder.finish()).map(|compressed| compressed.len()).context("gzip")
}
