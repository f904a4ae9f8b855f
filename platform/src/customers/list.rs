//! Lists all customers.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use cloudflare_api::Jurisdiction;
use futures::try_join;
use serde::Serialize;
use shared::customer::UserId;

use super::ownership::customer_in_storage_name;
use super::platform::Customers;

/// A customer in the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ListedCustomer {
    /// The customer's user id.
    pub id: String,
    /// The script's name, if there is one.
    pub script: Option<String>,
    /// The script's tags.
    pub tags: Vec<String>,
    /// When the script was last changed.
    pub modified_on: Option<String>,
    /// Whether there is a record; `None` if the platform has no records.
    pub record: Option<bool>,
    /// Whether there is storage named after the customer.
    pub storage: bool,
}

impl Customers {
    /// Lists the customers that have a script, a record or storage, in the order of their ids. A customer without a
    /// script, or without a record on a platform with records, is incomplete: `create` completes it.
    pub async fn list(&self) -> Result<Vec<ListedCustomer>> {
        let (scripts, owners) = try_join!(
            async { Ok::<_, anyhow::Error>(self.cloudflare.scripts(&self.namespace).await?) },
            self.storage_owners(),
        )?;
        let mut customers: BTreeMap<UserId, ListedCustomer> = BTreeMap::new();
        for id in owners {
            customers.entry(id).or_default().storage = true;
        }
        for script in scripts {
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
        let customers = customers.into_iter().map(|(id, listed)| ListedCustomer { id: id.to_string(), ..listed });
        Ok(customers.collect())
    }

    /// Returns the customers that storage is named after. An interrupted `create` leaves such storage. Buckets in the
    /// jurisdiction `FedRAMP` are left out, because not every account has access to it.
    async fn storage_owners(&self) -> Result<BTreeSet<UserId>> {
        let (namespaces, databases, buckets, in_eu) = try_join!(
            self.cloudflare.kv_namespaces(),
            self.cloudflare.databases(),
            self.cloudflare.buckets(None),
            self.cloudflare.buckets(Some(Jurisdiction::Eu)),
        )?;
        let names = namespaces.into_iter().map(|namespace| namespace.title);
        let names = names.chain(databases.into_iter().map(|database| database.name));
        let names = names.chain(buckets.into_iter().chain(in_eu).map(|bucket| bucket.name));
        Ok(names.filter_map(|name| customer_in_storage_name(&name)).collect())
    }
}
