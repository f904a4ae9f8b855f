//! Builds the Workers with worker-build.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::program;
use crate::setup::Tools;

/// Build the Workers.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Which; all if none is named
    workers: Vec<Package>,
}

/// A Worker of this repository; its folder and its package have the same name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Package {
    Dispatcher,
    CustomerWorker,
    Outbound,
}

impl Package {
    fn name(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::CustomerWorker => "customer-worker",
            Self::Outbound => "outbound",
        }
    }
}

/// Builds those Workers that have changed.
pub fn run(repository: &Path, tools: &Tools, arguments: &Arguments) -> Result<()> {
    let all = Package::value_variants();
    let workers = if arguments.workers.is_empty() { all } else { &arguments.workers };
    workers.iter().try_for_each(|worker| build(repository, tools, *worker))
}

fn build(repository: &Path, tools: &Tools, worker: Package) -> Result<()> {
    let name = worker.name();
    let target = repository.join("target");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(repository).args([
        "build",
        "--quiet",
        "--release",
        "--lib",
        "--target",
        "wasm32-unknown-unknown",
    ]);
    cargo.args(["--package", name]).env("CARGO_TARGET_DIR", &target);
    program::run(&mut cargo, "install Rust")?;

    // What follows takes some seconds even when Cargo had nothing to do.
    let wasm = target.join(format!("wasm32-unknown-unknown/release/{}.wasm", name.replace('-', "_")));
    let modified = fs::metadata(&wasm).and_then(|metadata| metadata.modified());
    let modified = modified.with_context(|| format!("cargo did not build {}", wasm.display()))?;
    let built_from = repository.join(name).join("build/.built-from");
    let wanted = format!("{modified:?} {}, stripped", tools.versions);
    if fs::read_to_string(&built_from).is_ok_and(|built| built == wanted) {
        return Ok(());
    }

    eprintln!("Building {name} ...");
    let mut worker_build = Command::new(&tools.worker_build);
    worker_build.current_dir(repository.join(name)).env("CARGO_TARGET_DIR", &target);
    // Not into build/, which a running platform watches: it gets what is finished.
    worker_build.args(["--release", "--out-dir"]).arg(Path::new("../target/worker-build").join(name));
    // Otherwise worker-build would download its own.
    worker_build.env("WASM_BINDGEN_BIN", &tools.wasm_bindgen);
    worker_build.env("WASM_OPT_BIN", tools.npm_programs.join("wasm-opt"));
    worker_build.env("ESBUILD_BIN", tools.npm_programs.join("esbuild"));
    worker_build.env("PATH", path_with(&tools.npm_programs)?);
    program::run(&mut worker_build, "run `cargo xtask setup`")?;
    let exports = match worker {
        Package::Dispatcher | Package::Outbound => &["default"][..],
        // Callers inside the platform may name the entrypoint.
        Package::CustomerWorker => &["default", "UserWorker"],
    };
    let (made, build) = (target.join("worker-build").join(name), repository.join(name).join("build"));
    let bundle = fs::read_to_string(made.join("index.js")).context("worker-build made no index.js")?;
    // worker-build keeps the functions' names, a fifth of what is uploaded: a panic says its file and line without them.
    let (named, stripped) = (made.join("index_bg.wasm"), made.join("stripped.wasm"));
    let mut wasm_opt = Command::new(tools.npm_programs.join("wasm-opt"));
    wasm_opt.args(["--strip-debug", "--strip-producers"]).arg(&named).arg("--output").arg(&stripped);
    wasm_opt.env("PATH", path_with(&tools.npm_programs)?);
    program::run(&mut wasm_opt, "run `cargo xtask setup`")?;
    let wasm = fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))?;
    fs::create_dir_all(&build).with_context(|| format!("cannot create {}", build.display()))?;
    replace(&build.join("index_bg.wasm"), &wasm)?;
    replace(&build.join("index.js"), with_exports(&bundle, exports)?.as_bytes())?;
    fs::write(&built_from, wanted).with_context(|| format!("cannot write {}", built_from.display()))
}

/// Writes a file in one step: whoever reads it sees the old one or the new one.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, content)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// A bundle of worker-build with these exports alone, all of them its entrypoint. worker-build also exports classes of
/// workers-rs, and makes what runs at start-up a method that any caller could call.
fn with_exports(bundle: &str, exports: &[&str]) -> Result<String> {
    const START: &str = ".prototype.start=";
    let (code, clause) = bundle.rsplit_once("export{").context("the bundle exports nothing")?;
    let mut names = clause.split('}').next().unwrap_or_default().split(',');
    let entrypoint = names.find_map(|name| name.strip_suffix(" as default")).context("there is no entrypoint")?;
    let clause: Vec<String> = exports.iter().map(|name| format!("{entrypoint} as {name}")).collect();

    let start = code.find(START).context("the bundle has no start-up function")?;
    let name_start = code[..start].rfind(';').map_or(0, |at| at + 1);
    let name_end = start + code[start..].find(';').context("a statement ends")? + 1;
    Ok(format!("{}{}export{{{}}};\n", &code[..name_start], &code[name_end..], clause.join(",")))
}

/// `PATH` with the npm programs in front, as `npx` sets it.
pub fn path_with(npm_programs: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(npm_programs.to_owned()).chain(env::split_paths(&path));
    env::join_paths(folders).context("a folder in PATH has a colon in its name")
}

#[cfg(test)]
mod tests {
    use super::with_exports;

    #[test]
    fn a_bundle_exports_its_entrypoint_alone() {
        let bundle =
            "var y=1;y.prototype.fetch=a;y.prototype.start=ct;y.prototype.x=b;export{z as R2Range,Ot as default};\n";
        let expected = "var y=1;y.prototype.fetch=a;y.prototype.x=b;export{Ot as default,Ot as UserWorker};\n";
        assert_eq!(with_exports(bundle, &["default", "UserWorker"]).expect("a bundle"), expected);
        for broken in ["", "export{a as b};", "y.prototype.start=a;", "export{a as default};"] {
            assert!(with_exports(broken, &["default"]).is_err(), "{broken}");
        }
    }
}
