//! Uploads new code and bindings to customers' scripts.

use anyhow::{Context, Result, bail};
use cloudflare_api::KvNamespace;
use serde_json::Value;
use shared::customer::UserId;

use super::platform::{CustomerSpec, Customers};
use super::report::{Component, Outcome, Step, Steps};
use super::run_cache::RunCache;
use super::upload::{KeepBindings, ScriptSpec};
use super::{state, storage};
use crate::code::CodeOwner;
use crate::manifest::{Manifest, NamedBinding, pending};

/// The customers to deploy to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// These customers, whatever code they have.
    Named(Vec<UserId>),
    /// All customers whose script has the platform's code or whose manifest names a script.
    All {
        /// Restricts the deployment to scripts with this tag.
        tag: Option<String>,
    },
}

/// The state that all customers of a deployment share.
#[derive(Debug)]
pub struct DeployRun {
    namespaces: Vec<KvNamespace>,
    /// Whether the customers were named. Then a script that cannot be replaced is an error; otherwise it is skipped.
    is_named: bool,
    keep: KeepBindings,
    /// Whether migrations may delete classes of Durable Objects with their data.
    delete_data: bool,
    cache: RunCache,
}

/// What a deployment may remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removals {
    /// Removes bindings and tags that a manifest does not name, except secrets.
    pub exact: bool,
    /// Lets migrations delete classes of Durable Objects with their data.
    pub delete_data: bool,
}

impl Customers {
    /// Starts a deployment and returns its customers.
    pub async fn start_deploy(&self, targets: Targets, removals: Removals) -> Result<(Vec<UserId>, DeployRun)> {
        let Removals { exact, delete_data } = removals;
        let (is_named, ids) = match targets {
            Targets::Named(ids) => (true, ids),
            Targets::All { tag } => {
                let scripts = self.cloudflare.scripts(&self.namespace).await?;
                let tagged = scripts.iter().filter(|script| tag.as_ref().is_none_or(|tag| script.tags.contains(tag)));
                (false, tagged.filter_map(|script| self.owner(&script.script_name)).collect())
            }
        };
        // Listed once for all customers.
        let namespaces = if ids.is_empty() { Vec::new() } else { self.cloudflare.kv_namespaces().await? };
        let keep = if exact { KeepBindings::SecretsOnly } else { KeepBindings::NotInManifest };
        Ok((ids, DeployRun { namespaces, is_named, keep, delete_data, cache: RunCache::default() }))
    }

    /// Uploads the code and the bindings of the manifest, and updates the record.
    pub async fn deploy(&self, spec: CustomerSpec<'_>, run: &DeployRun, steps: &mut Steps) -> Result<()> {
        let CustomerSpec { id, manifest, code } = spec;
        let name = self.script_name(id);
        let settings = self.cloudflare.script_settings(&self.namespace, &name).await?;
        let settings = settings.with_context(|| format!("there is no script {name}: create the customer first"))?;
        if code.owner == CodeOwner::Platform {
            let reason = match CodeOwner::from_tags(&state::tags(&settings)) {
                Some(CodeOwner::Customer) => Some(
                    "its code is the customer's own: pass it with --script, or name it under [script] in the manifest",
                ),
                // The script was uploaded by other means, such as wrangler, so the owner of its code is unknown.
                None if !run.is_named => Some("its code was uploaded by other means: name the customer to replace it"),
                _ => None,
            };
            match reason {
                Some(reason) if run.is_named => bail!("the script {name} was not changed: {reason}"),
                Some(reason) => {
                    steps.add(Step::new(Component::Script, &name, Outcome::Unchanged).with_note(reason));
                    return Ok(());
                }
                None => {}
            }
        }
        let further = self.without_unchanged_secrets(manifest, &settings).bindings(self.secret)?;
        self.check_ownership(id, manifest, &run.cache).await?;
        let ids =
            storage::existing_ids(&self.cloudflare, id, &manifest.storage, Some(&settings), &run.namespaces).await?;
        let own = ids.bindings();
        // The storage that the script is already bound to was checked when it was bound.
        let new = own.iter().filter_map(NamedBinding::resource).filter(|resource| !resource.is_bound_in(&settings));
        self.check_not_bound_elsewhere(id, new).await?;

        let bindings = [own, further].concat();
        let migrations = self.pending_migrations(manifest, &name, run.delete_data).await?;
        let script = ScriptSpec { code, tags: &manifest.tags, bindings: &bindings, migrations };
        let upload = script.upload(Some(&settings), run.keep)?;
        let messages = self.cloudflare.upload_script(&self.namespace, &name, upload).await?;
        steps.add(Step::new(Component::Script, &name, Outcome::Updated).with_messages(&messages));
        self.write_record(id, manifest, steps, false).await
    }

    /// Returns the migrations that an existing script has not had.
    async fn pending_migrations(&self, manifest: &Manifest, script: &str, delete_data: bool) -> Result<Option<Value>> {
        if manifest.migrations.is_empty() {
            return Ok(None);
        }
        let description = self.cloudflare.script(&self.namespace, script).await?.unwrap_or_default();
        let tag = description["script"]["migration_tag"].as_str().filter(|tag| !tag.is_empty());
        pending(&manifest.migrations, tag, delete_data)
    }

    /// Returns the manifest without the secrets that the script already has and that are not set in the environment.
    /// The script keeps these.
    fn without_unchanged_secrets(&self, manifest: &Manifest, settings: &Value) -> Manifest {
        let bindings = settings["bindings"].as_array().map(Vec::as_slice).unwrap_or_default();
        let has = |name: &str| bindings.iter().any(|bound| bound["name"] == name && bound["type"] == "secret_text");
        let mut manifest = manifest.clone();
        manifest.secrets.retain(|name| (self.secret)(name).is_some() || !has(name));
        manifest
    }
}
