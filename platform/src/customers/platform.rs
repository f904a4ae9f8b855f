//! A platform: the dispatcher, its dispatch namespace, and what is its own.

use crate::code::ScriptCode;
use crate::manifest::Manifest;
use anyhow::{Context, Result, bail};
use cloudflare_api::Cloudflare;
use cloudflare_api::{Resource, ResourceKind};
use serde_json::Value;
use shared::customer::UserId;
use std::collections::BTreeSet;
use std::env;

/// The customers of a platform.
#[derive(Debug)]
pub struct Customers {
    pub(super) cloudflare: Cloudflare,
    /// The dispatcher's name.
    pub(super) dispatcher: String,
    /// The dispatch namespace.
    pub(super) namespace: String,
    /// The id of the KV namespace with the customers' records, if the dispatcher asks for them.
    pub(super) records: Option<String>,
    /// What the scripts' names begin with.
    pub(super) prefix: String,
    /// What is the platform's own: what its Workers are bound to, and these themselves.
    pub(super) platform_resources: BTreeSet<Resource>,
    /// The texts of secrets, by their names.
    pub(super) secret: fn(&str) -> Option<String>,
}

/// What a customer is to get.
#[derive(Clone, Copy, Debug)]
pub struct CustomerSpec<'o> {
    /// Who it is.
    pub id: &'o UserId,
    /// What the script is bound to, and what the record says.
    pub manifest: &'o Manifest,
    /// The script's code.
    pub code: &'o ScriptCode,
}

impl Customers {
    /// Asks the API what the dispatcher is bound to: which namespace has the customers' scripts, which has their records.
    pub async fn find(cloudflare: Cloudflare, dispatcher: &str) -> Result<Self> {
        let settings = cloudflare.worker_settings(dispatcher).await?.with_context(|| {
            format!(
                "there is no Worker {dispatcher} in this account: deploy the dispatcher first (`npx wrangler deploy`), or name it (--dispatcher)"
            )
        })?;
        let bindings = settings["bindings"].as_array().map(Vec::as_slice).unwrap_or_default();
        let bound = |name: &str, kind: &str, member: &str| {
            let binding = bindings.iter().find(|binding| binding["name"] == name && binding["type"] == kind)?;
            Some(binding[member].as_str()?.to_owned())
        };
        let Some(namespace) = bound("DISPATCHER", "dispatch_namespace", "namespace") else {
            bail!("the Worker {dispatcher} is no dispatcher: no dispatch namespace is bound to it as DISPATCHER");
        };
        let records = bound("CUSTOMERS", "kv_namespace", "namespace_id");
        let prefix = bound("SCRIPT_PREFIX", "plain_text", "text").unwrap_or_default();
        // One that is empty is not set: wrangler and shells leave such behind, and no secret has no text.
        let secret = |name: &str| env::var(name).ok().filter(|text| !text.is_empty());
        let platform_resources = platform_resources(&cloudflare, dispatcher, bindings).await?;
        Ok(Self {
            cloudflare,
            dispatcher: dispatcher.to_owned(),
            namespace,
            records,
            prefix,
            platform_resources,
            secret,
        })
    }

    /// The name of a customer's script.
    pub(super) fn script_name(&self, id: &UserId) -> String {
        format!("{}{id}", self.prefix)
    }

    /// Whose script this is.
    pub(super) fn owner(&self, script: &str) -> Option<UserId> {
        script.strip_prefix(&self.prefix)?.parse().ok()
    }
}

/// What is the platform's own: the dispatcher, the outbound Worker, and what they are bound to.
async fn platform_resources(
    cloudflare: &Cloudflare,
    dispatcher: &str,
    bindings: &[Value],
) -> Result<BTreeSet<Resource>> {
    let mut all: BTreeSet<Resource> = cloudflare_api::resources(bindings).map(|(_, resource)| resource).collect();
    let outbound = bindings.iter().find_map(|binding| binding["outbound"]["worker"]["service"].as_str());
    for worker in [dispatcher, outbound.unwrap_or("outbound")] {
        all.insert(Resource::new(ResourceKind::Worker, worker));
    }
    if let Some(outbound) = outbound {
        let settings = cloudflare.worker_settings(outbound).await?.unwrap_or_default();
        let bindings = settings["bindings"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.extend(cloudflare_api::resources(bindings).map(|(_, resource)| resource));
    }
    Ok(all)
}
