//! Connects to a platform: reads the dispatcher's bindings and finds the platform's own resources.

use std::collections::BTreeSet;
use std::env;

use anyhow::{Context, Result, bail};
use cloudflare_api::{Cloudflare, Resource, ResourceKind, ScriptLogs};
use serde_json::Value;
use shared::customer::UserId;

use crate::code::ScriptCode;
use crate::manifest::Manifest;

/// The customers of a platform.
#[derive(Debug)]
pub struct Customers {
    pub(super) cloudflare: Cloudflare,
    /// The dispatcher's name.
    pub(super) dispatcher: String,
    /// The dispatch namespace.
    pub(super) namespace: String,
    /// The id of the KV namespace with the customers' records, if the dispatcher has a binding `CUSTOMERS`.
    pub(super) records: Option<String>,
    /// The prefix of the scripts' names.
    pub(super) prefix: String,
    /// The platform's Workers and the resources that they are bound to.
    pub(super) platform_resources: BTreeSet<Resource>,
    /// Looks up the text of a secret by its name.
    pub(super) secret: fn(&str) -> Option<String>,
}

/// The specification of a customer to create or to deploy to.
#[derive(Clone, Copy, Debug)]
pub struct CustomerSpec<'s> {
    /// The customer's user id.
    pub id: &'s UserId,
    /// The customer's manifest.
    pub manifest: &'s Manifest,
    /// The script's code.
    pub code: &'s ScriptCode,
}

impl Customers {
    /// Connects to the platform of a dispatcher. The dispatcher's bindings name the dispatch namespace, the KV
    /// namespace with the records, and the prefix of scripts' names.
    pub async fn connect(cloudflare: Cloudflare, dispatcher: &str) -> Result<Self> {
        let settings = cloudflare.worker_settings(dispatcher).await?.with_context(|| {
            format!(
                "there is no Worker {dispatcher} in this account: deploy the dispatcher first (`npx wrangler deploy`), or set its name with --dispatcher"
            )
        })?;
        let bindings = settings["bindings"].as_array().map(Vec::as_slice).unwrap_or_default();
        let bound = |name: &str, kind: &str, member: &str| {
            let binding = bindings.iter().find(|binding| binding["name"] == name && binding["type"] == kind)?;
            Some(binding[member].as_str()?.to_owned())
        };
        let Some(namespace) = bound("DISPATCHER", "dispatch_namespace", "namespace") else {
            bail!("the Worker {dispatcher} is not a dispatcher: no dispatch namespace is bound to it as DISPATCHER");
        };
        let records = bound("CUSTOMERS", "kv_namespace", "namespace_id");
        let prefix = bound("SCRIPT_PREFIX", "plain_text", "text").unwrap_or_default();
        // An empty variable counts as unset, because a secret is never empty.
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

    /// Reads what customers' Workers log, of one customer or of all. Only the local platform has this.
    pub async fn logs(&self, id: Option<&UserId>, follow: bool) -> Result<ScriptLogs> {
        let script = id.map(|id| self.script_name(id));
        Ok(self.cloudflare.script_logs(&self.namespace, script.as_deref(), follow).await?)
    }

    /// Returns the name of a customer's script.
    pub(super) fn script_name(&self, id: &UserId) -> String {
        format!("{}{id}", self.prefix)
    }

    /// Returns the customer that a script belongs to.
    pub(super) fn owner(&self, script: &str) -> Option<UserId> {
        script.strip_prefix(&self.prefix)?.parse().ok()
    }
}

/// Returns the platform's own resources: the dispatcher, the outbound Worker, and everything that they are bound to.
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
