//! The secrets of customers' scripts.

use anyhow::{Result, anyhow, bail};
use cloudflare_api::Error;
use shared::customer::UserId;

use super::Customers;

impl Customers {
    /// Sets a secret of a customer's script, whether it exists or not. Later deployments keep it.
    ///
    /// # Errors
    ///
    /// If the customer has no script, or if the script has another binding of this name.
    pub async fn put_secret(&self, id: &UserId, name: &str, text: &str) -> Result<()> {
        let put = self.cloudflare.put_script_secret(&self.namespace, &self.script_name(id), name, text).await;
        put.map_err(|error| self.secret_error(id, error))
    }

    /// Returns the names of the secrets of a customer's script. The API does not return their texts.
    ///
    /// # Errors
    ///
    /// If the customer has no script.
    pub async fn secrets(&self, id: &UserId) -> Result<Vec<String>> {
        let names = self.cloudflare.script_secrets(&self.namespace, &self.script_name(id)).await;
        let mut names = names.map_err(|error| self.secret_error(id, error))?;
        names.sort();
        Ok(names)
    }

    /// Deletes a secret of a customer's script.
    ///
    /// # Errors
    ///
    /// If the customer has no script, or the script no such secret.
    pub async fn delete_secret(&self, id: &UserId, name: &str) -> Result<()> {
        if !self.secrets(id).await?.iter().any(|secret| secret == name) {
            bail!("customer {id} has no secret {name}");
        }
        Ok(self.cloudflare.delete_script_secret(&self.namespace, &self.script_name(id), name).await?)
    }

    /// Says that there is no such customer if the API does not find its script.
    fn secret_error(&self, id: &UserId, error: Error) -> anyhow::Error {
        if error.is_not_found() {
            anyhow!("there is no customer {id}: the dispatch namespace {} has no such script", self.namespace)
        } else {
            error.into()
        }
    }
}
