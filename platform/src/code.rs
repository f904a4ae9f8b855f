//! The code of scripts: the platform's own customer Worker, and customers' own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use toml::Table;

pub mod json_module;

use cloudflare_api::Module;

/// Where a customer's own script is, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptSource {
    /// A JavaScript module, or a folder of modules.
    pub path: PathBuf,
    /// The module that the runtime starts with, in a folder where it is not called as usual.
    pub main: Option<String>,
    /// That of the platform's own Worker if it is not said.
    pub compatibility_date: Option<String>,
    /// Those of the platform's own Worker if they are not said.
    pub compatibility_flags: Option<Vec<String>>,
}

/// A script's code, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptCode {
    /// Whose it is.
    pub whose: CodeOwner,
    /// The name of the module that the runtime starts with.
    pub main: String,
    /// All modules, the main one among them.
    pub modules: Vec<Module>,
    /// The members of an upload's metadata that say how it is run.
    pub settings: RuntimeSettings,
}

/// How a script is run, named as in a wrangler file and in an upload's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// `compatibility_date`
    pub compatibility_date: String,
    /// `compatibility_flags`
    pub compatibility_flags: Vec<String>,
    /// `observability`
    pub observability: Option<Value>,
}

/// Whose code a script is: what its tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOwner {
    /// The platform's own customer Worker.
    Platform,
    /// The customer's own.
    Customer,
}

impl CodeOwner {
    /// The tag of scripts with such code.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Platform => "customer-worker",
            Self::Customer => "own-script",
        }
    }

    /// What a script's tags say.
    #[must_use]
    pub fn of_tags(tags: &[String]) -> Option<Self> {
        // If both are there, nobody's own code is taken for the platform's.
        [Self::Customer, Self::Platform].into_iter().find(|whose| tags.iter().any(|tag| tag == whose.tag()))
    }
}

/// Builds the platform's customer Worker, as wrangler would.
pub fn build(repository: &Path) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(repository).args(["xtask", "build", "customer-worker"]);
    // Standard output is for what the tool itself answers.
    let status = cargo.stdout(Stdio::from(io::stderr())).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("`cargo xtask build customer-worker` failed");
    }
    Ok(())
}

impl RuntimeSettings {
    /// Those of the platform's customer Worker, as its wrangler file has them.
    pub fn read(repository: &Path) -> Result<Self> {
        let path = wrangler_file(repository);
        let config = read_table(&path)?;
        let member = |name: &str| {
            let value = config.get(name).map(serde_json::to_value).transpose();
            value.with_context(|| format!("{} has a strange {name}", path.display()))
        };
        let date = config.get("compatibility_date").and_then(toml::Value::as_str);
        let flags = member("compatibility_flags")?.map(serde_json::from_value).transpose();
        Ok(Self {
            compatibility_date: date
                .with_context(|| format!("{} has no compatibility_date", path.display()))?
                .to_owned(),
            compatibility_flags: flags
                .with_context(|| format!("{} has strange compatibility_flags", path.display()))?
                .unwrap_or_default(),
            observability: member("observability")?,
        })
    }
}

impl ScriptCode {
    /// The platform's customer Worker, as it was built last.
    pub fn of_platform(repository: &Path) -> Result<Self> {
        let folder = repository.join("customer-worker/build");
        if !folder.join("index.js").exists() {
            bail!("there is no {}: run `cargo xtask build customer-worker`", folder.join("index.js").display());
        }
        let modules = modules(&folder)?;
        let settings = RuntimeSettings::read(repository)?;
        Ok(Self { whose: CodeOwner::Platform, main: "index.js".to_owned(), modules, settings })
    }

    /// A customer's own. What is not said of how it is run is as for the platform's.
    pub fn of_customer(source: &ScriptSource, settings: &RuntimeSettings) -> Result<Self> {
        refuse_python(source)?;
        let modules = modules(&source.path)?;
        let main = main_module(&modules, source)?;
        Ok(Self {
            whose: CodeOwner::Customer,
            main,
            modules,
            settings: RuntimeSettings {
                compatibility_date: source
                    .compatibility_date
                    .clone()
                    .unwrap_or_else(|| settings.compatibility_date.clone()),
                compatibility_flags: source
                    .compatibility_flags
                    .clone()
                    .unwrap_or_else(|| settings.compatibility_flags.clone()),
                observability: settings.observability.clone(),
            },
        })
    }
}

