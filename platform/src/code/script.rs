//! A script's code.

use std::path::Path;

use anyhow::{Result, bail};
use cloudflare_api::Module;

use super::modules::{main_module, modules};
use super::owner::CodeOwner;
use super::python::refuse_python;
use super::settings::RuntimeSettings;
use super::source::ScriptSource;

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

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use std::fs;
    use std::path::PathBuf;

    use super::super::build;
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
