//! Checks that the same sources make the same Workers, wherever they are built: so that what is deployed can be compared with
//! what was read.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::setup::Tools;
use crate::{build, program};

/// Builds the Workers here, and from nothing in another folder, compares them byte for byte, and prints what they are.
pub fn run(repository: &Path, tools: &Tools) -> Result<()> {
    build::run(repository, tools, &build::Arguments::default())?;
    let elsewhere = TempDir::new().context("cannot make a folder")?;
    let copy = elsewhere.path().join("another checkout");
    copy_sources(repository, &copy)?;
    eprintln!("Building the Workers from nothing in {} (takes some minutes) ...", copy.display());
    build::run(&copy, tools, &build::Arguments::default())?;

    println!("{}", sources(repository)?);
    let mut differing = Vec::new();
    for worker in build::names() {
        for module in build::MODULES {
            let path = format!("{worker}/build/{module}");
            let read = |root: &Path| fs::read(root.join(&path)).with_context(|| format!("{path} was not built"));
            let (here, there) = (read(repository)?, read(&copy)?);
            println!("{}  {path}", digest(&here));
            if here != there {
                differing.push(format!("{path} ({} there)", digest(&there)));
            }
        }
    }
    if !differing.is_empty() {
        bail!("built elsewhere, these differ: {}", differing.join(", "));
    }
    println!("The same, byte for byte, from two folders.");
    Ok(())
}

/// Copies what is in the repository, or would be with the next commit.
fn copy_sources(repository: &Path, copy: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.current_dir(repository).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let files = program::output(&mut git, "install git, https://git-scm.com")?;
    // Those that were deleted and not committed yet are listed, too.
    for file in files.split_terminator('\0').filter(|file| repository.join(file).exists()) {
        let to = copy.join(file);
        fs::create_dir_all(to.parent().expect("it is in the copy"))
            .and_then(|()| fs::copy(repository.join(file), &to))
            .with_context(|| format!("cannot copy {file}"))?;
    }
    Ok(())
}

/// Which sources they are made of.
fn sources(repository: &Path) -> Result<String> {
    let mut git = Command::new("git");
    git.current_dir(repository).args(["describe", "--always", "--dirty= with changes", "--abbrev=40", "--exclude=*"]);
    Ok(format!("Sources: {}", program::output(&mut git, "install git, https://git-scm.com")?.trim()))
}

fn digest(content: &[u8]) -> String {
    use std::fmt::Write;

    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
