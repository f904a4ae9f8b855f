//! Checks whether the resources that a manifest names exist.

use anyhow::{Context, Result, bail};
use cloudflare_api::{Error, Jurisdiction, Resource, ResourceKind};
use shared::customer::UserId;

use super::platform::Customers;
use crate::manifest::Manifest;

impl Customers {
    /// Refuses bindings to resources that do not exist. Datasets and rate limiters need not exist beforehand; pipelines
    /// and some other kinds are checked only by the upload.
    pub(super) async fn check_existence(&self, id: &UserId, manifest: &Manifest) -> Result<()> {
        let script = self.script_name(id);
        for bound in &manifest.bindings {
            let Some(resource) = bound.resource() else { continue };
            let own_bucket = Resource::bucket(&id.resource_name(), manifest.storage.jurisdiction);
            let will_be_created = manifest.storage.r2 && resource == own_bucket;
            // `check_ownership` has already looked these up.
            let was_checked =
                !bound.shared && matches!(resource.kind, ResourceKind::KvNamespace | ResourceKind::Database);
            if will_be_created || was_checked || resource.is_part_of(&self.namespace, &script) {
                continue;
            }
            match self.exists(&resource).await {
                Ok(true) => {}
                Ok(false) => bail!("{} is {resource}, which does not exist", bound.name),
                // The local platform's API does not have all kinds of resources.
                Err(error) if error.is_not_implemented() => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot look up {resource} for the binding {}", bound.name));
                }
            }
        }
        Ok(())
    }

    async fn exists(&self, resource: &Resource) -> Result<bool, Error> {
        let Resource { kind, name, within } = resource;
        let api = &self.cloudflare;
        Ok(match kind {
            ResourceKind::Bucket => {
                api.bucket(name, within.as_deref().and_then(Jurisdiction::from_name)).await?.is_some()
            }
            ResourceKind::Certificate => api.certificate_exists(name).await?,
            ResourceKind::Database => api.database(name).await?.is_some_and(|database| database.uuid == *name),
            ResourceKind::DispatchNamespace => api.dispatch_namespace(name).await?.is_some(),
            ResourceKind::DurableObjects | ResourceKind::Workflow => match within {
                Some(script) => api.script(&self.namespace, script).await?.is_some(),
                None => true,
            },
            ResourceKind::Hyperdrive => api.hyperdrive_exists(name).await?,
            ResourceKind::KvNamespace => api.kv_namespace(name).await?.is_some(),
            ResourceKind::Queue => api.queue_exists(name).await?,
            ResourceKind::StoredSecret => api.stored_secret_exists(within.as_deref().unwrap_or_default(), name).await?,
            ResourceKind::VectorizeIndex => api.vectorize_index_exists(name).await?,
            ResourceKind::Worker => api.worker_exists(name).await?,
            ResourceKind::Dataset | ResourceKind::Pipeline | ResourceKind::RateLimiter | ResourceKind::Other(_) => true,
        })
    }
}
