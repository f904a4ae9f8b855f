//! Makes a customer, or what is missing of one.

use anyhow::Result;
use serde_json::Value;
use shared::customer::UserId;

use super::platform::{CustomerSpec, Customers};
use super::report::{Component, Outcome, Steps};
use super::run_cache::RunCache;
use super::state::CustomerState;
use super::storage::{self, Creation, StorageIds};
use super::upload::{KeepBindings, ScriptSpec};
use crate::manifest::{Manifest, NamedBinding, StorageSpec};
use cloudflare_api::Database;
use cloudflare_api::{Resource, ResourceKind};

impl Customers {
    /// Makes what a customer is to have and does not have yet. A script that is there is not replaced: `deploy` does that.
    pub async fn create(&self, order: CustomerSpec<'_>, run: &RunCache, steps: &mut Steps) -> Result<()> {
        let (found, further) = self.before_create(order.id, order.manifest, run).await?;
        if found.settings.is_none() {
            self.check_code(order.code, &further, run).await?;
        }

        let (ids, late) = self.make_storage(order, &found, steps).await?;
        let name = &found.script;
        match found.settings.as_ref().map(|settings| unbound(settings, &ids.bindings())) {
            Some(None) => steps.add(Component::Script, name, Outcome::AlreadyExists),
            Some(Some(binding)) => {
                steps.add_with_note(Component::Script, name, Outcome::AlreadyExists, another(&binding, order.id));
            }
            None => {
                self.check_found(order.id, late).await?;
                let bindings = [ids.bindings(), further].concat();
                let script = ScriptSpec { code: order.code, tags: &order.manifest.tags, bindings: &bindings };
                let upload = script.upload(None, KeepBindings::Unnamed)?;
                let notes = self.cloudflare.upload_script(&self.namespace, name, upload).await?;
                steps.add_with_notes(Component::Script, name, Outcome::Created, &notes);
            }
        }
        // The last step: with it, where records are kept, the customer is one.
        self.write_record(order.id, order.manifest, steps, false).await
    }

    /// Says what `create` would do, and changes nothing.
    pub async fn create_dry_run(
        &self,
        id: &UserId,
        manifest: &Manifest,
        run: &RunCache,
        steps: &mut Steps,
    ) -> Result<()> {
        let (found, _) = self.before_create(id, manifest, run).await?;

        let StorageSpec { kv, r2, d1, jurisdiction } = manifest.storage;
        let name = id.resource_name();
        let outcome = |there: bool| if there { Outcome::AlreadyExists } else { Outcome::WouldBeCreated };
        if kv {
            steps.add_with_id(Component::Kv, &name, found.kv.clone(), outcome(found.kv.is_some()));
        }
        if r2 {
            steps.add(Component::R2, &name, outcome(found.buckets.contains(&jurisdiction)));
        }
        if d1 {
            steps.add_with_id(Component::D1, &name, found.database.clone(), outcome(found.database.is_some()));
        }
        // What is to be made has no id yet, so that no script can be bound to it.
        let to_be = |id: Option<String>| id.unwrap_or_default();
        let ids = StorageIds {
            kv: kv.then(|| to_be(found.kv.clone())),
            bucket: r2.then_some((name, jurisdiction)),
            database: d1.then(|| to_be(found.database.clone())),
        };
        match found.settings.as_ref().and_then(|settings| unbound(settings, &ids.bindings())) {
            Some(binding) => {
                steps.add_with_note(Component::Script, &found.script, Outcome::AlreadyExists, another(&binding, id));
            }
            None if found.settings.is_none() && manifest.script.is_some() => {
                let note = "its code is not checked: a dry run uploads nothing";
                steps.add_with_note(Component::Script, &found.script, Outcome::WouldBeCreated, note);
            }
            None => steps.add(Component::Script, &found.script, outcome(found.settings.is_some())),
        }
        self.write_record(id, manifest, steps, true).await
    }

