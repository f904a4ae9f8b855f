//! Reads and writes customers' records, which the dispatcher reads. KV has no atomic update: if two runs change a
//! record at the same time, one change may be lost.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use shared::customer::{CustomerRecord, UserId};

use super::platform::Customers;
use super::report::{Component, Outcome, Step, Steps};
use crate::manifest::Manifest;

impl Customers {
    /// Reads the text of a customer's record. Returns `None` if there is none or the platform has no records.
    pub(super) async fn read_record(&self, id: &UserId) -> Result<Option<String>> {
        match &self.records {
            Some(records) => Ok(self.cloudflare.kv_value(records, id.as_str()).await?),
            None => Ok(None),
        }
    }

    /// Updates the record with the plan and limits of the manifest. The rest stays as it is: a suspended customer stays
    /// suspended, and a plan that was set by other means stays if the manifest has none.
    pub(super) async fn write_record(
        &self,
        id: &UserId,
        manifest: &Manifest,
        steps: &mut Steps,
        dry_run: bool,
    ) -> Result<()> {
        if self.records.is_none() {
            let note = format!("{} has no binding CUSTOMERS", self.dispatcher);
            steps.add(Step::new(Component::Record, id.as_str(), Outcome::Unchanged).with_note(note));
            return Ok(());
        }
        let in_manifest =
            CustomerRecord { plan: manifest.plan.clone(), limits: manifest.limits, ..CustomerRecord::default() };
        let before = self.read_record(id).await?.map(|text| parse(id, &text)).transpose()?;
        let after = match &before {
            Some(record) => in_manifest.or(record.clone()),
            None => in_manifest,
        };
        let outcome = match before {
            Some(before) if before == after => Outcome::Unchanged,
            Some(_) if dry_run => Outcome::WouldBeUpdated,
            Some(_) => Outcome::Updated,
            None if dry_run => Outcome::WouldBeCreated,
            None => Outcome::Created,
        };
        if !dry_run && outcome != Outcome::Unchanged {
            self.put_record(id, &after).await?;
        }
        steps.add(Step::new(Component::Record, id.as_str(), outcome));
        Ok(())
    }

    /// Suspends or resumes a customer. The dispatcher refuses all requests of suspended customers. A change takes
    /// effect within about two minutes.
    pub async fn suspend(&self, id: &UserId, suspended: bool, steps: &mut Steps) -> Result<()> {
        self.require_records()?;
        let text = self.read_record(id).await?.with_context(|| format!("the customer {id} has no record"))?;
        let before = parse(id, &text)?;
        let after = CustomerRecord { suspended: Some(suspended), ..before.clone() };
        if before == after {
            steps.add(Step::new(Component::Record, id.as_str(), Outcome::Unchanged));
            return Ok(());
        }
        self.put_record(id, &after).await?;
        steps.add(Step::new(Component::Record, id.as_str(), Outcome::Updated));
        Ok(())
    }

    /// Returns the id of the KV namespace with the records, or an error if the platform has none.
    pub(super) fn require_records(&self) -> Result<&str> {
        match &self.records {
            Some(records) => Ok(records),
            None => bail!(
                "{} has no customers' records: bind a KV namespace to it as CUSTOMERS (see its wrangler.toml) and deploy it",
                self.dispatcher
            ),
        }
    }

    async fn put_record(&self, id: &UserId, record: &CustomerRecord) -> Result<()> {
        let text = serde_json::to_string(record).context("cannot write the record as JSON")?;
        Ok(self.cloudflare.set_kv_value(self.require_records()?, id.as_str(), &text).await?)
    }
}

/// Parses a record. A malformed record is an error, so that it is never overwritten.
fn parse(id: &UserId, text: &str) -> Result<CustomerRecord> {
    CustomerRecord::parse::<Value>(text)
        .map_err(|_| anyhow!("the record of {id} is malformed and was not changed: correct it by hand: {text}"))
}
