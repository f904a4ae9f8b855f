//! Builds the Workers: Cargo builds the Wasm, wasm-bindgen generates its glue, esbuild bundles the glue with the entry
//! point, and wasm-opt shrinks the Wasm.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde_json::{Deserializer, Serializer};

use crate::setup::{self, Tools};
use crate::{paths, program};

/// Build the Workers.
#[derive(Debug, Default, clap::Args)]
pub struct BuildArguments {
    /// The Workers to build [default: all]
    workers: Vec<Package>,

    /// Build into target/workers-with-faults/, without optimization, with routes that fail on purpose, for tests
    #[arg(long)]
    faults: bool,
}

const TARGET: &str = "wasm32-unknown-unknown";

/// A Worker of this repository. Its folder has the name of its package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Package {
    Dispatcher,
    CustomerWorker,
    Outbound,
}

impl Package {
    /// Its name, which is also its folder's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::CustomerWorker => "customer-worker",
            Self::Outbound => "outbound",
        }
    }
}

/// The purpose of a build.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Deployment,
    /// The local platform: it takes little time to build.
    Development,
    /// Tests of Workers that fail.
    Faults,
}

impl Purpose {
    fn cargo_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Deployment => &["--profile=release"],
            Self::Development => &QUICK,
            Self::Faults => &QUICK_WITH_FAULTS,
        }
    }

    /// Returns the name of the folder that Cargo builds into.
    fn cargo_folder(self) -> &'static str {
        match self {
            Self::Deployment => "release",
            Self::Development | Self::Faults => "debug",
        }
    }

    /// Returns the name of the folder for files that are not finished.
    fn work_folder(self) -> &'static str {
        match self {
            Self::Deployment => "release",
            Self::Development => "development",
            Self::Faults => "faults",
        }
    }

    /// Returns the folder of a Worker's modules.
    fn build_folder(self, repository: &Path, name: &str) -> PathBuf {
        match self {
            Self::Deployment => repository.join(name).join("build"),
            Self::Development => repository.join(DEVELOPMENT_BUILDS).join(name),
            Self::Faults => repository.join("target/workers-with-faults").join(name),
        }
    }
}

/// The folder of the quick builds, relative to the repository. They are for the local platform alone.
pub const DEVELOPMENT_BUILDS: &str = "target/workers-dev";

/// Cargo's profile for quick builds. For a custom one, Cargo would build all procedural macros again.
const QUICK: [&str; 5] = [
    "--profile=dev",
    "--config=profile.dev.debug=false",
    "--config=profile.dev.debug-assertions=false",
    "--config=profile.dev.overflow-checks=false",
    "--config=profile.dev.panic='abort'",
];

const QUICK_WITH_FAULTS: [&str; 6] = {
    let [profile, debug, assertions, overflows, panic] = QUICK;
    [profile, debug, assertions, overflows, panic, "--features=faults"]
};

/// Builds Workers quickly, for the local platform. Returns those that have changed.
pub fn for_development(repository: &Path, tools: &Tools, workers: &[Package]) -> Result<Vec<Package>> {
    build_all(repository, tools, Purpose::Development, workers)
}

/// Builds the Workers that have changed.
pub fn run(repository: &Path, tools: &Tools, arguments: &BuildArguments) -> Result<()> {
    let (purpose, all) = if arguments.faults {
        (Purpose::Faults, &[Package::Dispatcher, Package::CustomerWorker][..])
    } else {
        (Purpose::Deployment, Package::value_variants())
    };
    let workers = if arguments.workers.is_empty() { all } else { &arguments.workers };
    // wrangler sets this for build commands. It would answer every request with an error.
    let is_wrangler_dev = env::var("WRANGLER_COMMAND").is_ok_and(|command| command == "dev");
    if is_wrangler_dev && workers.contains(&Package::Dispatcher) {
        bail!(
            "`wrangler dev` cannot run the dispatch namespace: run the platform with `npm run dev` or `cargo xtask dev`"
        );
    }
    build_all(repository, tools, purpose, workers).map(drop)
}

fn build_all(repository: &Path, tools: &Tools, purpose: Purpose, workers: &[Package]) -> Result<Vec<Package>> {
    // A build in another terminal writes to the same folders.
    let _lock = setup::locked(&repository.join("target/workers"))?;
    let path_flags = paths::flags(repository, TARGET)?;
    let mut built = Vec::new();
    for worker in workers {
        if build(repository, tools, *worker, purpose, &path_flags)? {
            built.push(*worker);
        }
    }
    Ok(built)
}

