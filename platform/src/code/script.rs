//! A script's code and runtime settings.

use std::path::Path;

use anyhow::{Result, bail};
use cloudflare_api::ScriptModule;

use super::modules::{main_module, modules};
use super::owner::CodeOwner;
use super::python::refuse_python;
use super::runtime_settings::RuntimeSettings;
use super::source::ScriptSource;

/// A script's code and its runtime settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptCode {
    /// The owner of the code.
    pub owner: CodeOwner,
    /// The name of the main module.
    pub main_module: String,
    /// All modules, including the main module.
    pub modules: Vec<ScriptModule>,
    /// The runtime settings.
    pub settings: RuntimeSettings,
}

impl ScriptCode {
    /// Reads the last build of the platform's customer Worker.
    pub fn read_platform(repository: &Path) -> Result<Self> {
        let folder = repository.join("customer-worker/build");
        if !folder.join("index.js").exists() {
            bail!("there is no {}: run `cargo xtask build customer-worker`", folder.join("index.js").display());
        }
        let modules = modules(&folder)?;
        let settings = RuntimeSettings::read(repository)?;
        Ok(Self { owner: CodeOwner::Platform, main_module: "index.js".to_owned(), modules, settings })
    }

    /// Reads a customer's own script. `settings` are those of the platform's Worker. They are the defaults for what the
    /// source does not set.
    pub fn read_customer(source: &ScriptSource, settings: &RuntimeSettings) -> Result<Self> {
        refuse_python(source)?;
        let modules = modules(&source.path)?;
        let main_module = main_module(&modules, source)?;
        Ok(Self {
            owner: CodeOwner::Customer,
            main_module,
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::super::build;
    use super::*;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = TempDir::new().expect("a folder");
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
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
    fn a_folder_is_read_as_modules() {
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
        let code = ScriptCode::read_customer(&source(folder.path(), None), &settings()).expect("code");
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
        assert_eq!((&*code.main_module, code.owner), ("worker.mjs", CodeOwner::Customer));
        assert_eq!(code.settings, settings());
        let code = ScriptCode::read_customer(&source(folder.path(), Some("lib/a.js")), &settings()).expect("code");
        assert_eq!(code.main_module, "lib/a.js");
    }

    #[test]
    fn a_file_is_read_as_one_module() {
        let folder = folder(&[("hello.js", "export default {}"), ("other.js", "")]);
        let own = ScriptSource {
            compatibility_date: Some("2026-02-02".to_owned()),
            compatibility_flags: Some(Vec::new()),
            ..source(folder.path().join("hello.js"), None)
        };
        let code = ScriptCode::read_customer(&own, &settings()).expect("code");
        assert_eq!((&*code.main_module, code.modules.len()), ("hello.js", 1));
        assert_eq!((&*code.settings.compatibility_date, code.settings.compatibility_flags.len()), ("2026-02-02", 0));
    }

    #[test]
    fn scripts_that_cannot_run_are_refused_with_the_reason() {
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
            ("a", None, "cannot tell the main module of"),
            ("a", Some("z.js"), "there is no module z.js in"),
            ("b", None, "there is no module in"),
            ("b/README.md", None, "there is no module in"),
            ("c", None, "the main module must be an ES module"),
            ("d", None, "cannot be a module's name"),
            ("e", None, "x.json is not valid JSON"),
            ("f", None, "the main module must be an ES module"),
            ("python", None, "entry.py: Python is not supported"),
            ("python", Some("x.py"), "x.py: Python is not supported"),
            ("python/x.py", None, "x.py: Python is not supported"),
            ("nowhere", None, "cannot find"),
        ] {
            let error =
                ScriptCode::read_customer(&source(folder.path().join(name), main), &settings()).expect_err(name);
            assert!(format!("{error:#}").contains(reason), "{name}: {error:#}");
        }
        let flags = Some(vec!["python_workers".to_owned()]);
        let flagged = ScriptSource { compatibility_flags: flags, ..source(folder.path().join("a/x.js"), None) };
        let error = ScriptCode::read_customer(&flagged, &settings()).expect_err("a flag for Python").to_string();
        assert!(error.contains("python_workers") && error.contains("Python is not supported"), "{error}");
    }

    #[test]
    fn the_platforms_worker_is_read_from_its_build_and_wrangler_file() {
        let config = "compatibility_date = '2026-11-17'\n[observability]\nenabled = true\n";
        let repository = folder(&[
            ("customer-worker/wrangler.toml", config),
            ("customer-worker/build/.built-from", "x"),
            ("customer-worker/build/index.js", "export default {}"),
            ("customer-worker/build/index_bg.wasm", "w"),
        ]);
        let code = ScriptCode::read_platform(repository.path()).expect("code");
        assert_eq!((&*code.main_module, code.modules.len(), code.owner), ("index.js", 2, CodeOwner::Platform));
        let expected = RuntimeSettings {
            compatibility_date: "2026-11-17".to_owned(),
            compatibility_flags: Vec::new(),
            observability: Some(serde_json::json!({"enabled": true})),
        };
        assert_eq!(code.settings, expected);

        fs::remove_file(repository.path().join("customer-worker/build/index.js")).expect("removed");
        let error = ScriptCode::read_platform(repository.path()).expect_err("not built").to_string();
        assert!(error.contains("run `cargo xtask build customer-worker`"), "{error}");
        for (config, reason) in [
            ("", "has no compatibility_date"),
            ("compatibility_date = 1", "has no compatibility_date"),
            ("compatibility_date = '1'\ncompatibility_flags = 1", "compatibility_flags must be a list of strings"),
            ("=", "is not valid TOML"),
        ] {
            fs::write(repository.path().join("customer-worker/wrangler.toml"), config).expect("written");
            let error = RuntimeSettings::read(repository.path()).expect_err(config).to_string();
            assert!(error.contains(reason), "{config}: {error}");
        }
    }

    #[test]
    fn a_failed_build_is_an_error() {
        let nowhere = TempDir::new().expect("a folder");
        let error = build(nowhere.path()).expect_err("no repository").to_string();
        assert_eq!(error, "`cargo xtask build customer-worker` failed");
    }

    #[test]
    fn the_customers_tag_wins_over_the_platforms() {
        let owner = |tags: &[&str]| CodeOwner::from_tags(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
        assert_eq!(owner(&["eu"]), None);
        assert_eq!(owner(&["customer-worker", "eu"]), Some(CodeOwner::Platform));
        assert_eq!(owner(&["customer-worker", "own-script"]), Some(CodeOwner::Customer));
    }
}
