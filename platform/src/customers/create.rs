//! Creates a customer, or completes one.

use anyhow::Result;
use cloudflare_api::{D1Database, Resource, ResourceKind};
use serde_json::Value;
use shared::customer::UserId;

use super::platform::{CustomerSpec, Customers};
use super::report::{Component, Outcome, Step, Steps};
use super::run_cache::RunCache;
use super::state::CustomerState;
use super::storage::{self, Creation, StorageIds};
use super::upload::{KeepBindings, ScriptSpec};
use crate::manifest::{Manifest, NamedBinding, StorageSpec, pending};

impl Customers {
    /// Creates the missing parts of a customer. An existing script is not replaced; `deploy` does that.
    pub async fn create(&self, spec: CustomerSpec<'_>, cache: &RunCache, steps: &mut Steps) -> Result<()> {
        let (state, further) = self.check_before_create(spec.id, spec.manifest, cache).await?;
        if state.settings.is_none() {
            self.check_code(spec, &further, cache).await?;
        }

        let (ids, unexpected) = self.create_storage(spec, &state, steps).await?;
        let name = &state.script;
        match state.settings.as_ref().map(|settings| missing_binding(settings, &ids.bindings())) {
            Some(None) => steps.add(Step::new(Component::Script, name, Outcome::AlreadyExists)),
            Some(Some(binding)) => {
                let note = missing_binding_note(&binding, spec.id);
                steps.add(Step::new(Component::Script, name, Outcome::AlreadyExists).with_note(note));
            }
            None => {
                self.check_not_bound_elsewhere(spec.id, unexpected).await?;
                let bindings = [ids.bindings(), further].concat();
                let migrations = pending(&spec.manifest.migrations, None, false)?;
                let script = ScriptSpec { code: spec.code, tags: &spec.manifest.tags, bindings: &bindings, migrations };
                let upload = script.upload(None, KeepBindings::NotInManifest)?;
                let messages = self.cloudflare.upload_script(&self.namespace, name, upload).await?;
                steps.add(Step::new(Component::Script, name, Outcome::Created).with_messages(&messages));
            }
        }
        // The record is written last: it makes the dispatcher accept the customer's requests.
        self.write_record(spec.id, spec.manifest, steps, false).await
    }

    /// Adds the steps that `create` would perform, and changes nothing.
    pub async fn create_dry_run(
        &self,
        id: &UserId,
        manifest: &Manifest,
        cache: &RunCache,
        steps: &mut Steps,
    ) -> Result<()> {
        let (state, _) = self.check_before_create(id, manifest, cache).await?;

        let StorageSpec { kv, r2, d1, jurisdiction } = manifest.storage;
        let name = id.resource_name();
        let outcome = |exists: bool| if exists { Outcome::AlreadyExists } else { Outcome::WouldBeCreated };
        if kv {
            let step = Step::new(Component::Kv, &name, outcome(state.kv.is_some()));
            steps.add(Step { id: state.kv.clone(), ..step });
        }
        if r2 {
            steps.add(Step::new(Component::R2, &name, outcome(state.buckets.contains(&jurisdiction))));
        }
        if d1 {
            let step = Step::new(Component::D1, &name, outcome(state.database.is_some()));
            steps.add(Step { id: state.database.clone(), ..step });
        }
        // Storage that does not exist yet has no id. No binding equals the empty id.
        let ids = StorageIds {
            kv: kv.then(|| state.kv.clone().unwrap_or_default()),
            bucket: r2.then_some((name, jurisdiction)),
            database: d1.then(|| state.database.clone().unwrap_or_default()),
        };
        match state.settings.as_ref().and_then(|settings| missing_binding(settings, &ids.bindings())) {
            Some(binding) => {
                let note = missing_binding_note(&binding, id);
                steps.add(Step::new(Component::Script, &state.script, Outcome::AlreadyExists).with_note(note));
            }
            None if state.settings.is_none() && manifest.script.is_some() => {
                let note = "its code was not checked: a dry run uploads nothing";
                steps.add(Step::new(Component::Script, &state.script, Outcome::WouldBeCreated).with_note(note));
            }
            None => steps.add(Step::new(Component::Script, &state.script, outcome(state.settings.is_some()))),
        }
        self.write_record(id, manifest, steps, true).await
    }

