//! Where customers' scripts reach what is not theirs alone, however they were uploaded.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use shared::customer::UserId;

use super::ownership::customer_named_in;
use super::platform::Customers;
use super::run_cache::BoundScript;
use crate::manifest::{Manifest, NamedBinding};
use cloudflare_api::{Resource, ResourceKind};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// How many scripts of the platform's customers were read.
    pub scripts: usize,
    /// Their bindings to what others have as well.
    pub crossings: Vec<Crossing>,
}

impl Audit {
    /// How many crossings no manifest marks as shared.
    #[must_use]
    pub fn unmarked(&self) -> usize {
        self.crossings.iter().filter(|crossing| !crossing.shared).count()
    }
}

/// A script's binding to what is not its customer's alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Crossing {
    /// The script, in the platform's dispatch namespace.
    pub script: String,
    /// What the script calls it.
    pub binding: String,
    /// What it is, in words.
    pub resource: String,
    /// Who has it as well, in words.
    pub others: Vec<String>,
    /// Whether the customer's manifest marks it as shared. What is the platform's own cannot be.
    pub shared: bool,
}

impl Customers {
    /// Reads the bindings of all scripts, and reports each crossing. `manifest` gives a customer's manifest.
    pub async fn audit(&self, manifest: impl Fn(&UserId) -> Result<Manifest>) -> Result<Audit> {
        let scripts = self.read_bound_scripts().await?;
        let owners = self.owners_by_id().await?;
        let mut users: BTreeMap<&Resource, Vec<&BoundScript>> = BTreeMap::new();
        for script in &scripts {
            for (_, resource) in &script.resources {
                users.entry(resource).or_default().push(script);
            }
        }
        let mut audit = Audit::default();
        for script in scripts.iter().filter(|script| script.namespace == self.namespace) {
            audit.scripts += 1;
            let id = self.owner(&script.name);
            // A script of another dispatcher's has no manifest here.
            let manifest = id.as_ref().map(&manifest).transpose()?.unwrap_or_default();
            for (binding, resource) in &script.resources {
                if resource.is_part_of(&script.namespace, &script.name) {
                    continue;
                }
                let is_platforms = self.platform_resources.contains(resource);
                let others = if is_platforms {
                    vec!["the platform".to_owned()]
                } else {
                    let named_in = owners.get(resource).cloned().or_else(|| bucket_owner(resource));
                    let named_in = named_in.filter(|owner| Some(owner) != id.as_ref());
                    let others = users[resource].iter().filter(|other| !std::ptr::eq(**other, script));
                    let others = others.map(|other| self.described(other));
                    named_in
                        .map(|owner| format!("the customer {owner}"))
                        .into_iter()
                        .chain(whole(resource))
                        .chain(others)
                        .collect()
                };
                if !others.is_empty() {
                    audit.crossings.push(Crossing {
                        script: script.name.clone(),
                        binding: binding.clone(),
                        resource: resource.to_string(),
                        others,
                        shared: !is_platforms && manifest.bindings.iter().any(|bound| marks(bound, binding, resource)),
                    });
                }
            }
        }
        Ok(audit)
    }

    /// Whose storage it is by its name, where bindings have an id instead.
    async fn owners_by_id(&self) -> Result<BTreeMap<Resource, UserId>> {
        let namespaces = self.cloudflare.kv_namespaces().await?.into_iter();
        let namespaces = namespaces.map(|found| (Resource::new(ResourceKind::KvNamespace, found.id), found.title));
        let databases = self.cloudflare.databases().await?.into_iter();
        let databases = databases.map(|found| (Resource::new(ResourceKind::Database, found.uuid), found.name));
        let named = namespaces.chain(databases);
        Ok(named.filter_map(|(resource, name)| Some((resource, customer_named_in(&name)?))).collect())
    }
}

/// Whose bucket it is by its name.
fn bucket_owner(resource: &Resource) -> Option<UserId> {
    (resource.kind == ResourceKind::Bucket).then(|| customer_named_in(&resource.name)).flatten()
}

/// Whose the resource is as a whole, if it is not only that of the scripts which are bound to it.
fn whole(resource: &Resource) -> Option<String> {
    match (resource.kind, resource.script()) {
        (ResourceKind::DispatchNamespace, _) => Some("all scripts in it".to_owned()),
        (_, Some(script)) => Some(format!("the script {script}")),
        // By an id alone, it is not the class of the script itself.
        (ResourceKind::DurableObjects, None) => Some("another script".to_owned()),
        _ => None,
    }
}

/// Whether a manifest's binding marks a script's binding as shared.
fn marks(bound: &NamedBinding, binding: &str, resource: &Resource) -> bool {
    bound.shared && bound.name == binding && bound.resource().as_ref() == Some(resource)
}
