//! Installs the scripts' packages in the versions that are pinned beside the scripts. Python's packages go to
//! `target/`, npm's go beside the scripts, where Node looks for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;

/// The interpreters of the scripts.
#[derive(Debug)]
pub struct Programs {
    python: PathBuf,
    node: PathBuf,
}

impl Programs {
    /// Installs the missing packages. Panics if a program is not installed.
    pub fn install() -> Self {
        // Fail before the slow installations.
        run(Command::new("openssl").arg("version"), "on Debian, install the package openssl");
        run(Command::new("curl").arg("--version"), "on Debian, install the package curl");
        run(&mut super::proxy::nginx("-v"), super::proxy::HINT);
        Self { python: install_python(), node: install_node() }
    }

    /// Returns the interpreter of a script.
    pub fn interpreter(&self, script: &str) -> &Path {
        if script.starts_with("node/") { &self.node } else { &self.python }
    }
}

fn install_python() -> PathBuf {
    let (folder, requirements) = (
        tests::repository().join("target/clients/python"),
        tests::repository().join("tests/clients/python/requirements.txt"),
    );
    install(&folder, slice::from_ref(&requirements), || {
        // --clear removes what an interrupted run left behind.
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(&folder);
        run(&mut venv, "on Debian, install the packages python3 and python3-venv");
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--no-deps", "--disable-pip-version-check", "--requirement"]);
        run(pip.arg(&requirements), "");
    });
    folder.join("bin/python")
}

fn install_node() -> PathBuf {
    let folder = tests::repository().join("tests/clients/node");
    let manifests = [folder.join("package.json"), folder.join("package-lock.json")];
    install(&folder.join("node_modules"), &manifests, || {
        let mut npm = Command::new("npm");
        npm.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        run(&mut npm, "install Node.js 20 or later, which brings npm");
    });
    tests::repository().join("node_modules/node/bin/node")
}

/// Installs the packages in some manifests into a folder, unless they are installed already.
fn install(folder: &Path, manifests: &[PathBuf], install: impl FnOnce()) {
    let read = |path: &PathBuf| fs::read_to_string(path).expect("the manifest is in the repository");
    let manifests: String = manifests.iter().map(read).collect();
    let marker = folder.join(".installed-from");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == manifests) {
        return;
    }
    install();
    fs::write(&marker, manifests).expect("the folder is writable");
}

/// Runs a program. Panics with its errors unless it succeeds.
fn run(command: &mut Command, hint: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}; {hint}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed; {hint}\n{errors}");
}
