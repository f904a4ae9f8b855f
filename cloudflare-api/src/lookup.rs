//! Checks whether resources of the account exist.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::client::Cloudflare;
use super::error::Error;

#[derive(Deserialize)]
struct ListedWorker {
    id: String,
}

#[derive(Deserialize)]
struct ListedQueue {
    queue_name: String,
}

#[derive(Deserialize)]
struct ListedSecret {
    name: String,
}

impl Cloudflare {
    /// Whether there is a Worker of this name outside of dispatch namespaces
    /// (<https://developers.cloudflare.com/api/resources/workers/subresources/scripts/>).
    pub async fn worker_exists(&self, name: &str) -> Result<bool, Error> {
        let workers: Vec<ListedWorker> = self.request(Method::GET, &["workers", "scripts"]).list(None).await?;
        Ok(workers.iter().any(|worker| worker.id == name))
    }

    /// Whether there is a queue of this name (<https://developers.cloudflare.com/api/resources/queues/>).
    pub async fn queue_exists(&self, name: &str) -> Result<bool, Error> {
        let queues: Vec<ListedQueue> = self.request(Method::GET, &["queues"]).query("name", name).list(None).await?;
        Ok(queues.iter().any(|queue| queue.queue_name == name))
    }

    /// Whether there is a Hyperdrive configuration with this id
    /// (<https://developers.cloudflare.com/api/resources/hyperdrive/>).
    pub async fn hyperdrive_exists(&self, id: &str) -> Result<bool, Error> {
        self.exists(&["hyperdrive", "configs", id]).await
    }

    /// Whether there is a Vectorize index of this name (<https://developers.cloudflare.com/api/resources/vectorize/>).
    pub async fn vectorize_index_exists(&self, name: &str) -> Result<bool, Error> {
        self.exists(&["vectorize", "v2", "indexes", name]).await
    }

    /// Whether there is a client certificate with this id
    /// (<https://developers.cloudflare.com/api/resources/mtls_certificates/>).
    pub async fn certificate_exists(&self, id: &str) -> Result<bool, Error> {
        self.exists(&["mtls_certificates", id]).await
    }

    /// Whether a secrets store has a secret of this name
    /// (<https://developers.cloudflare.com/api/resources/secrets_store/>).
    pub async fn stored_secret_exists(&self, store: &str, name: &str) -> Result<bool, Error> {
        let request =
            self.request(Method::GET, &["secrets_store", "stores", store, "secrets"]).query("per_page", "100");
        match request.list::<ListedSecret>(None).await {
            Ok(secrets) => Ok(secrets.iter().any(|secret| secret.name == name)),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn exists(&self, path: &[&str]) -> Result<bool, Error> {
        Ok(self.request(Method::GET, path).send_optional::<Value>().await?.is_some())
    }
}
