//! No customer's script is bound to another's storage, unless its manifest says that it is shared on purpose.
//!
//! What is looked at is what the manifest names, and what is called `customer-<id>` before a script is newly bound to it or it
//! is deleted. The latter is looked for in all dispatch namespaces, because such names are the account's. What is not looked
//! at: bindings that somebody gave a script by other means, which uploads keep; Workers in no dispatch namespace; and what is
//! no storage by itself, such as queues, or services, which answer as they please.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use shared::UserId;

use super::Customers;
use crate::cloudflare::Jurisdiction;
use crate::manifest::{Binding, Bound, Manifest};

/// How many scripts' bindings are read at a time.
const AT_A_TIME: usize = 8;

/// Storage that a script is bound to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stored {
    Kv(String),
    R2(String, Option<String>),
    D1(String),
}

impl fmt::Display for Stored {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kv(id) => write!(formatter, "the KV namespace {id}"),
            Self::R2(name, _) => write!(formatter, "the bucket {name}"),
            Self::D1(id) => write!(formatter, "the database {id}"),
        }
    }
}

impl Stored {
    /// A bucket.
    pub fn bucket(name: &str, jurisdiction: Option<Jurisdiction>) -> Self {
        Self::R2(name.to_owned(), jurisdiction.map(|jurisdiction| jurisdiction.name().to_owned()))
    }

    /// The storage of a binding as the API tells it.
    pub fn of(binding: &Value) -> Option<Self> {
        let text = |member: &str| Some(binding[member].as_str()?.to_owned());
        match binding["type"].as_str()? {
            "kv_namespace" => Some(Self::Kv(text("namespace_id")?)),
            "r2_bucket" => Some(Self::R2(
                text("bucket_name")?,
                // The API's name for none in particular.
                text("jurisdiction").filter(|jurisdiction| jurisdiction != "default"),
            )),
            "d1" => Some(Self::D1(text("id").or_else(|| text("database_id"))?)),
            _ => None,
        }
    }

    /// The storage of a binding as it is uploaded.
    pub fn of_bound(bound: &Bound) -> Option<Self> {
        match &bound.binding {
            Binding::KvNamespace { namespace_id, .. } => Some(Self::Kv(namespace_id.clone())),
            Binding::R2Bucket { bucket_name, jurisdiction, .. } => Some(Self::bucket(bucket_name, *jurisdiction)),
            Binding::D1 { id, .. } => Some(Self::D1(id.clone())),
            _ => None,
        }
    }
}

/// Whether a script with these settings is bound to it, by any name.
pub fn is_bound(settings: &Value, stored: &Stored) -> bool {
    let bindings = settings["bindings"].as_array().into_iter().flatten();
    bindings.filter_map(Stored::of).any(|there| there == *stored)
}

impl Customers {
    /// Refuses what belongs to another customer.
    pub(super) async fn check_ownership(&self, id: &UserId, manifest: &Manifest) -> Result<()> {
        let mut storage = Vec::new();
        for bound in manifest.bindings.iter().filter(|bound| !is_shared(&bound.binding)) {
            match &bound.binding {
                Binding::DispatchNamespace { namespace, .. } => {
                    bail!(
                        "{} is the dispatch namespace {namespace}, through which all its customers are reached: {MARK}",
                        bound.name
                    );
                }
                Binding::DurableObjectNamespace { script_name: Some(script), .. }
                    if *script != self.script_name(id) =>
                {
                    bail!("{} has the Durable Objects of another script, {script}: {MARK}", bound.name);
                }
                _ => storage.extend(Stored::of_bound(bound).map(|stored| (&*bound.name, stored))),
            }
        }
        for (binding, stored) in &storage {
            if let Some(whose) = self.named_for(stored).await?
                && whose != id.resource_name()
            {
                bail!("{binding} is {stored}, which is called {whose}, another customer's: {MARK}");
            }
        }
        if storage.is_empty() {
            return Ok(());
        }
        let namespaces = vec![self.namespace.clone()];
        if let Some((binding, stored, script)) = self.bound_to_others(id, &storage, namespaces).await? {
            bail!("{binding} is {stored}, which the script {script} is bound to as well: {MARK}");
        }
        Ok(())
    }

