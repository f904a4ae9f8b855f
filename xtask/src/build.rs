//! Builds the Workers: Wasm and its glue, optimised and bundled with the entry point of each.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::program;
use crate::setup::Tools;

/// Build the Workers.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Which; all if none is named
    workers: Vec<Package>,

    /// Into target/workers-with-faults/, for tests, with routes that fail on purpose; they are built faster than they run
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

    /// Cargo's folder.
    fn made_in(self) -> &'static str {
        match self {
            Self::Deployment => "release",
            Self::Faults => "debug",
        }
    }

    /// Where a Worker's modules go.
    fn folder(self, repository: &Path, name: &str) -> PathBuf {
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
    let same_paths = same_paths(repository)?;
    workers.iter().try_for_each(|worker| build(repository, tools, *worker, purpose, &same_paths))
}

/// The Workers' names.
pub fn names() -> impl Iterator<Item = &'static str> {
    Package::value_variants().iter().map(|worker| worker.name())
}

/// Builds the Workers that tests make fail.
pub fn with_faults(repository: &Path, tools: &Tools) -> Result<()> {
    run(repository, tools, &Arguments { faults: true, ..Arguments::default() })
}

fn build(repository: &Path, tools: &Tools, worker: Package, purpose: Purpose, same_paths: &str) -> Result<()> {
    let name = worker.name();
    let target = repository.join("target");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(repository).args(["build", "--quiet", "--lib", "--target", TARGET, "--package", name]);
    cargo.args(purpose.cargo_arguments()).env("CARGO_TARGET_DIR", &target);
    cargo.args(["--config", same_paths]);
    // They would take the place of all flags that are configured.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    program::run(&mut cargo, "install Rust")?;

    // What follows takes some seconds even when Cargo had nothing to do.
    let wasm = target.join(TARGET).join(purpose.made_in()).join(format!("{}.wasm", name.replace('-', "_")));
    let modified = fs::metadata(&wasm).and_then(|metadata| metadata.modified());
    let modified = modified.with_context(|| format!("cargo did not build {}", wasm.display()))?;
    let entry = read(&repository.join(name).join("entry.js"))?;
    let document = match worker {
        Package::Dispatcher => Some(minified(&read(&repository.join("docs/openapi.json"))?)?),
        Package::CustomerWorker | Package::Outbound => None,
    };
    let build = purpose.folder(repository, name);
    let built_from = build.join(".built-from");
    // And these steps themselves.
    let text = document.as_deref().unwrap_or_default();
    let steps = [include_str!("build.rs"), &REPLACED.map(|(_, _, ours)| ours).concat()].concat();
    let wanted = format!("{modified:?} {}\n{entry}\n{text}\n{steps}", tools.versions);
    if fs::read_to_string(&built_from).is_ok_and(|built| built == wanted) {
        return Ok(());
    }

    eprintln!("Building {name} ...");
    // Not in build/, which a running platform watches: it gets what is finished.
    let made = target.join("workers").join(purpose.made_in()).join(name);
    let mut bindgen = Command::new(&tools.wasm_bindgen);
    bindgen.arg(&wasm).arg("--out-dir").arg(&made).args(BINDGEN_FLAGS);
    program::run(&mut bindgen, "run `cargo xtask setup`")?;
    write(&made.join("index.js"), &adapted(&read(&made.join("index.js"))?)?)?;
    write(&made.join("entry.js"), &entry)?;

    let npm = |program: &str, arguments: &[&str]| -> Result<()> {
        let mut command = Command::new(tools.npm_programs.join(program));
        command.current_dir(&made).args(arguments).env("PATH", path_with(&tools.npm_programs)?);
        // wasm-metadce lists what it leaves out. What goes wrong is on stderr.
        command.stdout(Stdio::null());
        program::run(&mut command, "run `cargo xtask setup`")
    };
    npm("esbuild", &[&ESBUILD_FLAGS[..], &["entry.js", "--outfile=bundle.js"]].concat())?;
    npm("esbuild", &[&ESBUILD_FLAGS[..], &["--minify", "entry.js", "--outfile=minified.js"]].concat())?;
    let (bindgen, needed, optimized) = ("index_bg.wasm", "needed.wasm", "optimized.wasm");
    if purpose == Purpose::Deployment {
        write(&made.join("graph.json"), &reached(&read(&made.join("bundle.js"))?))?;
        npm("wasm-metadce", &[&WASM_FEATURES[..], &["--graph-file=graph.json", bindgen, "--output", needed]].concat())?;
        npm("wasm-opt", &[&WASM_FEATURES[..], &WASM_OPT_FLAGS, &[needed, "--output", optimized]].concat())?;
    }
    let wasm = if purpose == Purpose::Deployment { optimized } else { bindgen };
    fs::create_dir_all(&build).with_context(|| format!("cannot create {}", build.display()))?;
    for (file, source) in MODULES.into_iter().zip([wasm, "minified.js"]) {
        let content = fs::read(made.join(source)).with_context(|| format!("cannot read {source}"))?;
        replace(&build.join(file), &content)?;
    }
    if let Some(document) = document {
        replace(&build.join("openapi.txt"), document.as_bytes())?;
    }
    fs::write(&built_from, wanted).with_context(|| format!("cannot write {}", built_from.display()))
}

