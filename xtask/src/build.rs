//! Builds the Workers: Cargo makes the Wasm, wasm-bindgen its glue, esbuild bundles the glue with the entry point, and
//! wasm-opt makes the Wasm smaller.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde_json::{Deserializer, Serializer};

use crate::setup::{self, Tools};
use crate::{paths, program};

/// Build the Workers.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Which; all if none is named
    workers: Vec<Package>,

    /// Build into target/workers-with-faults/, with routes that fail on purpose, for tests; not optimized
    #[arg(long)]
    faults: bool,
}

const TARGET: &str = "wasm32-unknown-unknown";

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

/// What a Worker is built for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Deployment,
    /// Tests of what a Worker that fails does to others.
    Faults,
}

impl Purpose {
    fn cargo_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Deployment => &["--profile=release"],
            // Not a profile of their own, for which all macros would be built once more.
            Self::Faults => &[
                "--profile=dev",
                "--config=profile.dev.debug=false",
                "--config=profile.dev.debug-assertions=false",
                "--config=profile.dev.overflow-checks=false",
                "--config=profile.dev.panic='abort'",
                "--features=faults",
            ],
        }
    }

    /// The folder that Cargo builds into.
    fn cargo_folder(self) -> &'static str {
        match self {
            Self::Deployment => "release",
            Self::Faults => "debug",
        }
    }

    /// Where a Worker's modules go.
    fn build_folder(self, repository: &Path, name: &str) -> PathBuf {
        match self {
            Self::Deployment => repository.join(name).join("build"),
            Self::Faults => repository.join("target/workers-with-faults").join(name),
        }
    }
}

/// Builds those Workers that have changed.
pub fn run(repository: &Path, tools: &Tools, arguments: &Arguments) -> Result<()> {
    let (purpose, all) = if arguments.faults {
        (Purpose::Faults, &[Package::Dispatcher, Package::CustomerWorker][..])
    } else {
        (Purpose::Deployment, Package::value_variants())
    };
    let workers = if arguments.workers.is_empty() { all } else { &arguments.workers };
    // A running platform and a build in another terminal use the same folders.
    let _lock = setup::locked(&repository.join("target/workers"))?;
    let path_flags = paths::flags(repository, TARGET)?;
    workers.iter().try_for_each(|worker| build(repository, tools, *worker, purpose, &path_flags))
}

/// The Workers' names.
pub fn names() -> impl Iterator<Item = &'static str> {
    Package::value_variants().iter().map(|worker| worker.name())
}

/// Builds the Workers that tests make fail.
pub fn with_faults(repository: &Path, tools: &Tools) -> Result<()> {
    run(repository, tools, &Arguments { faults: true, ..Arguments::default() })
}

fn build(repository: &Path, tools: &Tools, worker: Package, purpose: Purpose, path_flags: &str) -> Result<()> {
    let name = worker.name();
    let target = repository.join("target");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(repository).args(["build", "--quiet", "--lib", "--target", TARGET, "--package", name]);
    cargo.args(purpose.cargo_arguments()).env("CARGO_TARGET_DIR", &target);
    cargo.args(["--config", path_flags]);
    // These variables would replace the flags in the configuration.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    program::run(&mut cargo, "install Rust")?;

    // The other steps take seconds, so they are skipped if nothing has changed: neither their input nor the steps.
    let wasm = target.join(TARGET).join(purpose.cargo_folder()).join(format!("{}.wasm", name.replace('-', "_")));
    let modified = fs::metadata(&wasm).and_then(|metadata| metadata.modified());
    let modified = modified.with_context(|| format!("cargo did not build {}", wasm.display()))?;
    let entry = read(&repository.join(name).join("entry.js"))?;
    let description = match worker {
        Package::Dispatcher => Some(minified(&read(&repository.join("docs/openapi.json"))?)?),
        Package::CustomerWorker | Package::Outbound => None,
    };
    let build = purpose.build_folder(repository, name);
    let built_from = build.join(".built-from");
    let versions = &tools.versions;
    let input = format!("{modified:?} {versions}\n{entry}\n{description:?}\n{}", include_str!("build.rs"));
    if fs::read_to_string(&built_from).is_ok_and(|built| built == input) {
        return Ok(());
    }

    eprintln!("Building {name} ...");
    // A running platform watches the build folder, so it gets only finished files.
    let work = target.join("workers").join(purpose.cargo_folder()).join(name);
    let mut bindgen = Command::new(&tools.wasm_bindgen);
    bindgen.arg(&wasm).arg("--out-dir").arg(&work).args(BINDGEN_FLAGS);
    program::run(&mut bindgen, "run `cargo xtask setup`")?;
    write(&work.join("index.js"), &with_plain_import(&read(&work.join("index.js"))?)?)?;
    write(&work.join("entry.js"), &entry)?;
    let npm = |program: &str, arguments: &[&str]| -> Result<()> {
        let mut command = Command::new(tools.npm_programs.join(program));
        command.current_dir(&work).args(arguments).env("PATH", path_with(&tools.npm_programs)?);
        program::run(&mut command, "run `cargo xtask setup`")
    };
    npm("esbuild", &[&ESBUILD_FLAGS[..], &["entry.js", "--outfile=bundle.js"]].concat())?;
    let mut modules = [("index_bg.wasm", "index_bg.wasm"), ("index.js", "bundle.js")];
    if purpose == Purpose::Deployment {
        modules[0].1 = "optimized.wasm";
        let files = ["index_bg.wasm", "--output", "optimized.wasm"];
        npm("wasm-opt", &[&WASM_FEATURES[..], &WASM_OPT_FLAGS, &files].concat())?;
    }
    fs::create_dir_all(&build).with_context(|| format!("cannot create {}", build.display()))?;
    for (module, source) in modules {
        let content = fs::read(work.join(source)).with_context(|| format!("cannot read {source}"))?;
        replace(&build.join(module), &content)?;
    }
    if let Some(description) = description {
        replace(&build.join("openapi.txt"), description.as_bytes())?;
    }
    write(&built_from, &input)
}

