//! What the scripts need, of the versions that are pinned beside them: packages of Python's under `target/`, and of npm's
//! beside the scripts, because that is where Node looks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;

use super::root;

/// What runs the scripts.
#[derive(Debug)]
pub struct Programs {
    python: PathBuf,
    node: PathBuf,
}

impl Programs {
    /// Installs what is not there yet.
    pub fn install() -> Self {
        // Better said now than after all that takes long.
        run(Command::new("openssl").arg("version"), "Debian has it in its package openssl");
        run(Command::new("curl").arg("--version"), "Debian has it in its package curl");
        run(&mut super::proxy::nginx("-v"), super::proxy::HINT);
        Self { python: install_python(), node: install_node() }
    }

    /// What runs a script.
    pub fn interpreter(&self, script: &str) -> &Path {
        if script.starts_with("node/") { &self.node } else { &self.python }
    }
}

fn install_python() -> PathBuf {
    let (folder, requirements) =
        (root().join("target/clients/python"), root().join("tests/clients/python/requirements.txt"));
    install(&folder, slice::from_ref(&requirements), || {
        // --clear: an earlier run may have broken off.
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(&folder);
        run(&mut venv, "Debian has what it takes in its packages python3 and python3-venv");
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--no-deps", "--disable-pip-version-check", "--requirement"]);
        run(pip.arg(&requirements), "");
    });
    folder.join("bin/python")
}

fn install_node() -> PathBuf {
    let folder = root().join("tests/clients/node");
    let wanted = [folder.join("package.json"), folder.join("package-lock.json")];
    install(&folder.join("node_modules"), &wanted, || {
        let mut npm = Command::new("npm");
        npm.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        run(&mut npm, "it comes with Node.js 20 or later");
    });
    root().join("node_modules/node/bin/node")
}

/// Installs into a folder what some files ask for, unless it has just that.
fn install(folder: &Path, wanted: &[PathBuf], install: impl FnOnce()) {
    let read = |path: &PathBuf| fs::read_to_string(path).expect("it is in the repository");
    let wanted: String = wanted.iter().map(read).collect();
    let marker = folder.join(".installed-from");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return;
    }
    install();
    fs::write(&marker, wanted).expect("it can be written to");
}

/// Runs a program, which must succeed.
fn run(command: &mut Command, hint: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}; {hint}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed; {hint}\n{said}");
}
