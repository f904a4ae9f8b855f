//! Makes a customer, or what is missing of one.

use anyhow::Result;
use serde_json::Value;
use shared::UserId;

use super::ownership::Stored;
use super::report::{Outcome, Steps, What};
use super::storage::{self, Ids, Made};
use super::upload::{Keep, Script};
use super::{Customers, Order};
use crate::manifest::{Bound, Manifest, Storage};

impl Customers {
    /// Makes what a customer is to have and does not have yet. A script that is there is not replaced: `deploy` does that.
    pub async fn create(&self, order: Order<'_>, steps: &mut Steps) -> Result<()> {
        let further = order.manifest.bindings(self.secret)?;
        self.check_ownership(order.id, order.manifest).await?;

        let (ids, was_there) = self.make_storage(order, steps).await?;
        let name = self.script_name(order.id);
        let settings = self.cloudflare.script_settings(&self.namespace, &name).await?;
        match settings.map(|settings| unbound(&settings, &ids.bindings())) {
            Some(None) => steps.add(What::Script, &name, Outcome::WasThere),
            Some(Some(binding)) => {
                let note = format!("it has another {binding} or none: `customer deploy {}` changes that", order.id);
                steps.add_with_note(What::Script, &name, Outcome::WasThere, note);
            }
            None => {
                if was_there {
                    self.check_found(order.id, ids.bindings().iter().filter_map(Stored::of_bound)).await?;
                }
                let bindings = [ids.bindings(), further].concat();
                let script = Script { code: order.code, tags: &order.manifest.tags, bindings: &bindings };
                let upload = script.upload(None, Keep::Unnamed);
                let notes = self.cloudflare.upload_script(&self.namespace, &name, upload).await?;
                steps.add_with_notes(What::Script, &name, Outcome::Made, &notes);
            }
        }
        // The last step: with it, where records are kept, the customer is one.
        self.write_record(order.id, order.manifest, steps, false).await
    }

    /// Says what `create` would do, and changes nothing.
    pub async fn create_dry_run(&self, id: &UserId, manifest: &Manifest, steps: &mut Steps) -> Result<()> {
        manifest.bindings(self.secret)?;
        self.check_ownership(id, manifest).await?;

        let Storage { kv, r2, d1, jurisdiction } = manifest.storage;
        let found = self.look(id, &manifest.storage).await?;
        let name = id.resource_name();
        let outcome = |there: bool| if there { Outcome::WasThere } else { Outcome::WouldBeMade };
        if kv {
            steps.add_with_id(What::Kv, &name, found.kv.clone(), outcome(found.kv.is_some()));
        }
        if r2 {
            steps.add(What::R2, &name, outcome(found.buckets.contains(&jurisdiction)));
        }
        if d1 {
            steps.add_with_id(What::D1, &name, found.database.clone(), outcome(found.database.is_some()));
        }
        steps.add(What::Script, &found.script, outcome(found.settings.is_some()));
        self.write_record(id, manifest, steps, true).await
    }

    /// Makes the storage, and says whether some of it was there.
    async fn make_storage(&self, order: Order<'_>, steps: &mut Steps) -> Result<(Ids, bool)> {
        let Storage { kv, r2, d1, jurisdiction } = order.manifest.storage;
        let name = order.id.resource_name();
        let mut ids = Ids::default();
        let mut was_there = false;
        if kv {
            let (namespace, made) = storage::kv(&self.cloudflare, order.id).await?;
            steps.add_with_id(What::Kv, &name, Some(namespace.id.clone()), made.into());
            was_there |= made == Made::Before;
            ids.kv = Some(namespace.id);
        }
        if r2 {
            let made = storage::bucket(&self.cloudflare, order.id, jurisdiction).await?;
            steps.add(What::R2, &name, made.into());
            was_there |= made == Made::Before;
            ids.bucket = Some((name.clone(), jurisdiction));
        }
        if d1 {
            let (database, made) = storage::database(&self.cloudflare, order.id, jurisdiction).await?;
            steps.add_with_id(What::D1, &name, Some(database.uuid.clone()), made.into());
            was_there |= made == Made::Before;
            ids.database = Some(database.uuid);
        }
        Ok((ids, was_there))
    }
}

impl From<Made> for Outcome {
    fn from(made: Made) -> Self {
        match made {
            Made::Now => Self::Made,
            Made::Before => Self::WasThere,
        }
    }
}

/// The first of the bindings that the script does not have as it should. The API may say more of one than was uploaded, and
/// calls a database's id by either name.
fn unbound(settings: &Value, wanted: &[Bound]) -> Option<String> {
    let has = |wanted: &Bound| {
        let there = settings["bindings"].as_array().into_iter().flatten().find(|there| there["name"] == wanted.name);
        let there = there.and_then(Stored::of);
        there.is_some() && there == Stored::of_bound(wanted)
    };
    wanted.iter().find(|wanted| !has(wanted)).map(|wanted| wanted.name.clone())
}
