//! Builds the platform's customer Worker.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Builds the platform's customer Worker with the same command as wrangler.
pub fn build(repository: &Path) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(repository).args(["xtask", "build", "customer-worker"]);
    // Standard output is reserved for the tool's own results.
    let status = cargo.stdout(Stdio::from(io::stderr())).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("`cargo xtask build customer-worker` failed");
    }
    Ok(())
}