    /// Checks everything that can be checked before anything is created. Returns the customer's state and, for a new
    /// script, its bindings other than those to the customer's own storage.
    async fn check_before_create(
        &self,
        id: &UserId,
        manifest: &Manifest,
        cache: &RunCache,
    ) -> Result<(CustomerState, Vec<NamedBinding>)> {
        self.check_ownership(id, manifest, cache).await?;
        let state = self.read_state(id, &manifest.storage).await?;
        let StorageSpec { kv, r2, d1, jurisdiction } = manifest.storage;
        if r2 {
            storage::check_buckets(&id.resource_name(), &state.buckets, jurisdiction)?;
        }
        if let (true, Some(database), Some(_)) = (d1, &state.database, jurisdiction) {
            let database = D1Database { uuid: database.clone(), name: id.resource_name(), jurisdiction: None };
            storage::check_jurisdiction(&self.cloudflare, &database, jurisdiction).await?;
        }
        if state.settings.is_some() {
            // The script is not uploaded, so the texts of its secrets are not needed.
            return Ok((state, Vec::new()));
        }
        let further = manifest.bindings(self.secret)?;
        self.check_existence(id, manifest).await?;
        let is_enabled = |resource: &Resource| match resource.kind {
            ResourceKind::KvNamespace => kv,
            ResourceKind::Bucket => r2,
            _ => d1,
        };
        self.check_not_bound_elsewhere(id, state.storage().filter(is_enabled)).await?;
        Ok((state, further))
    }

    /// Creates the missing storage. Returns the ids of all storage, and the resources that someone else has created
    /// since `state` was read.
    async fn create_storage(
        &self,
        spec: CustomerSpec<'_>,
        state: &CustomerState,
        steps: &mut Steps,
    ) -> Result<(StorageIds, Vec<Resource>)> {
        let StorageSpec { kv, r2, d1, jurisdiction } = spec.manifest.storage;
        let name = spec.id.resource_name();
        let mut ids = StorageIds::default();
        let mut existing = Vec::new();
        if kv {
            let (namespace, creation) = storage::find_or_create_kv(&self.cloudflare, spec.id).await?;
            steps.add(Step::new(Component::Kv, &name, creation.into()).with_id(&namespace.id));
            existing.extend(
                (creation == Creation::AlreadyExists).then(|| Resource::new(ResourceKind::KvNamespace, &namespace.id)),
            );
            ids.kv = Some(namespace.id);
        }
        if r2 {
            let creation = storage::find_or_create_bucket(&self.cloudflare, spec.id, jurisdiction).await?;
            steps.add(Step::new(Component::R2, &name, creation.into()));
            existing.extend((creation == Creation::AlreadyExists).then(|| Resource::bucket(&name, jurisdiction)));
            ids.bucket = Some((name.clone(), jurisdiction));
        }
        if d1 {
            let (database, creation) =
                storage::find_or_create_database(&self.cloudflare, spec.id, jurisdiction).await?;
            steps.add(Step::new(Component::D1, &name, creation.into()).with_id(&database.uuid));
            existing.extend(
                (creation == Creation::AlreadyExists).then(|| Resource::new(ResourceKind::Database, &database.uuid)),
            );
            ids.database = Some(database.uuid);
        }
        existing.retain(|resource| state.storage().all(|known| known != *resource));
        Ok((ids, existing))
    }
}

impl From<Creation> for Outcome {
    fn from(creation: Creation) -> Self {
        match creation {
            Creation::Created => Self::Created,
            Creation::AlreadyExists => Self::AlreadyExists,
        }
    }
}

fn missing_binding_note(binding: &str, id: &UserId) -> String {
    format!("its binding {binding} is missing or different: update it with `cargo platform customer deploy {id}`")
}

/// Returns the name of the first expected binding that the script does not have or that refers to another resource.
/// Resources are compared instead of bindings: the API may return more members than were uploaded, and has two names
/// for a database's id.
fn missing_binding(settings: &Value, expected: &[NamedBinding]) -> Option<String> {
    let has = |expected: &NamedBinding| {
        let mut bindings = settings["bindings"].as_array().into_iter().flatten();
        let actual = bindings.find(|binding| binding["name"] == expected.name).and_then(Resource::named_by);
        actual.is_some() && actual == expected.resource()
    };
    expected.iter().find(|expected| !has(expected)).map(|expected| expected.name.clone())
}
