//! Whether something of the account exists. Nothing else is asked of these.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::client::Cloudflare;
use super::error::Error;

#[derive(Deserialize)]
struct Worker {
    id: String,
}

#[derive(Deserialize)]
struct Queue {
    queue_name: String,
}

#[derive(Deserialize)]
struct StoredSecret {
    name: String,
}

impl Cloudflare {
    /// A Worker in no dispatch namespace (<https://developers.cloudflare.com/api/resources/workers/subresources/scripts/>), by
    /// its name.
    pub async fn worker_exists(&self, name: &str) -> Result<bool, Error> {
        let workers: Vec<Worker> = self.call(Method::GET, &["workers", "scripts"]).list(None).await?;
        Ok(workers.iter().any(|worker| worker.id == name))
    }

    /// A queue (<https://developers.cloudflare.com/api/resources/queues/>), by its name.
    pub async fn queue_exists(&self, name: &str) -> Result<bool, Error> {
        let queues: Vec<Queue> = self.call(Method::GET, &["queues"]).query("name", name).list(None).await?;
        Ok(queues.iter().any(|queue| queue.queue_name == name))
    }

    /// A Hyperdrive configuration (<https://developers.cloudflare.com/api/resources/hyperdrive/>), by its id.
    pub async fn hyperdrive_exists(&self, id: &str) -> Result<bool, Error> {
        self.exists(&["hyperdrive", "configs", id]).await
    }

    /// A Vectorize index (<https://developers.cloudflare.com/api/resources/vectorize/>), by its name.
    pub async fn vectorize_index_exists(&self, name: &str) -> Result<bool, Error> {
        self.exists(&["vectorize", "v2", "indexes", name]).await
    }

    /// A client certificate (<https://developers.cloudflare.com/api/resources/mtls_certificates/>), by its id.
    pub async fn certificate_exists(&self, id: &str) -> Result<bool, Error> {
        self.exists(&["mtls_certificates", id]).await
    }

    /// A secret of a store (<https://developers.cloudflare.com/api/resources/secrets_store/>), by its name.
    pub async fn stored_secret_exists(&self, store: &str, name: &str) -> Result<bool, Error> {
        let secrets = self.call(Method::GET, &["secrets_store", "stores", store, "secrets"]).query("per_page", "100");
        match secrets.list::<StoredSecret>(None).await {
            Ok(secrets) => Ok(secrets.iter().any(|secret| secret.name == name)),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn exists(&self, path: &[&str]) -> Result<bool, Error> {
        Ok(self.call(Method::GET, path).send_optional::<Value>().await?.is_some())
    }
}
