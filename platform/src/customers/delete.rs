//! Deletes a customer: its record, its script and the storage that is named after it. Other resources that the script
//! is bound to are not deleted.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use cloudflare_api::{Error, Jurisdiction};

use super::platform::Customers;
use super::report::{Component, Outcome, Step, Steps};
use super::state::CustomerState;

/// Cloudflare's error code for a bucket that is not empty.
const BUCKET_NOT_EMPTY: u64 = 10008;

/// The number of attempts to empty and delete a bucket. Requests that were running when the script was deleted may
/// still add objects.
const ATTEMPTS: u32 = 5;

impl Customers {
    /// Deletes a customer whose state was read with [`Customers::read_state`]. The record is deleted first and storage
    /// last, so that an interrupted run can be repeated.
    pub async fn delete(&self, state: &CustomerState, keep_data: bool, steps: &mut Steps) -> Result<()> {
        let id = &state.id;
        let name = id.resource_name();
        if state.is_empty() {
            bail!("there is no customer {id}: no script, no record, no storage");
        }
        if !keep_data {
            self.check_not_bound_elsewhere(id, state.storage()).await?;
        }
        if let (Some(records), Some(_)) = (&self.records, &state.record) {
            self.cloudflare.delete_kv_value(records, id.as_str()).await?;
            steps.add(Step::new(Component::Record, id.as_str(), Outcome::Deleted));
        }
        if state.settings.is_some() {
            self.cloudflare.delete_script(&self.namespace, &state.script).await?;
            steps.add(Step::new(Component::Script, &state.script, Outcome::Deleted));
        }
        let outcome = if keep_data { Outcome::Kept } else { Outcome::Deleted };
        for jurisdiction in &state.buckets {
            if !keep_data {
                self.delete_bucket(&name, *jurisdiction).await?;
            }
            steps.add(Step::new(Component::R2, &name, outcome));
        }
        if let Some(database) = &state.database {
            if !keep_data {
                self.cloudflare.delete_database(database).await?;
            }
            steps.add(Step::new(Component::D1, &name, outcome).with_id(database));
        }
        if let Some(namespace) = &state.kv {
            if !keep_data {
                self.cloudflare.delete_kv_namespace(namespace).await?;
            }
            steps.add(Step::new(Component::Kv, &name, outcome).with_id(namespace));
        }
        Ok(())
    }

    async fn delete_bucket(&self, name: &str, jurisdiction: Option<Jurisdiction>) -> Result<()> {
        for attempt in 1.. {
            self.empty_bucket(name, jurisdiction).await?;
            match self.cloudflare.delete_bucket(name, jurisdiction).await {
                Err(error) if error.has_code(&[BUCKET_NOT_EMPTY]) && attempt < ATTEMPTS => {}
                result => return Ok(result?),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Deletes all objects, up to 1000 at a time. If an object was already deleted, the API returns an error but
    /// deletes the others. The error is final only if the next list has the same keys.
    async fn empty_bucket(&self, name: &str, jurisdiction: Option<Jurisdiction>) -> Result<()> {
        let mut refused: Option<(BTreeSet<String>, Error)> = None;
        loop {
            let objects = self.cloudflare.first_objects(name, jurisdiction).await?;
            let keys: BTreeSet<String> = objects.into_iter().map(|object| object.key).collect();
            if keys.is_empty() {
                return Ok(());
            }
            if let Some((previous_keys, error)) = refused.take()
                && previous_keys == keys
            {
                return Err(error.into());
            }
            let key_list: Vec<&str> = keys.iter().map(String::as_str).collect();
            match self.cloudflare.delete_objects(name, jurisdiction, &key_list).await {
                Err(error @ Error::Refused { .. }) => refused = Some((keys, error)),
                result => result?,
            }
        }
    }
}
