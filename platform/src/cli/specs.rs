//! Reads the manifests and code for the customers of a run.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use platform::code::{self, RuntimeSettings, ScriptCode, ScriptSource};
use platform::customers::ResourceClaims;
use platform::manifest::{Manifest, ManifestLocation};
use shared::customer::UserId;

/// The arguments that name manifests.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Manifests and code")]
pub struct ManifestArguments {
    /// The folder with the manifests, <ID>.toml. A customer without one gets storage and nothing else [default:
    /// customers in the repository]
    #[arg(long, value_name = "DIR", conflicts_with = "manifest")]
    manifests: Option<PathBuf>,

    /// One manifest for all customers of this run, whatever their ids
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

impl ManifestArguments {
    /// Returns the location of the manifests.
    pub fn location(&self, repository: &Path) -> Result<ManifestLocation> {
        Ok(match (&self.manifest, &self.manifests) {
            (Some(file), _) => ManifestLocation::File(file.clone()),
            (None, Some(folder)) if !folder.is_dir() => bail!("there is no folder {}", folder.display()),
            (None, Some(folder)) => ManifestLocation::Folder(folder.clone()),
            (None, None) => ManifestLocation::Folder(repository.join("customers")),
        })
    }
}

/// The arguments that select the scripts' code.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Manifests and code")]
pub struct CodeArguments {
    /// The customer's own script instead of the platform's Worker: a .js or .mjs file, or a folder of modules
    #[arg(long, value_name = "PATH")]
    script: Option<PathBuf>,

    /// The main module, if the script is a folder [default: index.js, index.mjs, worker.js or worker.mjs]
    #[arg(long, value_name = "NAME", requires = "script")]
    main: Option<String>,

    /// Upload the last build of the platform's Worker instead of building it
    #[arg(long)]
    no_build: bool,
}

/// The manifest and code for one customer.
#[derive(Debug)]
pub struct PreparedSpec {
    /// The customer's manifest.
    pub manifest: Manifest,
    /// The customer's own code; `None` for the platform's Worker.
    pub customer_code: Option<ScriptCode>,
}

/// The manifests and code for all customers of a run.
#[derive(Debug)]
pub struct Specs<'a> {
    repository: &'a Path,
    manifests: ManifestLocation,
    code: &'a CodeArguments,
    settings: RuntimeSettings,
    platform_code: OnceLock<ScriptCode>,
}

impl<'a> Specs<'a> {
    /// Evaluates the arguments and reads the runtime settings of the platform's Worker.
    pub fn new(repository: &'a Path, manifests: &ManifestArguments, code: &'a CodeArguments) -> Result<Self> {
        let manifests = manifests.location(repository)?;
        let settings = RuntimeSettings::read(repository)?;
        Ok(Self { repository, manifests, code, settings, platform_code: OnceLock::new() })
    }

    /// Reads the manifest and code for a customer.
    pub fn prepare(&self, id: &UserId) -> Result<PreparedSpec> {
        let mut manifest = self.manifests.read(id)?;
        if let Some(path) = &self.code.script {
            // The compatibility date and flags still come from the manifest.
            let in_manifest = manifest.script.take();
            manifest.script = Some(ScriptSource {
                path: path.clone(),
                main: self.code.main.clone(),
                compatibility_date: in_manifest.as_ref().and_then(|script| script.compatibility_date.clone()),
                compatibility_flags: in_manifest.and_then(|script| script.compatibility_flags),
            });
        }
        let source = manifest.script.as_ref();
        let customer_code = source.map(|source| ScriptCode::read_customer(source, &self.settings)).transpose()?;
        Ok(PreparedSpec { manifest, customer_code })
    }

    /// Reads the manifest and code for each customer. Refuses a resource that the manifest of an earlier customer of
    /// the run names, unless it is marked as shared.
    pub fn prepare_all(&self, ids: Vec<UserId>) -> Vec<(UserId, Result<PreparedSpec>)> {
        let mut claims = ResourceClaims::default();
        let prepared = ids.into_iter().map(|id| {
            let prepared = self.prepare(&id).and_then(|prepared| {
                claims.claim(&id, &prepared.manifest)?;
                Ok(prepared)
            });
            (id, prepared)
        });
        prepared.collect()
    }

    /// Builds the platform's Worker, unless `--no-build` is set, and reads the build. Does nothing if none of these
    /// customers uses it.
    pub fn build<'p>(&self, mut prepared: impl Iterator<Item = &'p Result<PreparedSpec>>) -> Result<()> {
        if !prepared.any(|prepared| prepared.as_ref().is_ok_and(|prepared| prepared.customer_code.is_none())) {
            return Ok(());
        }
        if !self.code.no_build {
            code::build(self.repository)?;
        }
        let built = ScriptCode::read_platform(self.repository)?;
        self.platform_code.set(built).ok().context("the platform's Worker was already built")
    }

    /// Returns the code for a customer.
    pub fn code<'c>(&'c self, prepared: &'c PreparedSpec) -> Result<&'c ScriptCode> {
        let code = prepared.customer_code.as_ref().or_else(|| self.platform_code.get());
        code.context("the platform's Worker was not built")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    const NO_MANIFESTS: ManifestArguments = ManifestArguments { manifests: None, manifest: None };

    fn code(script: Option<PathBuf>) -> CodeArguments {
        CodeArguments { script, main: None, no_build: true }
    }

    /// Creates a repository with a customer that has its own script, and without a build of the platform's Worker.
    fn repository() -> TempDir {
        let repository = TempDir::new().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = repository.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            fs::write(path, text).expect("written");
        };
        write("customer-worker/wrangler.toml", "compatibility_date = '2026-11-17'");
        write("customers/own.toml", "[script]\npath = 'own.js'\ncompatibility_date = '2026-01-01'");
        write("customers/own.js", "export default {}");
        write("other.js", "export default {}");
        repository
    }

    #[test]
    fn customers_with_their_own_code_need_no_build() {
        let repository = repository();
        let arguments = code(None);
        let specs = Specs::new(repository.path(), &NO_MANIFESTS, &arguments).expect("specs");
        let own = specs.prepare(&"own".parse().expect("an id")).expect("prepared");
        assert_eq!(specs.code(&own).expect("code").main_module, "own.js");
        specs.build([Ok(own)].iter()).expect("nothing to build");

        let other = specs.prepare(&"user1".parse().expect("an id")).expect("prepared");
        assert_eq!(other.manifest, Manifest::default());
        let error = specs.build([Ok(other)].iter()).expect_err("not built").to_string();
        assert!(error.contains("run `cargo xtask build customer-worker`"), "{error}");

        // A customer that cannot be prepared does not cause a build.
        specs.build([Err(anyhow::anyhow!("no"))].iter()).expect("nothing to build");
    }

    #[test]
    fn a_script_on_the_command_line_replaces_the_manifests_script() {
        let repository = repository();
        let arguments = code(Some(repository.path().join("other.js")));
        let specs = Specs::new(repository.path(), &NO_MANIFESTS, &arguments).expect("specs");
        let own = specs.prepare(&"own".parse().expect("an id")).expect("prepared");
        let code = specs.code(&own).expect("code");
        // The compatibility date still comes from the manifest.
        assert_eq!((&*code.main_module, &*code.settings.compatibility_date), ("other.js", "2026-01-01"));
    }

    #[test]
    fn the_manifests_folder_must_exist() {
        let nowhere = ManifestArguments { manifests: Some("/nowhere".into()), manifest: None };
        let error = nowhere.location(Path::new("/")).expect_err("no folder").to_string();
        assert_eq!(error, "there is no folder /nowhere");
    }
}
