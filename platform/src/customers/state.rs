//! What there is of a customer.

use anyhow::Result;
use futures::try_join;
use serde_json::Value;
use shared::customer::UserId;

use super::platform::Customers;
use super::storage::{find_buckets, find_by_title};
use crate::manifest::StorageSpec;
use cloudflare_api::{Database, Jurisdiction, KvNamespace};
use cloudflare_api::{Resource, ResourceKind};

/// What there is of a customer, by the names that its things have.
#[derive(Clone, Debug)]
pub struct CustomerState {
    /// Who it is.
    pub id: UserId,
    /// The script's name, whether it is there or not.
    pub script: String,
    /// The script's settings, its bindings among them.
    pub settings: Option<Value>,
    /// What the API says about the script: locally, which bindings the runtime lacks.
    pub messages: Vec<String>,
    /// When the script was changed last.
    pub modified_on: Option<String>,
    /// The record, as it is.
    pub record: Option<String>,
    /// The KV namespace's id.
    pub kv: Option<String>,
    /// The jurisdictions in which there is a bucket, `None` for none in particular.
    pub buckets: Vec<Option<Jurisdiction>>,
    /// The database's id.
    pub database: Option<String>,
}

impl CustomerState {
    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let storage = self.kv.is_some() || !self.buckets.is_empty() || self.database.is_some();
        self.settings.is_none() && self.record.is_none() && !storage
    }

    /// The storage.
    pub(super) fn storage(&self) -> impl Iterator<Item = Resource> {
        let name = self.id.resource_name();
        let buckets = self.buckets.iter().map(move |jurisdiction| Resource::bucket(&name, *jurisdiction));
        let kv = self.kv.iter().map(|id| Resource::new(ResourceKind::KvNamespace, id));
        let database = self.database.iter().map(|id| Resource::new(ResourceKind::Database, id));
        kv.chain(database).chain(buckets)
    }

    /// The script's tags.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        self.settings.as_ref().map(tags).unwrap_or_default()
    }

    /// The script's bindings.
    #[must_use]
    pub fn bindings(&self) -> &[Value] {
        let bindings = self.settings.as_ref().and_then(|settings| settings["bindings"].as_array());
        bindings.map(Vec::as_slice).unwrap_or_default()
    }
}

/// The tags among a script's settings.
pub fn tags(settings: &Value) -> Vec<String> {
    let tags = settings["tags"].as_array().into_iter().flatten();
    tags.filter_map(|tag| Some(tag.as_str()?.to_owned())).collect()
}

impl Customers {
    /// Looks at all that may be there of a customer.
    pub async fn inspect(&self, id: &UserId, manifest: &StorageSpec) -> Result<CustomerState> {
        let name = id.resource_name();
        let script = self.script_name(id);
        let (settings, about, record, namespaces, database) = try_join!(
            async { Ok(self.cloudflare.script_settings_with_messages(&self.namespace, &script).await?) },
            async { Ok(self.cloudflare.script(&self.namespace, &script).await?) },
            self.read_record(id),
            async { Ok::<Vec<KvNamespace>, anyhow::Error>(self.cloudflare.kv_namespaces().await?) },
            async { Ok::<Option<Database>, anyhow::Error>(self.cloudflare.database_named(&name).await?) },
        )?;
        let (settings, messages) = settings.unzip();
        let buckets = find_buckets(&self.cloudflare, &name, settings.as_ref(), manifest).await?;
        Ok(CustomerState {
            id: id.clone(),
            modified_on: about.and_then(|about| Some(about["modified_on"].as_str()?.to_owned())),
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
