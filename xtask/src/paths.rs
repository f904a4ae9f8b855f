//! Keeps this machine's paths out of the builds.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::program;

/// Returns a Cargo setting that keeps this machine's paths out of the Wasm. A panic message contains the path of its
/// source file, and the same commit must build the same Wasm on every machine.
pub fn flags(repository: &Path, target: &str) -> Result<String> {
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let cargo = cargo.context("cannot find the home folder: set HOME")?;
    let mut names = vec![(cargo, "/cargo".to_owned()), (repository.to_owned(), "/workspace".to_owned())];
    names.extend(standard_library(repository)?);
    let flag = |(path, name): (PathBuf, String)| {
        let path = path.to_str().with_context(|| format!("the path {} is not UTF-8", path.display()))?;
        Ok(toml::Value::String(format!("--remap-path-prefix={path}={name}")))
    };
    let flags = toml::Value::Array(names.into_iter().map(flag).collect::<Result<_>>()?);
    Ok(format!("target.{target}.rustflags={flags}"))
}

/// Returns the folder of the standard library's source if it is installed, for example by an editor, and the path that
/// rustc uses if it is not.
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
    Ok(Some((source, format!("/rustc/{}", commit.context("`rustc --version --verbose` prints no commit hash")?))))
}
