//! Runs the benchmark, a program of its own because it must be built to be fast.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::setup::Tools;
use crate::{build, program};

/// Compare the Workers with twins in plain JavaScript.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The benchmark's own: see `cargo xtask bench --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the Workers and the benchmark, and runs it.
pub fn run(repository: &Path, tools: &Tools, arguments: &Arguments) -> Result<()> {
    build::run(repository, tools, &build::Arguments::default())?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(repository).args(["run", "--quiet", "--profile=load", "--package=bench", "--"]);
    program::run(cargo.args(&arguments.arguments), "install Rust")
}
