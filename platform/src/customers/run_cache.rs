//! Caches what the customers of a run have in common: other scripts' bindings, and whether code is accepted.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use cloudflare_api::{Error, Resource};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use super::platform::{CustomerSpec, Customers};
use super::upload::{KeepBindings, ScriptSpec};
use crate::code::{CodeOwner, ScriptCode};
use crate::manifest::{Binding, Migration, NamedBinding, pending};

/// The number of scripts whose bindings are read at the same time.
const CONCURRENCY: usize = 8;

/// The cache of a run.
#[derive(Debug, Default)]
pub struct RunCache {
    scripts: OnceCell<Vec<BoundScript>>,
    /// The code that was checked.
    checked: Mutex<Vec<CheckedCode>>,
}

/// Code that was checked with these bindings and migrations, and the API's reason if it was refused.
#[derive(Debug)]
struct CheckedCode {
    code: ScriptCode,
    bindings: Vec<NamedBinding>,
    migrations: Vec<Migration>,
    refusal: Option<String>,
}

/// A script and the resources that it is bound to.
#[derive(Clone, Debug)]
pub struct BoundScript {
    /// The script's dispatch namespace.
    pub namespace: String,
    /// The script's name.
    pub name: String,
    /// The names of bindings and the resources that they refer to.
    pub resources: Vec<(String, Resource)>,
}

impl Customers {
    /// Returns the scripts of all dispatch namespaces of the account, because resources belong to the account. They are
    /// read once per run; [`super::ResourceClaims`] checks the run's own customers.
    pub(super) async fn bound_scripts<'c>(&self, cache: &'c RunCache) -> Result<&'c [BoundScript]> {
        Ok(cache.scripts.get_or_try_init(|| self.read_bound_scripts()).await?)
    }

    /// Reads the scripts of all dispatch namespaces, without the cache.
    pub(super) async fn read_bound_scripts(&self) -> Result<Vec<BoundScript>> {
        let mut scripts = Vec::new();
        for namespace in self.cloudflare.dispatch_namespaces().await? {
            let names = match self.cloudflare.scripts(&namespace.name).await {
                // The namespace was deleted after it was listed.
                Err(error) if error.is_not_found() => Vec::new(),
                result => result?,
            };
            scripts.extend(names.into_iter().map(|script| (namespace.name.clone(), script.script_name)));
        }
        let read = scripts.into_iter().map(async |(namespace, name)| {
            let bindings = self.script_bindings(&namespace, &name).await?;
            Ok::<_, anyhow::Error>(BoundScript {
                namespace,
                name,
                resources: cloudflare_api::resources(&bindings).collect(),
            })
        });
        stream::iter(read).buffered(CONCURRENCY).try_collect().await
    }

    /// Returns a script's bindings. A script that does not exist has none.
    async fn script_bindings(&self, namespace: &str, script: &str) -> Result<Vec<Value>> {
        match self.cloudflare.script_bindings(namespace, script).await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            result => Ok(result?),
        }
    }

    /// Refuses a customer's own code if the API refuses it. The check uploads the code as a script that receives no
    /// requests, and then deletes that script. Each distinct code is checked once per run. `bindings` are those of the
    /// manifest. The upload has only those that refer to no resource of the account, such as variables, because the
    /// code may use them when it starts. Also refuses a binding to the script's own Durable Object class if the code is
    /// the platform's Worker, which has none.
    pub(super) async fn check_code(
        &self,
        spec: CustomerSpec<'_>,
        bindings: &[NamedBinding],
        cache: &RunCache,
    ) -> Result<()> {
        let (code, migrations) = (spec.code, &spec.manifest.migrations);
        let local = bindings.iter().filter(|bound| bound.resource().is_none());
        let local: Vec<NamedBinding> = local.cloned().collect();
        if code.owner == CodeOwner::Platform {
            let class = local.iter().find(|bound| matches!(bound.binding, Binding::DurableObjectNamespace { .. }));
            return match class {
                Some(bound) => {
                    bail!("{} is a Durable Object class of the script, but the platform's Worker has none", bound.name)
                }
                None => Ok(()),
            };
        }
        let mut checked = cache.checked.lock().await;
        // Code that was accepted with one customer's variables is accepted for all customers. Code that was refused may
        // be accepted with other variables.
        let known = checked.iter().find(|known| {
            known.code == *code
                && known.migrations == *migrations
                && (known.refusal.is_none() || known.bindings == local)
        });
        let refusal = if let Some(known) = known {
            known.refusal.clone()
        } else {
            let refusal = self.try_upload(code, &local, migrations).await?;
            let (code, migrations) = (code.clone(), migrations.clone());
            checked.push(CheckedCode { code, bindings: local, migrations, refusal: refusal.clone() });
            refusal
        };
        refusal.map_or(Ok(()), |refusal| bail!("the API refuses the code: {refusal}"))
    }

    /// Uploads code for a check and deletes it again. Returns the API's reason if it refuses the code.
    async fn try_upload(
        &self,
        code: &ScriptCode,
        bindings: &[NamedBinding],
        migrations: &[Migration],
    ) -> Result<Option<String>> {
        // User ids have no underscore, so no customer's script has this name.
        let name = format!("{}code_check", self.prefix);
        let migrations = pending(migrations, None, false)?;
        let script = ScriptSpec { code, tags: &BTreeSet::new(), bindings, migrations };
        let upload = script.upload(None, KeepBindings::NotInManifest)?;
        let uploaded = self.cloudflare.upload_script(&self.namespace, &name, upload).await;
        let deleted = self.cloudflare.delete_script(&self.namespace, &name).await;
        deleted.with_context(|| format!("cannot delete the script {name}, which was uploaded to check the code"))?;
        match uploaded {
            Ok(_) => Ok(None),
            Err(refused @ Error::Refused { .. }) => Ok(Some(refused.reasons())),
            Err(error) => Err(error.into()),
        }
    }
}
