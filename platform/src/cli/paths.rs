//! Where things are on this machine.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The checkout that Cargo runs this for.
pub fn repository() -> Result<PathBuf> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").context("run this with `cargo platform`")?;
    let root = Path::new(&manifest).parent().context("platform/ has a parent folder")?;
    root.canonicalize().with_context(|| format!("there is no repository at {}", root.display()))
}

/// The local platform's state folder.
pub fn default_state() -> PathBuf {
    repository().unwrap_or_default().join(".platform")
}