/// Returns the names of the Workers.
pub fn names() -> impl Iterator<Item = &'static str> {
    Package::value_variants().iter().map(|worker| worker.name())
}

/// Builds the Workers with routes that fail on purpose.
pub fn with_faults(repository: &Path, tools: &Tools) -> Result<()> {
    run(repository, tools, &BuildArguments { faults: true, ..BuildArguments::default() })
}

/// Builds a Worker. Returns whether it has changed.
fn build(repository: &Path, tools: &Tools, worker: Package, purpose: Purpose, path_flags: &str) -> Result<bool> {
    let name = worker.name();
    let target = repository.join("target");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(repository).args(["build", "--quiet", "--lib", "--target", TARGET, "--package", name]);
    cargo.args(purpose.cargo_arguments()).env("CARGO_TARGET_DIR", &target);
    cargo.args(["--config", path_flags]);
    // These variables would override the flags in the configuration.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    program::run(&mut cargo, "install Rust")?;

    // The other steps take seconds, so they are skipped if neither their input nor this file has changed.
    let wasm = target.join(TARGET).join(purpose.cargo_folder()).join(format!("{}.wasm", name.replace('-', "_")));
    let modified = fs::metadata(&wasm).and_then(|metadata| metadata.modified());
    let modified =
        modified.with_context(|| format!("cannot read {}, which cargo should have built", wasm.display()))?;
    let entry = read(&repository.join(name).join("entry.js"))?;
    let description = match worker {
        Package::Dispatcher => Some(minified(&read(&repository.join("docs/openapi.json"))?)?),
        Package::CustomerWorker | Package::Outbound => None,
    };
    let build = purpose.build_folder(repository, name);
    let built_from = build.join(".built-from");
    let versions = &tools.versions;
    let input = format!("{modified:?} {versions}\n{entry}\n{description:?}\n{}", include_str!("build.rs"));
    if fs::read_to_string(&built_from).is_ok_and(|previous| previous == input) {
        return Ok(false);
    }

    eprintln!("Building {name} ...");
    // A running platform reads the build folder, so only finished files are written there.
    let work = target.join("workers").join(purpose.work_folder()).join(name);
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
    write(&built_from, &input)?;
    Ok(true)
}

/// The modules that every Worker's build has.
pub const MODULES: [&str; 2] = ["index_bg.wasm", "index.js"];

/// Make the glue a module that instantiates the Wasm, and instantiates it again after a panic, because a panic leaves
/// an instance unusable.
const BINDGEN_FLAGS: [&str; 5] = [
    "--target=module",
    "--out-name=index",
    "--no-typescript",
    "--omit-default-module-path",
    "--force-enable-abort-handler",
];

/// Strips function names, which are a fifth of the upload. A panic still reports its file and line.
const WASM_OPT_FLAGS: [&str; 3] = ["-O", "--strip-debug", "--strip-producers"];

/// The newer Wasm features that rustc and wasm-bindgen use.
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

/// The last two let esbuild drop the workers-rs classes that a Worker does not use.
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

/// Replaces wasm-bindgen's `import source` of the Wasm. On Cloudflare, a plain import of a `.wasm` file returns its
/// module.
fn with_plain_import(glue: &str) -> Result<String> {
    const SOURCE: &str = "import source ";
    ensure!(glue.matches(SOURCE).count() == 1, "wasm-bindgen's glue must contain `{}` exactly once", SOURCE.trim());
    Ok(glue.replace(SOURCE, "import "))
}

/// Removes the white space of a JSON text.
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

/// Replaces a file atomically: a reader sees the old content or the new content.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, content)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Returns `PATH` with the folder of the npm programs in front, as `npx` sets it.
pub fn path_with(npm_programs: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(npm_programs.to_owned()).chain(env::split_paths(&path));
    env::join_paths(folders).context("the path of the repository must not contain a colon")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glue_with_unknown_imports_is_rejected() {
        let adapted = with_plain_import("import source wasm from \"./w.wasm\";\nexport {};").expect("one import");
        assert_eq!(adapted, "import wasm from \"./w.wasm\";\nexport {};");
        for glue in ["", "import wasm from \"./w.wasm\";", "import source a; import source b;"] {
            assert!(with_plain_import(glue).is_err(), "{glue}");
        }
    }

    #[test]
    fn minified_json_keeps_order_and_strings() {
        let json = "{ \"b\": [1, 2.5, true],\n \"a\": {\"x  y\": null, \"q\": \"\\\"  \"} }";
        assert_eq!(minified(json).expect("JSON"), r#"{"b":[1,2.5,true],"a":{"x  y":null,"q":"\"  "}}"#);
        assert!(minified("{").is_err());
    }
}
