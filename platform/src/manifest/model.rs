//! A parsed manifest.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow, bail};
use cloudflare_api::Jurisdiction;
use serde::Deserialize;
use serde_json::Value;
use shared::customer::{Limits, Plan};

use super::binding::{Binding, NamedBinding};
use super::limits::MAX_VARIABLE_LEN;
use super::migration::Migration;
use crate::code::ScriptSource;

/// A customer's manifest. A customer without a file has the default manifest: all three kinds of storage, and nothing
/// else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// The plan, for the customer's record.
    pub plan: Option<Plan>,
    /// The limits of a request, for the customer's record.
    pub limits: Limits,
    /// The script's tags.
    pub tags: BTreeSet<String>,
    /// The customer's own storage.
    pub storage: StorageSpec,
    /// The variables. Strings become text bindings, other values become JSON bindings.
    pub vars: BTreeMap<String, Value>,
    /// The names of secrets. The environment variable of the same name has the secret's text.
    pub secrets: BTreeSet<String>,
    /// The script's further bindings.
    pub bindings: Vec<NamedBinding>,
    /// The migrations of the script's Durable Objects, in their order.
    pub migrations: Vec<Migration>,
    /// The customer's own script, instead of the platform's.
    pub script: Option<ScriptSource>,
}

/// The storage that is created for a customer and that no other customer can use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageSpec {
    /// `USER_KV`, a KV namespace.
    pub kv: bool,
    /// `USER_R2`, a bucket.
    pub r2: bool,
    /// `USER_DB`, a database.
    pub d1: bool,
    /// The jurisdiction of the bucket and the database.
    pub jurisdiction: Option<Jurisdiction>,
}

impl Default for StorageSpec {
    fn default() -> Self {
        Self { kv: true, r2: true, d1: true, jurisdiction: None }
    }
}

impl Manifest {
    /// Returns all bindings except those to the customer's own storage. `secret` looks up a secret's text by its name.
    pub fn bindings(&self, secret: impl Fn(&str) -> Option<String>) -> Result<Vec<NamedBinding>> {
        let vars = self.vars.iter().map(|(name, value)| {
            let binding = match value {
                Value::String(text) => Binding::PlainText { text: text.clone() },
                json => Binding::Json { json: json.clone() },
            };
            Ok(NamedBinding::new(name, binding))
        });
        let secrets = self.secrets.iter().map(|name| {
            let text = secret(name).ok_or_else(|| anyhow!("the secret {name} is not set in the environment"))?;
            if text.len() > MAX_VARIABLE_LEN {
                bail!("the secret {name} has {} bytes: a secret can have at most {MAX_VARIABLE_LEN}", text.len());
            }
            Ok(NamedBinding::new(name, Binding::SecretText { text }))
        });
        vars.chain(secrets).chain(self.bindings.iter().cloned().map(Ok)).collect()
    }
}