/// Cargo's configuration of flags that leave no path of this machine in the Wasm: a panic says where it was, and the same commit must give the
/// same Wasm wherever it is built.
fn same_paths(repository: &Path) -> Result<String> {
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let cargo = cargo.context("there is no home folder: set HOME")?;
    let mut names = vec![(cargo, "/cargo".to_owned()), (repository.to_owned(), "/workspace".to_owned())];
    names.extend(standard_library(repository)?);
    let called = names.into_iter().map(|(path, name)| {
        let path = path.to_str().with_context(|| format!("{} is not text", path.display()))?;
        Ok(toml::Value::String(format!("--remap-path-prefix={path}={name}")))
    });
    let flags = toml::Value::Array(called.collect::<Result<_>>()?);
    Ok(format!("target.{TARGET}.rustflags={flags}"))
}

/// Where the source of Rust's standard library is, and what it is called where it is not. An editor has it installed; then rustc
/// would name it as it is.
fn standard_library(repository: &Path) -> Result<Option<(PathBuf, String)>> {
    let rustc = |argument: &[&str]| {
        program::output(Command::new("rustc").current_dir(repository).args(argument), "install Rust")
    };
    let source = Path::new(rustc(&["--print", "sysroot"])?.trim()).join("lib/rustlib/src/rust");
    if !source.exists() {
        return Ok(None);
    }
    let version = rustc(&["--version", "--verbose"])?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    Ok(Some((source, format!("/rustc/{}", commit.context("rustc does not say its commit")?))))
}

/// What a build is.
pub const MODULES: [&str; 2] = ["index_bg.wasm", "index.js"];

/// A module that instantiates the Wasm itself, and does so anew after a panic, which leaves the old instance useless.
const BINDGEN_FLAGS: [&str; 6] = [
    "--target=module",
    "--out-name=index",
    "--no-typescript",
    "--omit-default-module-path",
    "--experimental-reset-state-function",
    "--force-enable-abort-handler",
];

/// No names of functions, a fifth of what would be uploaded: a panic says its file and line without them.
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

const ESBUILD_FLAGS: [&str; 6] = [
    "--bundle",
    "--format=esm",
    "--log-level=warning",
    "--external:cloudflare:*",
    "--external:./index_bg.wasm",
    "--external:./openapi.txt",
];

/// A JSON text without what makes it readable.
fn minified(json: &str) -> Result<String> {
    let value: Box<RawValue> = serde_json::from_str(json).context("docs/openapi.json is not JSON")?;
    let mut in_string = false;
    let mut escaped = false;
    let is_kept = |letter: &char| {
        let kept = in_string || !letter.is_ascii_whitespace();
        in_string ^= *letter == '"' && !escaped;
        escaped = in_string && *letter == '\\' && !escaped;
        kept
    };
    Ok(value.get().chars().filter(is_kept).collect())
}

/// wasm-bindgen's functions in whose place ours are: their names, theirs, ours.
const REPLACED: [(&str, &str, &str); 2] = [
    (
        "getStringFromWasm0",
        "function getStringFromWasm0(ptr, len) {\n    return decodeText(ptr >>> 0, len);\n}\n",
        include_str!("short_text.js"),
    ),
    (
        "getDataViewMemory0",
        "function getDataViewMemory0() {
    if (cachedDataViewMemory0 === null || cachedDataViewMemory0.buffer.detached === true || \
         (cachedDataViewMemory0.buffer.detached === undefined && cachedDataViewMemory0.buffer !== wasm.memory.buffer)) {
        cachedDataViewMemory0 = new DataView(wasm.memory.buffer);
    }
    return cachedDataViewMemory0;\n}\n",
        include_str!("data_view.js"),
    ),
];

/// wasm-bindgen's glue as Cloudflare takes it, which has modules of Wasm as plain imports; so that the bundler can leave out
/// classes of workers-rs that nothing uses; and with some of its functions replaced by faster ones.
fn adapted(glue: &str) -> Result<String> {
    let kept = glue.lines().filter(|line| !line.starts_with("if (Symbol.dispose) "));
    let glue: String = kept.flat_map(|line| [line, "\n"]).collect();
    let glue = glue
        .replace("import source ", "import ")
        .replace(": new FinalizationRegistry(", ": /* @__PURE__ */ new FinalizationRegistry(");
    REPLACED.iter().try_fold(glue, |glue, (name, theirs, ours)| {
        ensure!(glue.matches(theirs).count() == 1, "wasm-bindgen's glue has another {name} than build.rs knows");
        Ok(glue.replace(theirs, ours))
    })
}

/// What of the Wasm a bundle reaches, for wasm-metadce: all else is left out.
fn reached(bundle: &str) -> String {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let exports: BTreeSet<&str> = bundle
        .split("wasm.")
        .skip(1)
        .map(|after| after.split(|letter| !is_name(letter)).next().unwrap_or_default())
        .filter(|name| !name.is_empty())
        .collect();
    let root = json!({"name": "bundle", "root": true, "reaches": exports});
    let nodes = exports.iter().map(|export| json!({"name": export, "export": export}));
    std::iter::once(root).chain(nodes).collect::<Value>().to_string()
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
    fn glue_with_other_functions_than_are_replaced_is_refused() {
        let known = REPLACED.map(|(_, theirs, _)| theirs).concat();
        let adapted = adapted(&format!("import source w from \"./w.wasm\";\n{known}")).expect("known");
        assert!(adapted.starts_with("import w from"), "{adapted}");
        for (name, theirs, ours) in REPLACED {
            assert!(adapted.contains(ours), "{adapted}");
            let refusal = super::adapted(&known.replace(theirs, &theirs.replace('(', "(other"))).expect_err(name);
            assert!(refusal.to_string().contains(name), "{refusal}");
        }
    }
}
