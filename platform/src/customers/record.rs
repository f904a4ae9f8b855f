//! Customers' records, as the dispatcher reads them. A record is read, changed and written back: KV has no other way, so two
//! changes of one customer's record at once may lose one of them.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use shared::customer::{CustomerRecord, UserId};

use super::platform::Customers;
use super::report::{Component, Outcome, Steps};
use crate::manifest::Manifest;

impl Customers {
    /// A customer's record, as it is; none where the dispatcher asks for none.
    pub(super) async fn read_record(&self, id: &UserId) -> Result<Option<String>> {
        match &self.records {
            Some(records) => Ok(self.cloudflare.kv_value(records, id.as_str()).await?),
            None => Ok(None),
        }
    }

    /// Puts what the manifest says into the record, and leaves the rest of it as it is: who is suspended stays so, and a plan
    /// that was given by other means goes on where the manifest names none.
    pub(super) async fn write_record(
        &self,
        id: &UserId,
        manifest: &Manifest,
        steps: &mut Steps,
        dry_run: bool,
    ) -> Result<()> {
        if self.records.is_none() {
            let note = format!("{} has no CUSTOMERS bound", self.dispatcher);
            steps.add_with_note(Component::Record, id.as_str(), Outcome::Unchanged, note);
            return Ok(());
        }
        let said = CustomerRecord { plan: manifest.plan.clone(), limits: manifest.limits, ..CustomerRecord::default() };
        let before = self.read_record(id).await?.map(|text| parse(id, &text)).transpose()?;
        let after = match &before {
            Some(record) => said.or(record.clone()),
            None => said,
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
        steps.add(Component::Record, id.as_str(), outcome);
        Ok(())
    }

    /// Has all of a customer's requests refused, or no longer. The dispatcher may take two minutes to notice.
    pub async fn suspend(&self, id: &UserId, suspended: bool, steps: &mut Steps) -> Result<()> {
        self.need_records()?;
        let text = self.read_record(id).await?.with_context(|| format!("there is no record of a customer {id}"))?;
        let before = parse(id, &text)?;
        let after = CustomerRecord { suspended: Some(suspended), ..before.clone() };
        if before == after {
            steps.add(Component::Record, id.as_str(), Outcome::Unchanged);
            return Ok(());
        }
        self.put_record(id, &after).await?;
        steps.add(Component::Record, id.as_str(), Outcome::Updated);
        Ok(())
    }

    /// The KV namespace with the records.
    pub(super) fn need_records(&self) -> Result<&str> {
        match &self.records {
            Some(records) => Ok(records),
            None => bail!(
                "{} keeps no customers' records: bind a KV namespace to it as CUSTOMERS (its wrangler.toml says how), and deploy it",
                self.dispatcher
            ),
        }
    }

    async fn put_record(&self, id: &UserId, record: &CustomerRecord) -> Result<()> {
        let text = serde_json::to_string(record).context("a record is JSON")?;
        Ok(self.cloudflare.set_kv_value(self.need_records()?, id.as_str(), &text).await?)
    }
}

/// Parses a record. One that the dispatcher cannot read is not written over: somebody meant something by it.
fn parse(id: &UserId, text: &str) -> Result<CustomerRecord> {
    CustomerRecord::parse::<Value>(text).map_err(|_| {
        anyhow!("the record of {id} is not well-formed, so that it is not changed: put it right by hand: {text}")
    })
}
