//! Checks that the same sources build the same Workers in every folder, so that deployed Workers can be compared with a
//! build of reviewed sources.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::setup::Tools;
use crate::{build, program};

/// Builds the Workers here and in a clean copy of the repository, compares them byte for byte, and prints their
/// SHA-256.
pub fn run(repository: &Path, tools: &Tools) -> Result<()> {
    build::run(repository, tools, &build::BuildArguments::default())?;
    let folder = TempDir::new().context("cannot create a folder")?;
    let copy = folder.path().join("another checkout");
    copy_sources(repository, &copy)?;
    eprintln!("Building the Workers again in {} (takes some minutes) ...", copy.display());
    build::run(&copy, tools, &build::BuildArguments::default())?;

    println!("{}", sources(repository)?);
    let mut differing = Vec::new();
    for worker in build::names() {
        for module in build::MODULES {
            let path = format!("{worker}/build/{module}");
            let read = |root: &Path| fs::read(root.join(&path)).with_context(|| format!("cannot read {path}"));
            let (original, rebuilt) = (read(repository)?, read(&copy)?);
            println!("{}  {path}", digest(&original));
            if original != rebuilt {
                differing.push(format!("{path} (the copy has {})", digest(&rebuilt)));
            }
        }
    }
    if !differing.is_empty() {
        bail!("these modules differ in the copy: {}", differing.join(", "));
    }
    println!("Both builds are the same, byte for byte.");
    Ok(())
}

/// Copies the tracked files, and the untracked ones that are not ignored.
fn copy_sources(repository: &Path, copy: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.current_dir(repository).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let files = program::output(&mut git, "install git, https://git-scm.com")?;
    // Git also lists deleted files until the deletion is committed.
    for file in files.split_terminator('\0').filter(|file| repository.join(file).exists()) {
        let to = copy.join(file);
        fs::create_dir_all(to.parent().expect("the file is in the copy"))
            .and_then(|()| fs::copy(repository.join(file), &to))
            .with_context(|| format!("cannot copy {file}"))?;
    }
    Ok(())
}

/// Describes the sources: their commit, and whether there are uncommitted changes.
fn sources(repository: &Path) -> Result<String> {
    let mut git = Command::new("git");
    git.current_dir(repository).args(["describe", "--always", "--dirty= with changes", "--abbrev=40", "--exclude=*"]);
    Ok(format!("Sources: {}", program::output(&mut git, "install git, https://git-scm.com")?.trim()))
}

fn digest(content: &[u8]) -> String {
    use std::fmt::Write;

    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}