/// The wrangler file of the platform's customer Worker.
#[must_use]
pub fn wrangler_file(repository: &Path) -> PathBuf {
    repository.join("customer-worker/wrangler.toml")
}

/// Reads a file of TOML.
pub fn read_table(path: &Path) -> Result<Table> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is not valid TOML", path.display()))
}

/// What is said of Python, whatever way it comes.
pub const PYTHON_IS_NOT_SUPPORTED: &str =
    "Python is not supported: a script is JavaScript or TypeScript, bundled, or WebAssembly, as Rust is compiled to";

/// Whether a module is Python, by its name.
#[must_use]
pub fn is_python(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|kind| kind.eq_ignore_ascii_case("py"))
}

/// Says so if a script starts with Python, or is to be run as Python. Python files beside JavaScript are left out, as all that
/// is no module.
fn refuse_python(source: &ScriptSource) -> Result<()> {
    let path = &source.path;
    let flag = source.compatibility_flags.iter().flatten().find(|flag| flag.starts_with("python_workers"));
    if let Some(flag) = flag {
        bail!("the compatibility flag {flag} of {}: {PYTHON_IS_NOT_SUPPORTED}", path.display());
    }
    let named = source.main.as_deref().filter(|main| is_python(main));
    let named = named.or_else(|| path.to_str().filter(|path| is_python(path)));
    let usual = ["entry.py", "index.py", "main.py", "worker.py"].into_iter().find(|name| path.join(name).exists());
    let usual = usual.filter(|_| source.main.is_none() && !USUAL.iter().any(|name| path.join(name).exists()));
    if let Some(main) = named.or(usual) {
        bail!("{main}: {PYTHON_IS_NOT_SUPPORTED}");
    }
    Ok(())
}

const ES_MODULE: &str = "application/javascript+module";

/// What a file is to the upload API, by its extension; wrangler's own rules for modules.
fn media_type(path: &Path) -> Option<&'static str> {
    Some(match path.extension()?.to_str()? {
        // Cloudflare's API knows no JSON: it goes as a module that exports what it says.
        "js" | "mjs" | "json" => ES_MODULE,
        "cjs" => "application/javascript",
        "wasm" => "application/wasm",
        "txt" | "html" | "sql" => "text/plain",
        "bin" => "application/octet-stream",
        _ => return None,
    })
}

/// The modules of a folder, or the one that a file is. What is no module is left out, and so is what is hidden, what npm
/// installed, and where a link leads out of the folder.
fn modules(path: &Path) -> Result<Vec<Module>> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?;
    let mut modules = Vec::new();
    if metadata.is_dir() {
        add_folder(path, "", &mut modules)?;
    } else {
        let name = path.file_name().with_context(|| format!("{} has no name", path.display()))?;
        add_file(path, utf8(name)?, &mut modules)?;
    }
    if modules.is_empty() {
        bail!("there is no module in {}: no .js, .mjs, .cjs, .json, .wasm, .txt, .html, .sql or .bin", path.display());
    }
    Ok(modules)
}

fn add_folder(folder: &Path, prefix: &str, modules: &mut Vec<Module>) -> Result<()> {
    let cannot_read = || format!("cannot read {}", folder.display());
    let mut entries: Vec<_> =
        fs::read_dir(folder).and_then(Iterator::collect::<Result<_, _>>).with_context(cannot_read)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let file_name = entry.file_name();
        let name = utf8(&file_name)?;
        if name.starts_with('.') || name == "node_modules" || SETTINGS_OF_TOOLS.contains(&name) {
            continue;
        }
        let kind = entry.file_type().with_context(cannot_read)?;
        let module = format!("{prefix}{name}");
        if kind.is_dir() {
            add_folder(&entry.path(), &format!("{module}/"), modules)?;
        } else if kind.is_file() {
            add_file(&entry.path(), &module, modules)?;
        }
    }
    Ok(())
}

fn add_file(path: &Path, name: &str, modules: &mut Vec<Module>) -> Result<()> {
    let Some(media_type) = media_type(path) else { return Ok(()) };
    // The upload has it in a header.
    if name.contains(|character: char| character == '"' || character.is_control()) {
        bail!("{name:?} cannot be a module's name: there is a quotation mark or a control character in it");
    }
    let content = Bytes::from(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
    let content = if is_json(name) {
        json_module::wrapped(&content).with_context(|| format!("{} is not valid JSON", path.display()))?
    } else {
        content
    };
    modules.push(Module { name: name.to_owned(), media_type, content });
    Ok(())
}

fn is_json(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|kind| kind == "json")
}

