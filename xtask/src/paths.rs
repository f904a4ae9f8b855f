//! Keeps the paths of this machine out of what rustc builds.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::program;

/// A Cargo setting that keeps this machine's paths out of the Wasm. A panic reports its source file, and the same commit
/// must give the same Wasm wherever it is built.
pub fn flags(repository: &Path, target: &str) -> Result<String> {
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let cargo = cargo.context("there is no home folder: set HOME")?;
    let mut names = vec![(cargo, "/cargo".to_owned()), (repository.to_owned(), "/workspace".to_owned())];
    names.extend(standard_library(repository)?);
    let flag = |(path, name): (PathBuf, String)| {
        let path = path.to_str().with_context(|| format!("{} is not text", path.display()))?;
        Ok(toml::Value::String(format!("--remap-path-prefix={path}={name}")))
    };
    let flags = toml::Value::Array(names.into_iter().map(flag).collect::<Result<_>>()?);
    Ok(format!("target.{target}.rustflags={flags}"))
}

/// Where the source of the standard library is installed, and what rustc calls it if it is not. (Editors install it.)
fn standard_library(repository: &Path) -> Result<Option<(PathBuf, String)>> {
    let rustc = |arguments: &[&str]| {
        program::output(Command::new("rustc").current_dir(repository).args(arguments), "install Rust")
    };
    let source = Path::new(rustc(&["--print", "sysroot"])?.trim()).join("lib/rustlib/src/rust");
    if !source.exists() {
        return Ok(None);
    }
    let version = rustc(&["--version", "--verbose"])?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    Ok(Some((source, format!("/rustc/{}", commit.context("rustc does not say its commit")?))))
}
