//! Puts new code and bindings in the place of customers' scripts.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use shared::customer::UserId;

use super::platform::{CustomerSpec, Customers};
use super::report::{Component, Outcome, Steps};
use super::run_cache::RunCache;
use super::upload::{KeepBindings, ScriptSpec};
use super::{state, storage};
use crate::code::CodeOwner;
use crate::manifest::{Manifest, NamedBinding};
use cloudflare_api::KvNamespace;

/// Which customers are deployed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// These, whatever code they have.
    Named(Vec<UserId>),
    /// All whose script has the platform's code or a script in its manifest; with this tag, if there is one.
    All {
        /// The tag.
        tag: Option<String>,
    },
}

/// What holds for all customers of one run.
#[derive(Debug)]
pub struct DeployRun {
    namespaces: Vec<KvNamespace>,
    /// Whether the customers were named, so that one who cannot be deployed to is a failure.
    named: bool,
    keep: KeepBindings,
    run: RunCache,
}

impl Customers {
    /// Begins a run: which customers it is for, and what they have in common. With `exact`, the scripts keep secrets, but no
    /// other bindings and tags that their manifests do not name.
    pub async fn deployment(&self, targets: Targets, exact: bool) -> Result<(Vec<UserId>, DeployRun)> {
        let (named, ids) = match targets {
            Targets::Named(ids) => (true, ids),
            Targets::All { tag } => {
                let scripts = self.cloudflare.scripts(&self.namespace).await?;
                let tagged = scripts.iter().filter(|script| tag.as_ref().is_none_or(|tag| script.tags.contains(tag)));
                (false, tagged.filter_map(|script| self.owner(&script.script_name)).collect())
            }
        };
        // Once, and not for each customer.
        let namespaces = if ids.is_empty() { Vec::new() } else { self.cloudflare.kv_namespaces().await? };
        let keep = if exact { KeepBindings::Secrets } else { KeepBindings::Unnamed };
        Ok((ids, DeployRun { namespaces, named, keep, run: RunCache::default() }))
    }

    /// Uploads the code with the bindings of the manifest, and brings the record up to date.
    pub async fn deploy(&self, order: CustomerSpec<'_>, deployment: &DeployRun, steps: &mut Steps) -> Result<()> {
        let CustomerSpec { id, manifest, code } = order;
        let name = self.script_name(id);
        let settings = self.cloudflare.script_settings(&self.namespace, &name).await?;
        let settings = settings.with_context(|| format!("there is no script {name}: create the customer first"))?;
        if code.whose == CodeOwner::Platform {
            let reason = match CodeOwner::of_tags(&state::tags(&settings)) {
                Some(CodeOwner::Customer) => Some(
                    "its code is the customer's own: give it with --script, or name it under [script] in the manifest",
                ),
                // Somebody else uploaded it, with wrangler for instance, and nobody can tell what it is.
                None if !deployment.named => {
                    Some("its code was uploaded by other means: name the customer to replace it")
                }
                _ => None,
            };
            match reason {
                Some(reason) if deployment.named => bail!("{name} is left as it is: {reason}"),
                Some(reason) => {
                    steps.add_with_note(Component::Script, &name, Outcome::Unchanged, reason);
                    return Ok(());
                }
                None => {}
            }
        }
        let further = self.with_secrets_to_set(manifest, &settings).bindings(self.secret)?;
        self.check_ownership(id, manifest, &deployment.run).await?;
        let ids =
            storage::find(&self.cloudflare, id, &manifest.storage, Some(&settings), &deployment.namespaces).await?;
        let own = ids.bindings();
        // What the script has already was looked at when it got it.
        let new = own.iter().filter_map(NamedBinding::resource).filter(|resource| !resource.is_bound_in(&settings));
        self.check_found(id, new).await?;

        let bindings = [own, further].concat();
        let script = ScriptSpec { code, tags: &manifest.tags, bindings: &bindings };
        let upload = script.upload(Some(&settings), deployment.keep)?;
        let notes = self.cloudflare.upload_script(&self.namespace, &name, upload).await?;
        steps.add_with_notes(Component::Script, &name, Outcome::Updated, &notes);
        self.write_record(id, manifest, steps, false).await
    }

    /// The manifest without secrets that the script has already and whose texts are not said anew: they stay as they are.
    fn with_secrets_to_set(&self, manifest: &Manifest, settings: &Value) -> Manifest {
        let bindings = settings["bindings"].as_array().map(Vec::as_slice).unwrap_or_default();
        let has = |name: &str| bindings.iter().any(|there| there["name"] == name && there["type"] == "secret_text");
        let mut manifest = manifest.clone();
        manifest.secrets.retain(|name| (self.secret)(name).is_some() || !has(name));
        manifest
    }
}
