//! Generates a wrangler file for a customer's Worker, for `wrangler deploy --dispatch-namespace`.

use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use cloudflare_api::wrangler_config::{Unsupported, add_binding};
use serde_json::Value as Json;
use shared::customer::UserId;
use toml::{Table, Value};

use super::platform::Customers;
use super::storage::USER_DB;
use super::{state, storage};
use crate::code::{CodeOwner, RuntimeSettings, ScriptCode, read_table, wrangler_file};
use crate::manifest::Manifest;

/// The location of a customer's wrangler file.
#[derive(Clone, Copy, Debug)]
pub struct ConfigFile<'c> {
    /// The repository. The file is based on the wrangler file of its customer Worker.
    pub repository: &'c Path,
    /// The folder that the file is written to. Paths in the file are relative to it, or absolute if there is none.
    pub folder: Option<&'c Path>,
}

impl Customers {
    /// Returns the text of a customer's wrangler file. It has the bindings of the script or, if there is no script yet,
    /// those that `create` would set.
    pub async fn config(&self, id: &UserId, manifest: &Manifest, file: ConfigFile<'_>) -> Result<String> {
        let name = self.script_name(id);
        let settings = self.cloudflare.script_settings(&self.namespace, &name).await?;
        let bindings = match &settings {
            Some(settings) => settings["bindings"].as_array().cloned().unwrap_or_default(),
            None => self.planned_bindings(id, manifest).await?,
        };
        let owner = settings.as_ref().and_then(|settings| CodeOwner::from_tags(&state::tags(settings)));
        let has_customer_code = manifest.script.is_some() || owner == Some(CodeOwner::Customer);

        let mut config = read_table(&wrangler_file(file.repository))?;
        config.insert("name".to_owned(), Value::String(name.clone()));
        let main = if has_customer_code {
            let source = manifest.script.as_ref().with_context(|| {
                format!("the code of {name} is the customer's own: name it under [script] in the manifest")
            })?;
            let code = ScriptCode::read_customer(source, &RuntimeSettings::read(file.repository)?)?;
            // The build command is that of the platform's Worker.
            config.remove("build");
            let date = Value::String(code.settings.compatibility_date);
            config.insert("compatibility_date".to_owned(), date);
            let flags = code.settings.compatibility_flags.into_iter().map(Value::String).collect();
            config.insert("compatibility_flags".to_owned(), Value::Array(flags));
            if source.path.is_dir() { source.path.join(code.main_module) } else { source.path.clone() }
        } else {
            keep_build(&mut config, file)?;
            file.repository.join("customer-worker/build/index.js")
        };
        config.insert("main".to_owned(), Value::String(file.path_to(&main)?));

        let database = self.cloudflare.database_named(&id.resource_name()).await?;
        let mut secrets = Vec::new();
        let mut left_out = Vec::new();
        for mut binding in bindings {
            // `wrangler d1` finds the database by this name.
            let is_own_database = |id: &Json| database.as_ref().is_some_and(|database| *id == *database.uuid);
            if binding["name"] == USER_DB
                && (is_own_database(&binding["id"]) || is_own_database(&binding["database_id"]))
            {
                binding["database_name"] = id.resource_name().into();
            }
            match add_binding(&mut config, &binding) {
                Ok(()) => {}
                Err(Unsupported::Secret(name)) => secrets.push(name),
                Err(unsupported) => left_out.push(unsupported.to_string()),
            }
        }
        let config = toml::to_string(&config).context("cannot write the configuration as TOML")?;
        Ok(format!("{}{config}", self.header(id, settings.is_some(), &secrets, &left_out)))
    }

    /// Returns the bindings that `create` would set.
    async fn planned_bindings(&self, id: &UserId, manifest: &Manifest) -> Result<Vec<Json>> {
        let namespaces = self.cloudflare.kv_namespaces().await?;
        let ids = storage::existing_ids(&self.cloudflare, id, &manifest.storage, None, &namespaces).await?;
        // The texts of secrets are not written to the file.
        let further = manifest.bindings(|_| Some(String::new()))?;
        let all = ids.bindings().into_iter().chain(further);
        all.map(|bound| serde_json::to_value(bound).context("cannot write a binding as JSON")).collect()
    }

    /// Returns the comment above the configuration.
    fn header(&self, id: &UserId, has_script: bool, secrets: &[String], left_out: &[String]) -> String {
        let mut header = format!(
            "# The Worker of the customer {id}, with the bindings that `cargo platform customer config {id}` found. Deploy it with\n\
             #   npx wrangler deploy -c <this file> --dispatch-namespace {}\n",
            self.namespace
        );
        let mut line = |text: String| writeln!(header, "# {text}").expect("writing to a String succeeds");
        if !secrets.is_empty() {
            let label =
                if has_script { "Secrets that the script has and keeps" } else { "Secrets that must still be set" };
            line(format!("{label}: {}", secrets.join(", ")));
        }
        for reason in left_out {
            line(format!("Left out of this file, and removed by its deployment: {reason}"));
        }
        header.push('\n');
        header
    }
}

/// Makes the build command of the platform's Worker run in the repository.
fn keep_build(config: &mut Table, file: ConfigFile<'_>) -> Result<()> {
    let Some(Value::Table(build)) = config.get_mut("build") else {
        bail!("{} has no [build]", wrangler_file(file.repository).display());
    };
    // `watch_dir` is only for `wrangler dev`, and wrangler would resolve it against this file's folder.
    build.remove("watch_dir");
    let is_in_repository = file.folder.is_some_and(|folder| folder.starts_with(file.repository));
    if !is_in_repository {
        build.insert("cwd".to_owned(), Value::String(text(file.repository)?));
    }
    Ok(())
}

impl ConfigFile<'_> {
    /// Returns a path in the form that the file has: relative to its folder, or absolute.
    fn path_to(&self, path: &Path) -> Result<String> {
        let absolute =
            std::path::absolute(path).with_context(|| format!("cannot make {} an absolute path", path.display()))?;
        match self.folder {
            Some(folder) => text(&relative(folder, &absolute)),
            None => text(&absolute),
        }
    }
}

/// Returns the relative path from a folder to a path. Both are absolute.
fn relative(folder: &Path, path: &Path) -> PathBuf {
    let common = folder.components().zip(path.components()).take_while(|(left, right)| left == right).count();
    let up = folder.components().skip(common).map(|_| Component::ParentDir);
    up.chain(path.components().skip(common)).collect()
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_lead_up_and_down() {
        for (folder, path, expected) in [
            ("/r/customer-worker", "/r/customer-worker/build/index.js", "build/index.js"),
            ("/r/a/b", "/r/customer-worker/build/index.js", "../../customer-worker/build/index.js"),
            ("/", "/r/x.js", "r/x.js"),
            ("/tmp", "/r/x.js", "../r/x.js"),
        ] {
            assert_eq!(relative(Path::new(folder), Path::new(path)), Path::new(expected));
        }
    }
}
