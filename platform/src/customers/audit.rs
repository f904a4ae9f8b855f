//! Finds bindings of customers' scripts to resources of others, however the scripts were uploaded.

use std::collections::BTreeMap;

use anyhow::Result;
use cloudflare_api::{Resource, ResourceKind};
use serde::Serialize;
use shared::customer::UserId;

use super::ownership::customer_in_storage_name;
use super::platform::Customers;
use super::run_cache::BoundScript;
use crate::manifest::{Manifest, NamedBinding};

/// The result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// The number of scripts in the platform's dispatch namespace.
    pub scripts: usize,
    /// The scripts' bindings to resources of others.
    pub crossings: Vec<Crossing>,
}

impl Audit {
    /// The number of crossings that no manifest marks as shared.
    #[must_use]
    pub fn unmarked(&self) -> usize {
        self.crossings.iter().filter(|crossing| !crossing.shared).count()
    }
}

/// A script's binding to a resource that others use or own as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Crossing {
    /// The name of the script in the platform's dispatch namespace.
    pub script: String,
    /// The name of the binding.
    pub binding: String,
    /// The resource, as messages name it.
    pub resource: String,
    /// The others that use or own the resource, as messages name them.
    pub others: Vec<String>,
    /// Whether the customer's manifest marks the binding as shared. This is `false` for the platform's own resources.
    pub shared: bool,
}

impl Customers {
    /// Reads the bindings of all scripts and returns the crossings. `read_manifest` reads a customer's manifest.
    pub async fn audit(&self, read_manifest: impl Fn(&UserId) -> Result<Manifest>) -> Result<Audit> {
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
            // The script of another dispatcher has no manifest.
            let manifest = id.as_ref().map(&read_manifest).transpose()?.unwrap_or_default();
            for (binding, resource) in &script.resources {
                if resource.is_part_of(&script.namespace, &script.name) {
                    continue;
                }
                let is_platform_resource = self.platform_resources.contains(resource);
                let others = if is_platform_resource {
                    vec!["the platform".to_owned()]
                } else {
                    let owner = owners.get(resource).cloned().or_else(|| bucket_owner(resource));
                    let owner = owner.filter(|owner| Some(owner) != id.as_ref());
                    let others = users[resource].iter().filter(|other| !std::ptr::eq(**other, script));
                    let others = others.map(|other| self.describe_script(other));
                    owner
                        .map(|owner| format!("the customer {owner}"))
                        .into_iter()
                        .chain(inherent_users(resource))
                        .chain(others)
                        .collect()
                };
                if !others.is_empty() {
                    audit.crossings.push(Crossing {
                        script: script.name.clone(),
                        binding: binding.clone(),
                        resource: resource.to_string(),
                        others,
                        shared: !is_platform_resource
                            && manifest.bindings.iter().any(|bound| marks_as_shared(bound, binding, resource)),
                    });
                }
            }
        }
        Ok(audit)
    }

    /// Returns the owners of KV namespaces and databases according to their names. Bindings refer to them by id.
    async fn owners_by_id(&self) -> Result<BTreeMap<Resource, UserId>> {
        let namespaces = self.cloudflare.kv_namespaces().await?.into_iter();
        let namespaces = namespaces.map(|kv| (Resource::new(ResourceKind::KvNamespace, kv.id), kv.title));
        let databases = self.cloudflare.databases().await?.into_iter();
        let databases = databases.map(|database| (Resource::new(ResourceKind::Database, database.uuid), database.name));
        let named = namespaces.chain(databases);
        Ok(named.filter_map(|(resource, name)| Some((resource, customer_in_storage_name(&name)?))).collect())
    }
}

/// Returns the owner of a bucket according to its name.
fn bucket_owner(resource: &Resource) -> Option<UserId> {
    (resource.kind == ResourceKind::Bucket).then(|| customer_in_storage_name(&resource.name)).flatten()
}

/// Describes who uses a resource without a binding to it: the scripts in a dispatch namespace, or the script that a
/// Durable Object class or Workflow belongs to.
fn inherent_users(resource: &Resource) -> Option<String> {
    match (resource.kind, resource.script()) {
        (ResourceKind::DispatchNamespace, _) => Some("all scripts in it".to_owned()),
        (_, Some(script)) => Some(format!("the script {script}")),
        // A binding to the script's own class would have a class name.
        (ResourceKind::DurableObjects, None) => Some("another script".to_owned()),
        _ => None,
    }
}

/// Whether a binding in a manifest marks a script's binding as shared.
fn marks_as_shared(bound: &NamedBinding, binding: &str, resource: &Resource) -> bool {
    bound.shared && bound.name == binding && bound.resource().as_ref() == Some(resource)
}