    /// Refuses storage that has the customer's own name, but that another script of the account is bound to: another
    /// dispatcher, for staging say, may have customers of the same ids. This is asked only where a script is newly bound to
    /// storage that was there, or storage is deleted, so that nobody else has to wait for all scripts to be read.
    pub(super) async fn check_found(&self, id: &UserId, found: impl IntoIterator<Item = Stored>) -> Result<()> {
        let storage: Vec<_> = found.into_iter().map(|stored| ("", stored)).collect();
        if storage.is_empty() {
            return Ok(());
        }
        let namespaces = self.cloudflare.dispatch_namespaces().await?.into_iter().map(|namespace| namespace.name);
        if let Some((_, stored, script)) = self.bound_to_others(id, &storage, namespaces.collect()).await? {
            bail!("{stored} is called as the storage of {id} would be, but the script {script} is bound to it");
        }
        Ok(())
    }

    /// The name of storage that a customer's id is in. Storage that is not there is an error.
    async fn named_for(&self, stored: &Stored) -> Result<Option<String>> {
        let name = match stored {
            Stored::Kv(id) if self.records.as_ref() == Some(id) => {
                bail!("{stored} has all customers' records: {MARK}");
            }
            Stored::Kv(id) => self.cloudflare.kv_namespace(id).await?.map(|namespace| namespace.title),
            Stored::D1(id) => self.cloudflare.database(id).await?.map(|database| database.name),
            Stored::R2(name, _) => Some(name.clone()),
        };
        let name = name.with_context(|| format!("there is no such storage: {stored}"))?;
        let is_customers = name.strip_prefix("customer-").is_some_and(|id| id.parse::<UserId>().is_ok());
        Ok(is_customers.then_some(name))
    }

    /// What of this storage another script of these namespaces is bound to: all of them are asked.
    async fn bound_to_others<'s>(
        &self,
        id: &UserId,
        storage: &'s [(&'s str, Stored)],
        namespaces: Vec<String>,
    ) -> Result<Option<(&'s str, &'s Stored, String)>> {
        let own = self.script_name(id);
        let mut others = Vec::new();
        for namespace in namespaces {
            let scripts = match self.cloudflare.scripts(&namespace).await {
                // It was deleted since it was listed.
                Err(error) if error.is_not_found() => Vec::new(),
                scripts => scripts?,
            };
            let names = scripts.into_iter().map(|script| script.script_name);
            let names = names.filter(|script| namespace != self.namespace || *script != own);
            others.extend(names.map(|script| (namespace.clone(), script)));
        }
        let mut bound = stream::iter(others.into_iter().map(async |(namespace, script)| {
            let bindings = self.script_bindings(&namespace, &script).await?;
            let elsewhere = namespace != self.namespace;
            let script = if elsewhere { format!("{script} in the dispatch namespace {namespace}") } else { script };
            Ok::<_, anyhow::Error>((script, bindings))
        }))
        .buffer_unordered(AT_A_TIME);
        while let Some((script, bindings)) = bound.try_next().await? {
            let theirs: Vec<Stored> = bindings.iter().filter_map(Stored::of).collect();
            if let Some((binding, stored)) = storage.iter().find(|(_, stored)| theirs.contains(stored)) {
                return Ok(Some((*binding, stored, script)));
            }
        }
        Ok(None)
    }
}

/// What the customers of one run are to have for themselves. All are checked before any is uploaded, so that two who name the
/// same storage would each find that nobody has it.
#[derive(Debug, Default)]
pub struct Claims(BTreeMap<Stored, UserId>);

impl Claims {
    /// Refuses what another customer of the run has claimed.
    pub fn claim(&mut self, id: &UserId, manifest: &Manifest) -> Result<()> {
        let alone = manifest.bindings.iter().filter(|bound| !is_shared(&bound.binding));
        let wanted: Vec<_> = alone.filter_map(|bound| Some((&bound.name, Stored::of_bound(bound)?))).collect();
        for (name, stored) in &wanted {
            if let Some(other) = self.0.get(stored).filter(|other| *other != id) {
                bail!("{name} is {stored}, which {other} is to have as well: {MARK}");
            }
        }
        self.0.extend(wanted.into_iter().map(|(_, stored)| (stored, id.clone())));
        Ok(())
    }
}

const MARK: &str = "if they are to share it, say `shared = true` in the manifest";

fn is_shared(binding: &Binding) -> bool {
    match binding {
        Binding::D1 { shared, .. }
        | Binding::DispatchNamespace { shared, .. }
        | Binding::DurableObjectNamespace { shared, .. }
        | Binding::KvNamespace { shared, .. }
        | Binding::R2Bucket { shared, .. } => *shared,
        _ => false,
    }
}
