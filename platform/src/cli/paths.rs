//! Paths on this machine.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The root of the repository that Cargo runs the tool from.
pub fn repository() -> Result<PathBuf> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").context("run this with `cargo platform`")?;
    let root = Path::new(&manifest).parent().context("platform/ has a parent folder")?;
    root.canonicalize().with_context(|| format!("cannot find the repository {}", root.display()))
}

/// The default state folder of the local platform.
pub fn default_state() -> PathBuf {
    repository().unwrap_or_default().join(".platform")
}
