//! What is asked once in a run, whatever the number of its customers.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use super::platform::Customers;
use super::upload::{KeepBindings, ScriptSpec};
use crate::code::{CodeOwner, ScriptCode};
use crate::manifest::{Binding, NamedBinding};
use cloudflare_api::Error;
use cloudflare_api::Resource;

/// How many scripts' bindings are read at a time.
const AT_A_TIME: usize = 8;

/// What was asked in a run.
#[derive(Debug, Default)]
pub struct RunCache {
    scripts: OnceCell<Vec<BoundScript>>,
    /// Code that was tried.
    tried: Mutex<Vec<Tried>>,
}

/// Code that was tried with some bindings, and why it was refused if it was.
#[derive(Debug)]
struct Tried {
    code: ScriptCode,
    bindings: Vec<NamedBinding>,
    refusal: Option<String>,
}

/// A script, and the resources that it is bound to.
#[derive(Clone, Debug)]
pub struct BoundScript {
    /// The dispatch namespace that it is in.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// The names of bindings, and what they name.
    pub resources: Vec<(String, Resource)>,
}

impl Customers {
    /// The scripts of all dispatch namespaces of the account, because names are the account's. They are read once a run: what
    /// its own customers are to have is known from their manifests ([`super::ResourceClaims`]).
    pub(super) async fn bound_scripts<'r>(&self, run: &'r RunCache) -> Result<&'r [BoundScript]> {
        Ok(run.scripts.get_or_try_init(|| self.read_bound_scripts()).await?)
    }

    /// The same, read now.
    pub(super) async fn read_bound_scripts(&self) -> Result<Vec<BoundScript>> {
        let mut scripts = Vec::new();
        for namespace in self.cloudflare.dispatch_namespaces().await? {
            let names = match self.cloudflare.scripts(&namespace.name).await {
                // It was deleted since it was listed.
                Err(error) if error.is_not_found() => Vec::new(),
                names => names?,
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
        stream::iter(read).buffered(AT_A_TIME).try_collect().await
    }

    /// What a script is bound to; of a script that is not there, nothing.
    async fn script_bindings(&self, namespace: &str, script: &str) -> Result<Vec<Value>> {
        match self.cloudflare.script_bindings(namespace, script).await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            bindings => Ok(bindings?),
        }
    }

    /// Refuses code of a customer's own that the API refuses. It is uploaded as a script that no request reaches, and deleted
    /// again: once a run for each distinct code. `bindings` are those of the manifest; the code is tried with those that name
    /// nothing of the account, such as variables, which it may use as it starts.
    pub(super) async fn check_code(&self, code: &ScriptCode, bindings: &[NamedBinding], run: &RunCache) -> Result<()> {
        let own = bindings.iter().filter(|bound| bound.resource().is_none());
        let own: Vec<NamedBinding> = own.cloned().collect();
        if code.whose == CodeOwner::Platform {
            let class = own.iter().find(|bound| matches!(bound.binding, Binding::DurableObjectNamespace { .. }));
            return match class {
                Some(bound) => bail!("{} is a class of its own, and the platform's Worker has none", bound.name),
                None => Ok(()),
            };
        }
        let mut tried = run.tried.lock().await;
        // What starts with one customer's variables is good code; what does not may start with another's.
        let known =
            tried.iter().find(|tried| tried.code == *code && (tried.refusal.is_none() || tried.bindings == own));
        let refusal = if let Some(tried) = known {
            tried.refusal.clone()
        } else {
            let refusal = self.try_code(code, &own).await?;
            tried.push(Tried { code: code.clone(), bindings: own, refusal: refusal.clone() });
            refusal
        };
        refusal.map_or(Ok(()), |refusal| bail!("the code is refused: {refusal}"))
    }

    /// Why the API refuses some code, if it does.
    async fn try_code(&self, code: &ScriptCode, bindings: &[NamedBinding]) -> Result<Option<String>> {
        // No user id has this character, so no customer's script has such a name.
        let name = format!("{}code_check", self.prefix);
        let upload = ScriptSpec { code, tags: &BTreeSet::new(), bindings }.upload(None, KeepBindings::Unnamed)?;
        let uploaded = self.cloudflare.upload_script(&self.namespace, &name, upload).await;
        let deleted = self.cloudflare.delete_script(&self.namespace, &name).await;
        deleted.with_context(|| format!("cannot delete the script {name}, which the code was tried with"))?;
        match uploaded {
            Ok(_) => Ok(None),
            Err(refused @ Error::Refused { .. }) => Ok(Some(refused.reasons())),
            Err(error) => Err(error.into()),
        }
    }
}