/// The modules of every Worker's build.
pub const MODULES: [&str; 2] = ["index_bg.wasm", "index.js"];

/// A module that instantiates the Wasm itself, and again after a panic, which leaves the instance unusable.
const BINDGEN_FLAGS: [&str; 5] = [
    "--target=module",
    "--out-name=index",
    "--no-typescript",
    "--omit-default-module-path",
    "--force-enable-abort-handler",
];

/// No function names, which are a fifth of the upload: a panic reports its file and line without them.
const WASM_OPT_FLAGS: [&str; 3] = ["-O", "--strip-debug", "--strip-producers"];

/// What rustc and wasm-bindgen use of Wasm's later features.
const WASM_FEATURES: [&str; 8] = [
    "--enable-bulk-memory",
    "--enable-exception-handling",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--enable-simd",
];

/// The last two let esbuild leave out the classes of workers-rs that a Worker does not use.
const ESBUILD_FLAGS: [&str; 9] = [
    "--bundle",
    "--format=esm",
    "--log-level=warning",
    "--minify",
    "--external:cloudflare:*",
    "--external:./index_bg.wasm",
    "--external:./openapi.txt",
    "--define:Symbol.dispose=undefined",
    "--pure:FinalizationRegistry",
];

/// wasm-bindgen imports the Wasm with `import source`. On Cloudflare, a plain import of a `.wasm` file is its module.
fn with_plain_import(glue: &str) -> Result<String> {
    const SOURCE: &str = "import source ";
    ensure!(glue.matches(SOURCE).count() == 1, "wasm-bindgen's glue does not have one `{}`", SOURCE.trim());
    Ok(glue.replace(SOURCE, "import "))
}

/// A JSON text without its white space.
fn minified(json: &str) -> Result<String> {
    let mut text = Vec::new();
    let (mut from, mut to) = (Deserializer::from_str(json), Serializer::new(&mut text));
    serde_transcode::transcode(&mut from, &mut to).context("docs/openapi.json is not JSON")?;
    String::from_utf8(text).context("JSON is text")
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file in one step: whoever reads it sees the old one or the new one.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, content)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// `PATH` with the npm programs in front, as `npx` sets it.
pub fn path_with(npm_programs: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(npm_programs.to_owned()).chain(env::split_paths(&path));
    env::join_paths(folders).context("a folder in PATH has a colon in its name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glue_that_imports_the_wasm_in_another_way_is_refused() {
        let adapted = with_plain_import("import source wasm from \"./w.wasm\";\nexport {};").expect("known");
        assert_eq!(adapted, "import wasm from \"./w.wasm\";\nexport {};");
        for glue in ["", "import wasm from \"./w.wasm\";", "import source a; import source b;"] {
            assert!(with_plain_import(glue).is_err(), "{glue}");
        }
    }

    #[test]
    fn minified_json_keeps_its_order_and_its_texts() {
        let json = "{ \"b\": [1, 2.5, true],\n \"a\": {\"x  y\": null, \"q\": \"\\\"  \"} }";
        assert_eq!(minified(json).expect("JSON"), r#"{"b":[1,2.5,true],"a":{"x  y":null,"q":"\"  "}}"#);
        assert!(minified("{").is_err());
    }
}
