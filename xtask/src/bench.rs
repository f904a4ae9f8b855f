//! Runs the benchmark, a program of its own that is built with optimizations.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::setup::Tools;
use crate::{build, program};

/// Compare the Workers with their JavaScript twins.
#[derive(Debug, clap::Args)]
pub struct BenchArguments {
    /// The benchmark's arguments: see `cargo xtask bench --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the Workers and the benchmark, and runs the benchmark.
pub fn run(repository: &Path, tools: &Tools, arguments: &BenchArguments) -> Result<()> {
    build::run(repository, tools, &build::BuildArguments::default())?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(repository).args(["run", "--quiet", "--profile=load", "--package=bench", "--"]);
    program::run(cargo.args(&arguments.arguments), "install Rust")
}
