//! A customer as a wrangler file, with that customer's own ids: what `wrangler deploy --dispatch-namespace` takes.

use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value as Json;
use shared::customer::UserId;
use toml::{Table, Value};

use super::platform::Customers;
use super::storage::USER_DB;
use super::{state, storage};
use crate::code::{CodeOwner, RuntimeSettings, ScriptCode, read_table, wrangler_file};
use crate::manifest::Manifest;
use cloudflare_api::wrangler_config::{Unsupported, add_binding};

/// Where a customer's wrangler file is going to be.
#[derive(Clone, Copy, Debug)]
pub struct ConfigFile<'c> {
    /// The repository, with the customer Worker that it is based on.
    pub repository: &'c Path,
    /// The folder that it is written into; paths in it are whole if that is not known.
    pub folder: Option<&'c Path>,
}

impl Customers {
    /// The text of a customer's wrangler file: with the bindings that its script has, or is to have if there is none yet.
    pub async fn config(&self, id: &UserId, manifest: &Manifest, file: ConfigFile<'_>) -> Result<String> {
        let name = self.script_name(id);
        let settings = self.cloudflare.script_settings(&self.namespace, &name).await?;
        let bindings = match &settings {
            Some(settings) => settings["bindings"].as_array().cloned().unwrap_or_default(),
            None => self.planned_bindings(id, manifest).await?,
        };
        let whose = settings.as_ref().and_then(|settings| CodeOwner::of_tags(&state::tags(settings)));
        let own = manifest.script.is_some() || whose == Some(CodeOwner::Customer);

        let mut config = read_table(&wrangler_file(file.repository))?;
        config.insert("name".to_owned(), Value::String(name.clone()));
        let main = if own {
            let source = manifest.script.as_ref().with_context(|| {
                format!("the code of {name} is the customer's own: say where it is, under [script] in the manifest")
            })?;
            let code = ScriptCode::of_customer(source, &RuntimeSettings::read(file.repository)?)?;
            // Nothing of it is built here.
            config.remove("build");
            let date = Value::String(code.settings.compatibility_date);
            config.insert("compatibility_date".to_owned(), date);
            let flags = code.settings.compatibility_flags.into_iter().map(Value::String).collect();
            config.insert("compatibility_flags".to_owned(), Value::Array(flags));
            if source.path.is_dir() { source.path.join(code.main) } else { source.path.clone() }
        } else {
            keep_build(&mut config, file)?;
            file.repository.join("customer-worker/build/index.js")
        };
        config.insert("main".to_owned(), Value::String(file.path_to(&main)?));

        let database = self.cloudflare.database_named(&id.resource_name()).await?;
        let mut secrets = Vec::new();
        let mut left_out = Vec::new();
        for mut binding in bindings {
            // With its name, `wrangler d1` takes the database by it.
            let is_own = |id: &Json| database.as_ref().is_some_and(|database| *id == *database.uuid);
            if binding["name"] == USER_DB && (is_own(&binding["id"]) || is_own(&binding["database_id"])) {
                binding["database_name"] = id.resource_name().into();
            }
            match add_binding(&mut config, &binding) {
                Ok(()) => {}
                Err(Unsupported::Secret(name)) => secrets.push(name),
                Err(other) => left_out.push(other.to_string()),
            }
        }
        let config = toml::to_string(&config).context("a wrangler file is TOML")?;
        Ok(format!("{}{config}", self.head(id, settings.is_some(), &secrets, &left_out)))
    }

    /// The bindings that `create` would give a script.
    async fn planned_bindings(&self, id: &UserId, manifest: &Manifest) -> Result<Vec<Json>> {
        let namespaces = self.cloudflare.kv_namespaces().await?;
        let ids = storage::find(&self.cloudflare, id, &manifest.storage, None, &namespaces).await?;
        // No file has a secret's text.
        let further = manifest.bindings(|_| Some(String::new()))?;
        let all = ids.bindings().into_iter().chain(further);
        all.map(|bound| serde_json::to_value(bound).context("a binding is JSON")).collect()
    }

    /// What stands before the configuration.
    fn head(&self, id: &UserId, is_there: bool, secrets: &[String], left_out: &[String]) -> String {
        let mut head = format!(
            "# The Worker of {id}, with that customer's own storage, as `cargo platform customer config {id}` found it. Deploy it with\n\
             #   npx wrangler deploy -c <this file> --dispatch-namespace {}\n",
            self.namespace
        );
        let mut line = |text: String| writeln!(head, "# {text}").expect("a string takes all");
        if !secrets.is_empty() {
            // Without a script nothing has them yet, and no file can give them.
            let which =
                if is_there { "Secrets that it has, and keeps" } else { "Secrets that it is still to be given" };
            line(format!("{which}: {}", secrets.join(", ")));
        }
        for reason in left_out {
            line(format!("Not in this file, and gone when it is deployed: {reason}"));
        }
        head.push('\n');
        head
    }
}

/// Keeps the command that builds the customer Worker, which runs in the repository.
fn keep_build(config: &mut Table, file: ConfigFile<'_>) -> Result<()> {
    let Some(Value::Table(build)) = config.get_mut("build") else {
        bail!("{} has no [build]", wrangler_file(file.repository).display());
    };
    // It is for `wrangler dev`, and would be looked for beside this file.
    build.remove("watch_dir");
    let inside = file.folder.is_some_and(|folder| folder.starts_with(file.repository));
    if !inside {
        build.insert("cwd".to_owned(), Value::String(text(file.repository)?));
    }
    Ok(())
}

impl ConfigFile<'_> {
    /// A path as the file has it.
    fn path_to(&self, path: &Path) -> Result<String> {
        let absolute = std::path::absolute(path).with_context(|| format!("where is {}?", path.display()))?;
        match self.folder {
            Some(folder) => text(&relative(folder, &absolute)),
            None => text(&absolute),
        }
    }
}

/// The way from a folder to a path, both from the root.
fn relative(folder: &Path, path: &Path) -> PathBuf {
    let common = folder.components().zip(path.components()).take_while(|(one, other)| one == other).count();
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
    fn a_way_leads_up_and_down_again() {
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
