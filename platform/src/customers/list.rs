//! All customers.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use shared::UserId;

use super::Customers;

/// A customer, as the list has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Who it is.
    pub id: String,
    /// The script's name, if there is one.
    pub script: Option<String>,
    /// The script's tags.
    pub tags: Vec<String>,
    /// When the script was changed last.
    pub modified_on: Option<String>,
    /// Whether there is a record; `None` where none are kept.
    pub record: Option<bool>,
}

impl Customers {
    /// All who have a script or a record, by their ids. Who has only one of them where both are needed is not finished: `create`
    /// does the rest.
    pub async fn list(&self) -> Result<Vec<Listed>> {
        let mut customers: BTreeMap<UserId, Listed> = BTreeMap::new();
        for script in self.cloudflare.scripts(&self.namespace).await? {
            let Some(id) = self.owner(&script.script_name) else { continue };
            let listed = customers.entry(id).or_default();
            listed.script = Some(script.script_name);
            listed.tags = script.tags;
            listed.modified_on = script.modified_on;
        }
        if let Some(records) = &self.records {
            for key in self.cloudflare.kv_keys(records).await? {
                let Ok(id) = key.name.parse::<UserId>() else { continue };
                customers.entry(id).or_default().record = Some(true);
            }
            for listed in customers.values_mut() {
                listed.record.get_or_insert(false);
            }
        }
        let listed = customers.into_iter().map(|(id, listed)| Listed { id: id.to_string(), ..listed });
        Ok(listed.collect())
    }
}
