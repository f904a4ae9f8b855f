//! No customer's script is bound to what another has, unless its manifest says that it is shared on purpose, nor to what is
//! the platform's own, whatever its manifest says.
//!
//! What is looked at is what the manifest names, and what is called `customer-<id>` before a script is newly bound to it or it
//! is deleted. Other scripts are looked at in all dispatch namespaces, because such names are the account's. Bindings that
//! somebody gave a script by other means stay when it is deployed: [`super::audit`] finds them. Workers in no dispatch
//! namespace are not looked at, but for the platform's own.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use shared::customer::UserId;

use super::platform::Customers;
use super::run_cache::{BoundScript, RunCache};
use crate::manifest::Manifest;
use cloudflare_api::{Resource, ResourceKind};

impl Customers {
    /// Refuses what belongs to the platform or to another customer.
    pub(super) async fn check_ownership(&self, id: &UserId, manifest: &Manifest, run: &RunCache) -> Result<()> {
        let script = self.script_name(id);
        let mut claimed = Vec::new();
        for bound in &manifest.bindings {
            let (name, Some(resource)) = (&bound.name, bound.resource()) else { continue };
            if self.platform_resources.contains(&resource) {
                bail!("{name} is {resource}, which is the platform's own: no customer can have it");
            }
            if bound.shared || resource.is_part_of(&self.namespace, &script) {
                continue;
            }
            if resource.script().is_some() {
                bail!("{name} is {resource}, which is another script: {MARK}");
            }
            if resource.kind == ResourceKind::DispatchNamespace {
                bail!("{name} is {resource}, through which all its customers are reached: {MARK}");
            }
            claimed.push((name, resource));
        }
        for (binding, resource) in &claimed {
            if let Some(other) = self.named_for(binding, resource).await?.filter(|other| other != id) {
                bail!("{binding} is {resource}, which is called {}, another customer's: {MARK}", other.resource_name());
            }
        }
        if claimed.is_empty() {
            return Ok(());
        }
        let scripts = self.bound_scripts(run).await?;
        for (binding, resource) in &claimed {
            if let Some(other) = self.others(id, scripts).find(|other| other.has(resource)) {
                let other = self.described(other);
                bail!("{binding} is {resource}, which {other} is bound to as well: {MARK}");
            }
        }
        Ok(())
    }

    /// Refuses storage that has the customer's own name, but that another script of the account is bound to: another
    /// dispatcher, for staging say, may have customers of the same ids. This is asked only where a script is newly bound to
    /// storage that was there, or storage is deleted, and then of all scripts as they are now.
    pub(super) async fn check_found(&self, id: &UserId, found: impl IntoIterator<Item = Resource>) -> Result<()> {
        let storage: Vec<Resource> = found.into_iter().collect();
        if storage.is_empty() {
            return Ok(());
        }
        let scripts = self.read_bound_scripts().await?;
        for resource in &storage {
            if let Some(other) = self.others(id, &scripts).find(|other| other.has(resource)) {
                let other = self.described(other);
                bail!("{resource} is called as the storage of {id} would be, but {other} is bound to it");
            }
        }
        Ok(())
    }

    /// The customer whose id is in the name of storage. Storage that does not exist is an error.
    async fn named_for(&self, binding: &str, resource: &Resource) -> Result<Option<UserId>> {
        let name = match resource.kind {
            ResourceKind::KvNamespace => self.cloudflare.kv_namespace(&resource.name).await?.map(|found| found.title),
            // The API finds a database by its name as well, by which it cannot be bound.
            ResourceKind::Database => {
                let found = self.cloudflare.database(&resource.name).await?;
                found.filter(|found| found.uuid == resource.name).map(|found| found.name)
            }
            ResourceKind::Bucket => Some(resource.name.clone()),
            _ => return Ok(None),
        };
        let name = name.with_context(|| format!("{binding} is {resource}, which does not exist"))?;
        Ok(customer_named_in(&name))
    }

    /// All scripts but the customer's own.
    fn others<'s>(&self, id: &UserId, scripts: &'s [BoundScript]) -> impl Iterator<Item = &'s BoundScript> {
        let own = self.script_name(id);
        scripts.iter().filter(move |script| script.namespace != self.namespace || script.name != own)
    }

    /// A script's name, and where it is if that is another namespace.
    pub(super) fn described(&self, script: &BoundScript) -> String {
        let BoundScript { namespace, name, .. } = script;
        if *namespace == self.namespace {
            format!("the script {name}")
        } else {
            format!("the script {name} in the dispatch namespace {namespace}")
        }
    }
}

impl BoundScript {
    /// Whether the script is bound to it.
    pub fn has(&self, resource: &Resource) -> bool {
        self.resources.iter().any(|(_, there)| there == resource)
    }
}

/// The customer that storage of this name would belong to.
pub fn customer_named_in(name: &str) -> Option<UserId> {
    name.strip_prefix("customer-")?.parse().ok()
}

/// What the customers of one run are to have, marked as shared or not. All are checked before any is uploaded, so that two who name the
/// same thing would each find that nobody has it.
#[derive(Debug, Default)]
pub struct ResourceClaims(BTreeMap<Resource, UserId>);

impl ResourceClaims {
    /// Refuses what another customer of the run has claimed.
    pub fn claim(&mut self, id: &UserId, manifest: &Manifest) -> Result<()> {
        let named = manifest.bindings.iter().filter_map(|bound| Some((bound, bound.resource()?)));
        let named: Vec<_> = named.collect();
        for (bound, resource) in named.iter().filter(|(bound, _)| !bound.shared) {
            if let Some(other) = self.0.get(resource).filter(|other| *other != id) {
                bail!("{} is {resource}, which {other} is to have as well: {MARK}", bound.name);
            }
        }
        for (_, resource) in named {
            self.0.entry(resource).or_insert_with(|| id.clone());
        }
        Ok(())
    }
}

const MARK: &str = "if they are to share it, say `shared = true` in the manifest, and else name another";
