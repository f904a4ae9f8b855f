//! Installs the tools that are missing on a machine with Rust and Node.js: the Wasm target, the npm packages, the
//! wasm-bindgen program, and schemathesis for the tests. If everything is installed, this takes well under a second.

use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use toml::Table;

use crate::program;

const WASM_TARGET: &str = "wasm32-unknown-unknown";
const RUST_HINT: &str = "install Rust with rustup, https://rustup.rs";
const PYTHON_HINT: &str = "install Python 3.10 or later with venv, on Debian the packages python3 and python3-venv";
const NODE_HINT: &str = "install Node.js 20 or later, which brings npm, https://nodejs.org";

/// The installed tools.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The program that generates the JavaScript glue of the Wasm.
    pub wasm_bindgen: PathBuf,
    /// The folder of npm's programs: node, wrangler, esbuild, wasm-opt.
    pub npm_programs: PathBuf,
    /// The versions of these tools. A build depends on them and on the sources only.
    pub versions: String,
}

/// Installs the missing tools, and prints a line for each.
pub fn setup(repository: &Path) -> Result<Tools> {
    add_wasm_target(repository)?;
    install_npm_packages(repository)?;

    // The program must have the same version as the crate, which the workspace's manifest pins.
    let manifest = fs::read_to_string(repository.join("Cargo.toml")).context("cannot read Cargo.toml")?;
    let manifest: Table = manifest.parse().context("Cargo.toml is not valid TOML")?;
    let version = pinned(&manifest, "wasm-bindgen")?;
    Ok(Tools {
        wasm_bindgen: install_tool(&cache()?, "wasm-bindgen-cli", "wasm-bindgen", &version, "release", 3)?,
        npm_programs: repository.join("node_modules/.bin"),
        versions: format!("wasm-bindgen {version}\n{}", npm_packages(repository)?),
    })
}

/// The version of cargo-deny that the audit uses.
const CARGO_DENY: &str = "0.20.2";

/// Installs cargo-deny, which only the audit needs.
pub fn cargo_deny() -> Result<PathBuf> {
    // It runs for two seconds, so an optimized build would cost more time than it saves.
    install_tool(&cache()?, "cargo-deny", "cargo-deny", CARGO_DENY, "dev", 4)
}

fn add_wasm_target(repository: &Path) -> Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(repository).args(["--print", "target-libdir", "--target", WASM_TARGET]);
    if Path::new(program::output(&mut rustc, RUST_HINT)?.trim()).exists() {
        return Ok(());
    }
    step(&format!("Adding the Rust target {WASM_TARGET}"), "some seconds", || {
        let mut rustup = Command::new("rustup");
        rustup.current_dir(repository).args(["target", "add", WASM_TARGET]);
        program::run(
            &mut rustup,
            &format!("install rustup, https://rustup.rs, or Rust's standard library for {WASM_TARGET}"),
        )
    })
}

fn install_npm_packages(repository: &Path) -> Result<()> {
    let installed = repository.join("node_modules/.installed-from");
    let required = npm_packages(repository)?;
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == required) {
        return Ok(());
    }
    step("Installing the npm packages (wrangler, node, wasm-opt)", "half a minute", || {
        // npm may run on an older Node.js than wrangler does. Its warnings about this are hidden.
        let mut npm = Command::new("npm");
        npm.current_dir(repository).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        program::run(&mut npm, NODE_HINT)?;
        let node = repository.join("node_modules/node/bin/node");
        if !node.exists() {
            bail!(
                "npm did not run the install script of its package `node`: set `ignore-scripts` to false and try again"
            );
        }
        fs::write(&installed, &required).with_context(|| format!("cannot write {}", installed.display()))
    })
}

/// Returns the manifest and the lock file of the npm packages.
fn npm_packages(repository: &Path) -> Result<String> {
    let read = |name| fs::read_to_string(repository.join(name)).with_context(|| format!("cannot read {name}"));
    Ok(read("package.json")? + &read("package-lock.json")?)
}

fn install_tool(
    cache: &Path,
    package: &str,
    program: &str,
    version: &str,
    profile: &str,
    minutes: u32,
) -> Result<PathBuf> {
    let root = cache.join(format!("{package}-{version}"));
    let path = root.join("bin").join(program);
    if path.exists() {
        return Ok(path);
    }
    let _lock = locked(cache)?;
    if path.exists() {
        return Ok(path);
    }
    let building = cache.join("building");
    step(&format!("Building {package} {version}, once on this machine"), &format!("{minutes} minutes"), || {
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--locked", "--quiet", "--profile", profile, "--version", version, package]);
        cargo.arg("--root").arg(&root);
        cargo.env("CARGO_TARGET_DIR", &building);
        program::run(&mut cargo, RUST_HINT)
    })?;
    fs::remove_dir_all(&building).with_context(|| format!("cannot remove {}", building.display()))?;
    Ok(path)
}

/// Installs schemathesis, the Python program that tests the HTTP API against its description, and returns the folder of
/// its programs.
pub fn install_api_testers(repository: &Path) -> Result<PathBuf> {
    let requirements = repository.join("tests/schemathesis/requirements.txt");
    let pinned = fs::read(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let mut hasher = DefaultHasher::new();
    pinned.hash(&mut hasher);
    // One folder for each set of versions: checkouts of different commits share the cache.
    let cache = cache()?;
    let root = cache.join(format!("schemathesis-{:016x}", hasher.finish()));
    let installed = root.join(".installed");
    if installed.exists() {
        return Ok(root.join("bin"));
    }
    let _lock = locked(&cache)?;
    if installed.exists() {
        return Ok(root.join("bin"));
    }
    step("Installing schemathesis, once on this machine", "half a minute", || {
        // --clear removes what an interrupted run left behind.
        let mut venv = Command::new("python3");
        let created = program::run(venv.args(["-m", "venv", "--clear"]).arg(&root), "schemathesis needs it");
        // Debian's python3 has no venv without python3-venv.
        created.context(PYTHON_HINT)?;
        let mut pip = Command::new(root.join("bin/pip"));
        pip.args(["install", "--quiet", "--no-deps", "--disable-pip-version-check", "--requirement"]);
        program::run(pip.arg(&requirements), "the virtual environment has no pip")?;
        fs::write(&installed, "").with_context(|| format!("cannot write {}", installed.display()))
    })?;
    Ok(root.join("bin"))
}

/// Locks a folder until the file is dropped. Another process that locks it waits.
pub fn locked(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock = File::create(folder.join("lock")).with_context(|| format!("cannot lock {}", folder.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", folder.display()))?;
    Ok(lock)
}

/// Returns this project's folder in the user's cache.
fn cache() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    Ok(base.context("cannot find the home folder: set HOME")?.join("workers-platform"))
}

/// Returns the version that the workspace's manifest pins a dependency to.
fn pinned(manifest: &Table, dependency: &str) -> Result<String> {
    let dependency_of = |table: &Table| Some(table.get("workspace")?.get("dependencies")?.get(dependency)?.clone());
    let version = dependency_of(manifest).and_then(|value| Some(value.as_str()?.strip_prefix('=')?.to_owned()));
    version.with_context(|| format!("Cargo.toml does not pin {dependency} as \"=X.Y.Z\""))
}

/// Runs a slow step, and prints how long it took.
fn step(what: &str, usually: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("setup: {what} (takes about {usually}) ...");
    let started = Instant::now();
    act().with_context(|| format!("{what} failed"))?;
    eprintln!("setup: done in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}
