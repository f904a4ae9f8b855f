//! Keeps customers' scripts from being bound to resources of others. A resource of another customer is refused unless
//! the manifest marks it as shared. A resource of the platform is always refused.
//!
//! Two kinds of resources are checked: those that the manifest names, and storage called `customer-<id>`. The latter is
//! checked before a script is newly bound to it and before it is deleted. The scripts of all dispatch namespaces are
//! checked, because resources belong to the account. Workers outside of dispatch namespaces are not checked, except the
//! platform's own. A deployment keeps bindings that were added by other means. `Customers::audit` finds those that
//! refer to resources of others.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use cloudflare_api::{Resource, ResourceKind};
use shared::customer::UserId;

use super::platform::Customers;
use super::run_cache::{BoundScript, RunCache};
use crate::manifest::Manifest;

impl Customers {
    /// Refuses bindings to resources of the platform or of another customer.
    pub(super) async fn check_ownership(&self, id: &UserId, manifest: &Manifest, cache: &RunCache) -> Result<()> {
        let script = self.script_name(id);
        let mut unshared = Vec::new();
        for bound in &manifest.bindings {
            let (name, Some(resource)) = (&bound.name, bound.resource()) else { continue };
            if self.platform_resources.contains(&resource) {
                bail!("{name} is {resource}, which is the platform's own: no customer can have it");
            }
            if bound.shared || resource.is_part_of(&self.namespace, &script) {
                continue;
            }
            if resource.script().is_some() {
                bail!("{name} is {resource}, which belongs to another script: {HOW_TO_SHARE}");
            }
            if resource.kind == ResourceKind::DispatchNamespace {
                bail!("{name} is {resource}, which gives access to all scripts in it: {HOW_TO_SHARE}");
            }
            unshared.push((name, resource));
        }
        for (binding, resource) in &unshared {
            if let Some(other) = self.customer_of_storage(binding, resource).await?.filter(|other| other != id) {
                bail!(
                    "{binding} is {resource}, which is called {} and belongs to another customer: {HOW_TO_SHARE}",
                    other.resource_name()
                );
            }
        }
        if unshared.is_empty() {
            return Ok(());
        }
        let scripts = self.bound_scripts(cache).await?;
        for (binding, resource) in &unshared {
            if let Some(other) = self.other_scripts(id, scripts).find(|other| other.is_bound_to(resource)) {
                let other = self.describe_script(other);
                bail!("{binding} is {resource}, which {other} is bound to as well: {HOW_TO_SHARE}");
            }
        }
        Ok(())
    }

    /// Refuses storage that is named after the customer but that another script of the account is bound to. Another
    /// dispatcher, for example for staging, may have customers with the same ids. This is called only before a script
    /// is newly bound to existing storage and before storage is deleted, and reads the current bindings of all scripts.
    pub(super) async fn check_not_bound_elsewhere(
        &self,
        id: &UserId,
        storage: impl IntoIterator<Item = Resource>,
    ) -> Result<()> {
        let storage: Vec<Resource> = storage.into_iter().collect();
        if storage.is_empty() {
            return Ok(());
        }
        let scripts = self.read_bound_scripts().await?;
        for resource in &storage {
            if let Some(other) = self.other_scripts(id, &scripts).find(|other| other.is_bound_to(resource)) {
                let other = self.describe_script(other);
                bail!("{resource} has the name of the storage of {id}, but {other} is bound to it");
            }
        }
        Ok(())
    }

    /// Returns the customer whose id is in the name of storage. Storage that does not exist is an error.
    async fn customer_of_storage(&self, binding: &str, resource: &Resource) -> Result<Option<UserId>> {
        let name = match resource.kind {
            ResourceKind::KvNamespace => {
                self.cloudflare.kv_namespace(&resource.name).await?.map(|namespace| namespace.title)
            }
            // The API also finds a database by its name, but a binding needs the id.
            ResourceKind::Database => {
                let database = self.cloudflare.database(&resource.name).await?;
                database.filter(|database| database.uuid == resource.name).map(|database| database.name)
            }
            ResourceKind::Bucket => Some(resource.name.clone()),
            _ => return Ok(None),
        };
        let name = name.with_context(|| format!("{binding} is {resource}, which does not exist"))?;
        Ok(customer_in_storage_name(&name))
    }

    /// Returns all scripts except the customer's own.
    fn other_scripts<'s>(&self, id: &UserId, scripts: &'s [BoundScript]) -> impl Iterator<Item = &'s BoundScript> {
        let own = self.script_name(id);
        scripts.iter().filter(move |script| script.namespace != self.namespace || script.name != own)
    }

    /// Describes a script for messages. The dispatch namespace is included if it is not the platform's.
    pub(super) fn describe_script(&self, script: &BoundScript) -> String {
        let BoundScript { namespace, name, .. } = script;
        if *namespace == self.namespace {
            format!("the script {name}")
        } else {
            format!("the script {name} in the dispatch namespace {namespace}")
        }
    }
}

impl BoundScript {
    /// Whether the script is bound to a resource.
    pub fn is_bound_to(&self, resource: &Resource) -> bool {
        self.resources.iter().any(|(_, bound)| bound == resource)
    }
}

/// Returns the customer that storage with this name belongs to.
pub fn customer_in_storage_name(name: &str) -> Option<UserId> {
    name.strip_prefix("customer-")?.parse().ok()
}

/// The resources that the manifests of a run name, marked as shared or not. `check_ownership` reads the bindings of
/// scripts once per run, before the run changes them, so it alone would let two customers of the run name the same
/// resource.
#[derive(Debug, Default)]
pub struct ResourceClaims(BTreeMap<Resource, UserId>);

impl ResourceClaims {
    /// Adds the resources of a customer's manifest. Refuses an unshared resource that another customer of the run has
    /// as well.
    pub fn claim(&mut self, id: &UserId, manifest: &Manifest) -> Result<()> {
        let named = manifest.bindings.iter().filter_map(|bound| Some((bound, bound.resource()?)));
        let named: Vec<_> = named.collect();
        for (bound, resource) in named.iter().filter(|(bound, _)| !bound.shared) {
            if let Some(other) = self.0.get(resource).filter(|other| *other != id) {
                bail!("{} is {resource}, which the manifest of {other} names as well: {HOW_TO_SHARE}", bound.name);
            }
        }
        for (_, resource) in named {
            self.0.entry(resource).or_insert_with(|| id.clone());
        }
        Ok(())
    }
}

const HOW_TO_SHARE: &str = "to share it, set `shared = true` in the manifest; otherwise name another resource";