/// Settings of tools, which lie beside a script and are no modules of it. They need not even be JSON: some have comments.
const SETTINGS_OF_TOOLS: [&str; 6] =
    ["jsconfig.json", "package-lock.json", "package.json", "tsconfig.json", "tslint.json", "wrangler.json"];

fn utf8(name: &std::ffi::OsStr) -> Result<&str> {
    name.to_str().with_context(|| format!("{} is not UTF-8", name.display()))
}

/// What the module that the runtime starts with is usually called.
const USUAL: [&str; 4] = ["index.js", "index.mjs", "worker.js", "worker.mjs"];

/// The module that the runtime starts with: the one that is said, the only one, or the one that is called as usual.
fn main_module(modules: &[Module], source: &ScriptSource) -> Result<String> {
    let path = source.path.display();
    let found = |name: &str| modules.iter().find(|module| module.name == name);
    let main = match &source.main {
        Some(main) => found(main).with_context(|| format!("there is no module {main} in {path}"))?,
        None if modules.len() == 1 => &modules[0],
        None => USUAL.into_iter().find_map(found).with_context(|| {
            format!("which module of {path} does it start with? Say it with --main, or as `main` under [script]: there is no {}", USUAL.join(", "))
        })?,
    };
    if main.media_type != ES_MODULE || is_json(&main.name) {
        bail!("a script starts with an ES module, a .js or .mjs file, and not with {}", main.name);
    }
    Ok(main.name.clone())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = TempDir::new().expect("a folder");
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, content).expect("written");
        }
        folder
    }

    fn source(path: impl Into<PathBuf>, main: Option<&str>) -> ScriptSource {
        ScriptSource {
            path: path.into(),
            main: main.map(str::to_owned),
            compatibility_date: None,
            compatibility_flags: None,
        }
    }

    fn settings() -> RuntimeSettings {
        RuntimeSettings {
            compatibility_date: "2026-01-01".to_owned(),
            compatibility_flags: vec!["a".to_owned()],
            observability: None,
        }
    }

    #[test]
    fn a_folder_is_its_modules() {
        let folder = folder(&[
            ("worker.mjs", "export default {}"),
            ("lib/a.js", "1"),
            ("lib/b.cjs", "2"),
            ("page.html", "3"),
            ("x.sql", "4"),
            ("x.txt", "5"),
            ("x.bin", "6"),
            ("x.wasm", "7"),
            ("README.md", "no"),
            ("package.json", "no"),
            ("tsconfig.json", "{ // no\n}"),
            ("tools.py", "no"),
            ("data/x.json", r#"{"a": 1}"#),
            (".hidden.js", "no"),
            (".git/x.js", "no"),
            ("node_modules/x/index.js", "no"),
        ]);
        let code = ScriptCode::of_customer(&source(folder.path(), None), &settings()).expect("code");
        let modules: Vec<_> = code.modules.iter().map(|module| (&*module.name, module.media_type)).collect();
        let expected = [
            ("data/x.json", "application/javascript+module"),
            ("lib/a.js", "application/javascript+module"),
            ("lib/b.cjs", "application/javascript"),
            ("page.html", "text/plain"),
            ("worker.mjs", "application/javascript+module"),
            ("x.bin", "application/octet-stream"),
            ("x.sql", "text/plain"),
            ("x.txt", "text/plain"),
            ("x.wasm", "application/wasm"),
        ];
        assert_eq!(modules, expected);
        assert_eq!((&*code.main, code.whose), ("worker.mjs", CodeOwner::Customer));
        assert_eq!(code.settings, settings());
        let code = ScriptCode::of_customer(&source(folder.path(), Some("lib/a.js")), &settings()).expect("code");
        assert_eq!(code.main, "lib/a.js");
    }

    #[test]
    fn a_file_is_one_module() {
        let folder = folder(&[("hello.js", "export default {}"), ("other.js", "")]);
        let own = ScriptSource {
            compatibility_date: Some("2026-02-02".to_owned()),
            compatibility_flags: Some(Vec::new()),
            ..source(folder.path().join("hello.js"), None)
        };
        let code = ScriptCode::of_customer(&own, &settings()).expect("code");
        assert_eq!((&*code.main, code.modules.len()), ("hello.js", 1));
        assert_eq!((&*code.settings.compatibility_date, code.settings.compatibility_flags.len()), ("2026-02-02", 0));
    }

    #[test]
    fn what_cannot_be_run_is_said() {
        let folder = folder(&[
            ("a/x.js", ""),
            ("a/y.js", ""),
            ("b/README.md", ""),
            ("c/x.wasm", ""),
            ("d/\"x.js", ""),
            ("e/index.js", ""),
            ("e/x.json", "{"),
            ("f/x.json", "{}"),
            ("python/entry.py", ""),
            ("python/lib.js", ""),
            ("python/x.py", ""),
        ]);
        for (name, main, reason) in [
            ("a", None, "which module of"),
            ("a", Some("z.js"), "there is no module z.js in"),
            ("b", None, "there is no module in"),
            ("b/README.md", None, "there is no module in"),
            ("c", None, "starts with an ES module"),
            ("d", None, "cannot be a module's name"),
            ("e", None, "x.json is not valid JSON"),
            ("f", None, "starts with an ES module"),
            ("python", None, "entry.py: Python is not supported"),
            ("python", Some("x.py"), "x.py: Python is not supported"),
            ("python/x.py", None, "x.py: Python is not supported"),
            ("nowhere", None, "cannot find"),
        ] {
            let error = ScriptCode::of_customer(&source(folder.path().join(name), main), &settings()).expect_err(name);
            assert!(format!("{error:#}").contains(reason), "{name}: {error:#}");
        }
        let flags = Some(vec!["python_workers".to_owned()]);
        let flagged = ScriptSource { compatibility_flags: flags, ..source(folder.path().join("a/x.js"), None) };
        let error = ScriptCode::of_customer(&flagged, &settings()).expect_err("it would be Python").to_string();
        assert!(error.contains("python_workers") && error.contains("Python is not supported"), "{error}");
    }

    #[test]
    fn the_platforms_worker_is_what_was_built_with_its_files_settings() {
        let config = "compatibility_date = '2026-11-17'\n[observability]\nenabled = true\n";
        let repository = folder(&[
            ("customer-worker/wrangler.toml", config),
            ("customer-worker/build/.built-from", "x"),
            ("customer-worker/build/index.js", "export default {}"),
            ("customer-worker/build/index_bg.wasm", "w"),
        ]);
        let code = ScriptCode::of_platform(repository.path()).expect("code");
        assert_eq!((&*code.main, code.modules.len(), code.whose), ("index.js", 2, CodeOwner::Platform));
        let expected = RuntimeSettings {
            compatibility_date: "2026-11-17".to_owned(),
            compatibility_flags: Vec::new(),
            observability: Some(serde_json::json!({"enabled": true})),
        };
        assert_eq!(code.settings, expected);

        fs::remove_file(repository.path().join("customer-worker/build/index.js")).expect("removed");
        let error = ScriptCode::of_platform(repository.path()).expect_err("not built").to_string();
        assert!(error.contains("run `cargo xtask build customer-worker`"), "{error}");
        for (config, reason) in [
            ("", "has no compatibility_date"),
            ("compatibility_date = 1", "has no compatibility_date"),
            ("compatibility_date = '1'\ncompatibility_flags = 1", "strange compatibility_flags"),
            ("=", "is not valid TOML"),
        ] {
            fs::write(repository.path().join("customer-worker/wrangler.toml"), config).expect("written");
            let error = RuntimeSettings::read(repository.path()).expect_err(config).to_string();
            assert!(error.contains(reason), "{config}: {error}");
        }
    }

    #[test]
    fn a_build_that_fails_is_an_error() {
        let nowhere = TempDir::new().expect("a folder");
        let error = build(nowhere.path()).expect_err("there is nothing to build").to_string();
        assert_eq!(error, "`cargo xtask build customer-worker` failed");
    }

    #[test]
    fn nobodys_own_code_is_taken_for_the_platforms() {
        let whose = |tags: &[&str]| CodeOwner::of_tags(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
        assert_eq!(whose(&["eu"]), None);
        assert_eq!(whose(&["customer-worker", "eu"]), Some(CodeOwner::Platform));
        assert_eq!(whose(&["customer-worker", "own-script"]), Some(CodeOwner::Customer));
    }
}
