//! Builds the Workers with worker-build.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::program;
use crate::setup::Tools;

/// Build the Workers.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Which; both if none is named
    workers: Vec<Worker>,
}

/// A Worker of this repository; its folder and its package have the same name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Worker {
    Dispatcher,
    CustomerWorker,
}

impl Worker {
    fn name(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::CustomerWorker => "customer-worker",
        }
    }
}

/// Builds those Workers that have changed.
pub fn run(repository: &Path, tools: &Tools, arguments: &Arguments) -> Result<()> {
    let all = Worker::value_variants();
    let workers = if arguments.workers.is_empty() { all } else { &arguments.workers };
    workers.iter().try_for_each(|worker| build(repository, tools, *worker))
}

fn build(repository: &Path, tools: &Tools, worker: Worker) -> Result<()> {
    let name = worker.name();
    let target = repository.join("target");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(repository).args([
        "build",
        "--quiet",
        "--release",
        "--lib",
        "--target",
        "wasm32-unknown-unknown",
    ]);
    cargo.args(["--package", name]).env("CARGO_TARGET_DIR", &target);
    program::run(&mut cargo, "install Rust")?;

    // What follows takes some seconds even when Cargo had nothing to do.
    let wasm = target.join(format!("wasm32-unknown-unknown/release/{}.wasm", name.replace('-', "_")));
    let modified = fs::metadata(&wasm).and_then(|metadata| metadata.modified());
    let modified = modified.with_context(|| format!("cargo did not build {}", wasm.display()))?;
    let built_from = repository.join(name).join("build/.built-from");
    let wanted = format!("{modified:?} {}", tools.versions);
    if fs::read_to_string(&built_from).is_ok_and(|built| built == wanted) {
        return Ok(());
    }

    eprintln!("Building {name} ...");
    let mut worker_build = Command::new(&tools.worker_build);
    worker_build.current_dir(repository.join(name)).arg("--release").env("CARGO_TARGET_DIR", &target);
    // Otherwise worker-build would download its own.
    worker_build.env("WASM_BINDGEN_BIN", &tools.wasm_bindgen);
    worker_build.env("WASM_OPT_BIN", tools.npm_programs.join("wasm-opt"));
    worker_build.env("ESBUILD_BIN", tools.npm_programs.join("esbuild"));
    worker_build.env("PATH", path_with(&tools.npm_programs)?);
    program::run(&mut worker_build, "run `cargo xtask setup`")?;
    fs::write(&built_from, wanted).with_context(|| format!("cannot write {}", built_from.display()))
}

/// `PATH` with the npm programs in front, as `npx` sets it.
pub fn path_with(npm_programs: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(npm_programs.to_owned()).chain(env::split_paths(&path));
    env::join_paths(folders).context("a folder in PATH has a colon in its name")
}
