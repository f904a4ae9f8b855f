//! What customers are to get: their manifests, and the code of their scripts.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use platform::code::{self, RuntimeSettings, ScriptCode, ScriptSource};
use platform::customers::ResourceClaims;
use platform::manifest::Manifest;
use platform::manifests::Manifests;
use shared::customer::UserId;

/// Where manifests are.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "What customers get")]
pub struct ManifestArguments {
    /// The folder with customers' manifests, <ID>.toml; who has none gets storage and nothing else [default: customers in the
    /// repository]
    #[arg(long, value_name = "DIR", conflicts_with = "manifest")]
    manifests: Option<PathBuf>,

    /// The manifest, whatever the customer is called
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

impl ManifestArguments {
    /// Where they are.
    pub fn manifests(&self, repository: &Path) -> Result<Manifests> {
        Ok(match (&self.manifest, &self.manifests) {
            (Some(file), _) => Manifests::File(file.clone()),
            (None, Some(folder)) if !folder.is_dir() => bail!("there is no folder {}", folder.display()),
            (None, Some(folder)) => Manifests::Folder(folder.clone()),
            (None, None) => Manifests::Folder(repository.join("customers")),
        })
    }
}

/// Whose code the scripts are.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "What customers get")]
pub struct CodeArguments {
    /// The customer's own script instead of the platform's: a .js or .mjs file, or a folder of modules
    #[arg(long, value_name = "PATH")]
    script: Option<PathBuf>,

    /// The module that a folder's script starts with [default: index.js, index.mjs, worker.js or worker.mjs]
    #[arg(long, value_name = "NAME", requires = "script")]
    main: Option<String>,

    /// Upload the platform's Worker as it was built last
    #[arg(long)]
    no_build: bool,
}

/// What one customer is to get.
#[derive(Debug)]
pub struct PreparedSpec {
    /// What the script is bound to, and what the record says.
    pub manifest: Manifest,
    /// The customer's own code, if it has some.
    pub own: Option<ScriptCode>,
}

/// The orders of one run.
#[derive(Debug)]
pub struct Specs<'o> {
    repository: &'o Path,
    manifests: Manifests,
    code: &'o CodeArguments,
    settings: RuntimeSettings,
    platform_code: OnceLock<ScriptCode>,
}

impl<'o> Specs<'o> {
    /// What the command line says.
    pub fn new(repository: &'o Path, manifests: &ManifestArguments, code: &'o CodeArguments) -> Result<Self> {
        let manifests = manifests.manifests(repository)?;
        let settings = RuntimeSettings::read(repository)?;
        Ok(Self { repository, manifests, code, settings, platform_code: OnceLock::new() })
    }

    /// Reads what a customer is to get.
    pub fn prepare(&self, id: &UserId) -> Result<PreparedSpec> {
        let mut manifest = self.manifests.read(id)?;
        if let Some(path) = &self.code.script {
            // How it is run may be in the manifest all the same.
            let said = manifest.script.take();
            manifest.script = Some(ScriptSource {
                path: path.clone(),
                main: self.code.main.clone(),
                compatibility_date: said.as_ref().and_then(|said| said.compatibility_date.clone()),
                compatibility_flags: said.and_then(|said| said.compatibility_flags),
            });
        }
        let own = manifest.script.as_ref().map(|source| ScriptCode::of_customer(source, &self.settings)).transpose()?;
        Ok(PreparedSpec { manifest, own })
    }

    /// Reads what each customer is to get. Two customers of a run cannot both get what is not marked as shared.
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

    /// Builds the platform's Worker, if some of these customers get it.
    pub fn build<'p>(&self, mut prepared: impl Iterator<Item = &'p Result<PreparedSpec>>) -> Result<()> {
        if !prepared.any(|prepared| prepared.as_ref().is_ok_and(|prepared| prepared.own.is_none())) {
            return Ok(());
        }
        if !self.code.no_build {
            code::build(self.repository)?;
        }
        let built = ScriptCode::of_platform(self.repository)?;
        self.platform_code.set(built).ok().context("it is built once")
    }

    /// The code of a customer's script.
    pub fn code<'c>(&'c self, prepared: &'c PreparedSpec) -> Result<&'c ScriptCode> {
        prepared.own.as_ref().or_else(|| self.platform_code.get()).context("the platform's Worker was not built")
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

    /// A repository with a customer who has a script of its own, and with no Worker built.
    fn repository() -> TempDir {
        let repository = TempDir::new().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = repository.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        };
        write("customer-worker/wrangler.toml", "compatibility_date = '2026-11-17'");
        write("customers/own.toml", "[script]\npath = 'own.js'\ncompatibility_date = '2026-01-01'");
        write("customers/own.js", "export default {}");
        write("other.js", "export default {}");
        repository
    }

    #[test]
    fn who_has_code_of_its_own_needs_no_build() {
        let repository = repository();
        let arguments = code(None);
        let specs = Specs::new(repository.path(), &NO_MANIFESTS, &arguments).expect("specs");
        let own = specs.prepare(&"own".parse().expect("an id")).expect("prepared");
        assert_eq!(specs.code(&own).expect("code").main, "own.js");
        specs.build([Ok(own)].iter()).expect("nothing to build");

        let other = specs.prepare(&"user1".parse().expect("an id")).expect("prepared");
        assert_eq!(other.manifest, Manifest::default());
        let error = specs.build([Ok(other)].iter()).expect_err("not built").to_string();
        assert!(error.contains("run `cargo xtask build customer-worker`"), "{error}");

        // What cannot be prepared is somebody's own failure.
        specs.build([Err(anyhow::anyhow!("no"))].iter()).expect("nothing to build");
    }

    #[test]
    fn a_script_on_the_command_line_comes_before_the_manifests() {
        let repository = repository();
        let arguments = code(Some(repository.path().join("other.js")));
        let specs = Specs::new(repository.path(), &NO_MANIFESTS, &arguments).expect("specs");
        let own = specs.prepare(&"own".parse().expect("an id")).expect("prepared");
        let code = specs.code(&own).expect("code");
        // How it is run is still the manifest's.
        assert_eq!((&*code.main, &*code.settings.compatibility_date), ("other.js", "2026-01-01"));
    }

    #[test]
    fn a_folder_that_is_named_must_be_there() {
        let nowhere = ManifestArguments { manifests: Some("/nowhere".into()), manifest: None };
        let error = nowhere.manifests(Path::new("/")).expect_err("not there").to_string();
        assert_eq!(error, "there is no folder /nowhere");
    }
}
