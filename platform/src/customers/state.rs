//! Reads the current state of a customer.

use anyhow::Result;
use cloudflare_api::{D1Database, Jurisdiction, KvNamespace, Resource, ResourceKind};
use futures::try_join;
use serde_json::Value;
use shared::customer::UserId;

use super::platform::Customers;
use super::storage::{find_buckets, find_by_title};
use crate::manifest::StorageSpec;

/// The current state of a customer: everything that is named after it.
#[derive(Clone, Debug)]
pub struct CustomerState {
    /// The customer's user id.
    pub id: UserId,
    /// The script's name, whether the script exists or not.
    pub script: String,
    /// The script's settings, including its bindings.
    pub settings: Option<Value>,
    /// The API's messages about the script. On the local platform they list the unsupported bindings.
    pub messages: Vec<String>,
    /// When the script was last changed.
    pub modified_on: Option<String>,
    /// The text of the record.
    pub record: Option<String>,
    /// The KV namespace's id.
    pub kv: Option<String>,
    /// The jurisdictions of the buckets with the customer's name. `None` is a bucket without a jurisdiction.
    pub buckets: Vec<Option<Jurisdiction>>,
    /// The database's id.
    pub database: Option<String>,
}

impl CustomerState {
    /// Whether there is no script, no record and no storage.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let has_storage = self.kv.is_some() || !self.buckets.is_empty() || self.database.is_some();
        self.settings.is_none() && self.record.is_none() && !has_storage
    }

    /// Returns the customer's storage as resources.
    pub(super) fn storage(&self) -> impl Iterator<Item = Resource> {
        let name = self.id.resource_name();
        let buckets = self.buckets.iter().map(move |jurisdiction| Resource::bucket(&name, *jurisdiction));
        let kv = self.kv.iter().map(|id| Resource::new(ResourceKind::KvNamespace, id));
        let database = self.database.iter().map(|id| Resource::new(ResourceKind::Database, id));
        kv.chain(database).chain(buckets)
    }

    /// Returns the script's tags.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        self.settings.as_ref().map(tags).unwrap_or_default()
    }

    /// Returns the script's bindings.
    #[must_use]
    pub fn bindings(&self) -> &[Value] {
        let bindings = self.settings.as_ref().and_then(|settings| settings["bindings"].as_array());
        bindings.map(Vec::as_slice).unwrap_or_default()
    }
}

/// Returns the tags in a script's settings.
pub fn tags(settings: &Value) -> Vec<String> {
    let tags = settings["tags"].as_array().into_iter().flatten();
    tags.filter_map(|tag| Some(tag.as_str()?.to_owned())).collect()
}

impl Customers {
    /// Reads the state of a customer. Buckets are also looked up in the manifest's jurisdiction.
    pub async fn read_state(&self, id: &UserId, manifest: &StorageSpec) -> Result<CustomerState> {
        let name = id.resource_name();
        let script = self.script_name(id);
        let (settings, description, record, namespaces, database) = try_join!(
            async { Ok(self.cloudflare.script_settings_with_messages(&self.namespace, &script).await?) },
            async { Ok(self.cloudflare.script(&self.namespace, &script).await?) },
            self.read_record(id),
            async { Ok::<Vec<KvNamespace>, anyhow::Error>(self.cloudflare.kv_namespaces().await?) },
            async { Ok::<Option<D1Database>, anyhow::Error>(self.cloudflare.database_named(&name).await?) },
        )?;
        let (settings, messages) = settings.unzip();
        let buckets = find_buckets(&self.cloudflare, &name, settings.as_ref(), manifest).await?;
        Ok(CustomerState {
            id: id.clone(),
            modified_on: description.and_then(|description| Some(description["modified_on"].as_str()?.to_owned())),
            script,
            settings,
            messages: messages.unwrap_or_default(),
            record,
            kv: find_by_title(&namespaces, &name).map(|namespace| namespace.id),
            buckets,
            database: database.map(|database| database.uuid),
        })
    }
}
