//! Removes a customer: what has its name, and nothing else. What further bindings name is not touched.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::platform::Customers;
use super::report::{Component, Outcome, Steps};
use super::state::CustomerState;
use cloudflare_api::{Error, Jurisdiction};

/// Cloudflare's number for a bucket that still has something in it.
const BUCKET_NOT_EMPTY: u64 = 10008;

/// How often a bucket is emptied: requests that were under way when the script was deleted may put something in.
const ATTEMPTS: u32 = 5;

impl Customers {
    /// Deletes what there is of a customer, as [`Customers::look`] found it. The record goes first and storage last: a run
    /// that breaks off leaves what the next one finds.
    pub async fn delete(&self, found: &CustomerState, keep_data: bool, steps: &mut Steps) -> Result<()> {
        let id = &found.id;
        let name = id.resource_name();
        if found.is_nothing() {
            bail!("there is no customer {id}: no script, no record, no storage");
        }
        if !keep_data {
            self.check_found(id, found.storage()).await?;
        }
        if let (Some(records), Some(_)) = (&self.records, &found.record) {
            self.cloudflare.delete_kv_value(records, id.as_str()).await?;
            steps.add(Component::Record, id.as_str(), Outcome::Deleted);
        }
        if found.settings.is_some() {
            self.cloudflare.delete_script(&self.namespace, &found.script).await?;
            steps.add(Component::Script, &found.script, Outcome::Deleted);
        }
        let outcome = if keep_data { Outcome::Kept } else { Outcome::Deleted };
        for jurisdiction in &found.buckets {
            if !keep_data {
                self.delete_bucket(&name, *jurisdiction).await?;
            }
            steps.add(Component::R2, &name, outcome);
        }
        if let Some(database) = &found.database {
            if !keep_data {
                self.cloudflare.delete_database(database).await?;
            }
            steps.add_with_id(Component::D1, &name, Some(database.clone()), outcome);
        }
        if let Some(namespace) = &found.kv {
            if !keep_data {
                self.cloudflare.delete_kv_namespace(namespace).await?;
            }
            steps.add_with_id(Component::Kv, &name, Some(namespace.clone()), outcome);
        }
        Ok(())
    }

    async fn delete_bucket(&self, name: &str, jurisdiction: Option<Jurisdiction>) -> Result<()> {
        for attempt in 1.. {
            self.empty_bucket(name, jurisdiction).await?;
            match self.cloudflare.delete_bucket(name, jurisdiction).await {
                Err(error) if error.has_code(&[BUCKET_NOT_EMPTY]) && attempt < ATTEMPTS => {}
                done => return Ok(done?),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Deletes all objects, a thousand at a time. The API refuses a list with an object that is gone, but deletes the others;
    /// it is a failure only if they are all still there.
    async fn empty_bucket(&self, name: &str, jurisdiction: Option<Jurisdiction>) -> Result<()> {
        let mut refused: Option<(BTreeSet<String>, Error)> = None;
        loop {
            let objects = self.cloudflare.first_objects(name, jurisdiction).await?;
            let keys: BTreeSet<String> = objects.into_iter().map(|object| object.key).collect();
            if keys.is_empty() {
                return Ok(());
            }
            if let Some((before, error)) = refused.take()
                && before == keys
            {
                return Err(error.into());
            }
            let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
            match self.cloudflare.delete_objects(name, jurisdiction, &asked).await {
                Err(error @ Error::Refused { .. }) => refused = Some((keys, error)),
                done => done?,
            }
        }
    }
}