    /// What can be refused is refused before anything is made. Answers what there is, and what else a new script is bound to.
    async fn before_create(
        &self,
        id: &UserId,
        manifest: &Manifest,
        run: &RunCache,
    ) -> Result<(CustomerState, Vec<NamedBinding>)> {
        self.check_ownership(id, manifest, run).await?;
        let found = self.inspect(id, &manifest.storage).await?;
        let StorageSpec { kv, r2, d1, jurisdiction } = manifest.storage;
        if r2 {
            storage::check_buckets(&id.resource_name(), &found.buckets, jurisdiction)?;
        }
        if let (true, Some(database), Some(_)) = (d1, &found.database, jurisdiction) {
            let database = Database { uuid: database.clone(), name: id.resource_name(), jurisdiction: None };
            storage::check_jurisdiction(&self.cloudflare, &database, jurisdiction).await?;
        }
        if found.settings.is_some() {
            // The script stays as it is, so that the texts of its secrets are not needed.
            return Ok((found, Vec::new()));
        }
        let further = manifest.bindings(self.secret)?;
        self.check_existence(id, manifest).await?;
        let wanted = |resource: &Resource| match resource.kind {
            ResourceKind::KvNamespace => kv,
            ResourceKind::Bucket => r2,
            _ => d1,
        };
        self.check_found(id, found.storage().filter(wanted)).await?;
        Ok((found, further))
    }

    /// Makes the storage that is not there. Answers all of it, and what somebody else made since it was looked for.
    async fn make_storage(
        &self,
        order: CustomerSpec<'_>,
        found: &CustomerState,
        steps: &mut Steps,
    ) -> Result<(StorageIds, Vec<Resource>)> {
        let StorageSpec { kv, r2, d1, jurisdiction } = order.manifest.storage;
        let name = order.id.resource_name();
        let mut ids = StorageIds::default();
        let mut there = Vec::new();
        if kv {
            let (namespace, made) = storage::kv(&self.cloudflare, order.id).await?;
            steps.add_with_id(Component::Kv, &name, Some(namespace.id.clone()), made.into());
            there.extend(
                (made == Creation::AlreadyExists).then(|| Resource::new(ResourceKind::KvNamespace, &namespace.id)),
            );
            ids.kv = Some(namespace.id);
        }
        if r2 {
            let made = storage::bucket(&self.cloudflare, order.id, jurisdiction).await?;
            steps.add(Component::R2, &name, made.into());
            there.extend((made == Creation::AlreadyExists).then(|| Resource::bucket(&name, jurisdiction)));
            ids.bucket = Some((name.clone(), jurisdiction));
        }
        if d1 {
            let (database, made) = storage::database(&self.cloudflare, order.id, jurisdiction).await?;
            steps.add_with_id(Component::D1, &name, Some(database.uuid.clone()), made.into());
            there.extend(
                (made == Creation::AlreadyExists).then(|| Resource::new(ResourceKind::Database, &database.uuid)),
            );
            ids.database = Some(database.uuid);
        }
        there.retain(|resource| found.storage().all(|looked_at| looked_at != *resource));
        Ok((ids, there))
    }
}

impl From<Creation> for Outcome {
    fn from(made: Creation) -> Self {
        match made {
            Creation::Created => Self::Created,
            Creation::AlreadyExists => Self::AlreadyExists,
        }
    }
}

fn another(binding: &str, id: &UserId) -> String {
    format!("it has another {binding} or none: `customer deploy {id}` changes that")
}

/// The first of the bindings that the script does not have as it should. The API may say more of one than was uploaded, and
/// calls a database's id by either name.
fn unbound(settings: &Value, wanted: &[NamedBinding]) -> Option<String> {
    let has = |wanted: &NamedBinding| {
        let there = settings["bindings"].as_array().into_iter().flatten().find(|there| there["name"] == wanted.name);
        let there = there.and_then(Resource::named_by);
        there.is_some() && there == wanted.resource()
    };
    wanted.iter().find(|wanted| !has(wanted)).map(|wanted| wanted.name.clone())
}
