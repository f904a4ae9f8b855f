//! `cargo platform customer show`

use anyhow::{Result, bail};
use clap::Args;
use platform::customers::{CustomerState, Customers};
use serde_json::{Value, json};
use shared::customer::UserId;

use crate::cli::output::OutputFormat;
use crate::cli::paths::repository;
use crate::cli::specs::ManifestArguments;
use crate::cli::target::ApiTarget;

#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The customer's user id
    id: UserId,

    #[command(flatten)]
    manifests: ManifestArguments,
}

impl ShowArguments {
    pub async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Value> {
        let customers: Customers = target.customers(output).await?;
        let manifest = self.manifests.manifests(&repository()?)?.read(&self.id)?;
        let found: CustomerState = customers.inspect(&self.id, &manifest.storage).await?;
        if found.is_nothing() {
            bail!("there is no customer {}: no script, no record, no storage", self.id);
        }
        // The API does not give secrets' texts away; if it did, they would not be shown.
        let bindings = found.bindings().iter().cloned().map(|mut binding| {
            if binding["type"] == "secret_text"
                && let Some(members) = binding.as_object_mut()
            {
                members.remove("text");
            }
            binding
        });
        // A record that is not well-formed is shown as it is.
        let record =
            found.record.as_ref().map(|text| serde_json::from_str(text).unwrap_or(Value::String(text.clone())));
        Ok(json!({
            "id": found.id,
            "messages": found.messages,
            "script": found.settings.is_some().then_some(&found.script),
            "tags": found.tags(),
            "modified_on": found.modified_on,
            "bindings": bindings.collect::<Vec<_>>(),
            "record": record,
            "storage": {"kv": found.kv, "r2": found.buckets, "d1": found.database},
        }))
    }
}
