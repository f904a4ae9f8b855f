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
        let manifest = self.manifests.location(&repository()?)?.read(&self.id)?;
        let state: CustomerState = customers.read_state(&self.id, &manifest.storage).await?;
        if state.is_empty() {
            bail!("there is no customer {}: no script, no record, no storage", self.id);
        }
        // The API does not return the texts of secrets. This makes sure that they are never shown.
        let bindings = state.bindings().iter().cloned().map(|mut binding| {
            if binding["type"] == "secret_text"
                && let Some(members) = binding.as_object_mut()
            {
                members.remove("text");
            }
            binding
        });
        // A malformed record is shown as text.
        let record =
            state.record.as_ref().map(|text| serde_json::from_str(text).unwrap_or(Value::String(text.clone())));
        Ok(json!({
            "id": state.id,
            "messages": state.messages,
            "script": state.settings.is_some().then_some(&state.script),
            "tags": state.tags(),
            "modified_on": state.modified_on,
            "bindings": bindings.collect::<Vec<_>>(),
            "record": record,
            "storage": {"kv": state.kv, "r2": state.buckets, "d1": state.database},
        }))
    }
}
