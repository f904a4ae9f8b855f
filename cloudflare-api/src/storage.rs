//! KV namespaces, R2 buckets and D1 databases.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Cloudflare;
use super::error::Error;

/// A KV namespace (<https://developers.cloudflare.com/api/resources/kv/subresources/namespaces/>).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct KvNamespace {
    /// The namespace's id. Bindings refer to it.
    pub id: String,
    /// The namespace's name, which is unique in the account.
    pub title: String,
}

/// An R2 bucket (<https://developers.cloudflare.com/api/resources/r2/subresources/buckets/>).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct R2Bucket {
    /// The bucket's name. Bindings refer to it.
    pub name: String,
}

/// A key in a KV namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct KvKey {
    /// The key.
    pub name: String,
}

/// An object in an R2 bucket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct R2Object {
    /// The object's key.
    pub key: String,
}

/// A D1 database (<https://developers.cloudflare.com/api/resources/d1/subresources/database/>).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct D1Database {
    /// The database's id. Bindings refer to it.
    pub uuid: String,
    /// The database's name, which is unique in the account.
    pub name: String,
    /// The name of the jurisdiction that the data must stay in, if there is one.
    #[serde(default)]
    pub jurisdiction: Option<String>,
}

/// A jurisdiction that data must stay in
/// (<https://developers.cloudflare.com/r2/reference/data-location/#jurisdictional-restrictions>,
/// <https://developers.cloudflare.com/d1/configuration/data-location/#jurisdictions>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Jurisdiction {
    /// The European Union.
    Eu,
    /// `FedRAMP`.
    Fedramp,
}

impl Jurisdiction {
    /// The API's name for the jurisdiction.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eu => "eu",
            Self::Fedramp => "fedramp",
        }
    }

    /// Returns the jurisdiction with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Eu, Self::Fedramp].into_iter().find(|jurisdiction| jurisdiction.name() == name)
    }
}

/// The header with the jurisdiction of a bucket.
const R2_JURISDICTION: &str = "cf-r2-jurisdiction";

const KV_PATH: [&str; 3] = ["storage", "kv", "namespaces"];
const R2_PATH: [&str; 2] = ["r2", "buckets"];
const D1_PATH: [&str; 2] = ["d1", "database"];

fn item_path<'p>(collection: &[&'p str], id: &'p str) -> Vec<&'p str> {
    [collection, &[id]].concat()
}

fn value_path<'p>(namespace: &'p str, key: &'p str) -> Vec<&'p str> {
    [&KV_PATH[..], &[namespace, "values", key]].concat()
}

fn objects_path(bucket: &str) -> Vec<&str> {
    [&R2_PATH[..], &[bucket, "objects"]].concat()
}

impl Cloudflare {
    /// Creates a KV namespace.
    pub async fn create_kv_namespace(&self, title: &str) -> Result<KvNamespace, Error> {
        self.request(Method::POST, &KV_PATH).json(json!({ "title": title })).send().await
    }

    /// Lists all KV namespaces.
    pub async fn kv_namespaces(&self) -> Result<Vec<KvNamespace>, Error> {
        self.request(Method::GET, &KV_PATH).query("per_page", "100").list(None).await
    }

    /// Fetches a KV namespace.
    pub async fn kv_namespace(&self, id: &str) -> Result<Option<KvNamespace>, Error> {
        self.request(Method::GET, &item_path(&KV_PATH, id)).send_optional().await
    }

    /// Deletes a KV namespace and its contents.
    pub async fn delete_kv_namespace(&self, id: &str) -> Result<(), Error> {
        self.request(Method::DELETE, &item_path(&KV_PATH, id)).send_delete().await
    }

    /// Lists all keys of a KV namespace.
    pub async fn kv_keys(&self, namespace: &str) -> Result<Vec<KvKey>, Error> {
        let keys = [&KV_PATH[..], &[namespace, "keys"]].concat();
        self.request(Method::GET, &keys).query("limit", "1000").list(None).await
    }

    /// Fetches the value of a key.
    pub async fn kv_value(&self, namespace: &str, key: &str) -> Result<Option<String>, Error> {
        let value = self.request(Method::GET, &value_path(namespace, key)).send_bytes_optional().await?;
        Ok(value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Sets the value of a key.
    pub async fn set_kv_value(&self, namespace: &str, key: &str, text: &str) -> Result<(), Error> {
        self.request(Method::PUT, &value_path(namespace, key)).text(text).send::<Value>().await.map(drop)
    }

    /// Deletes a key and its value.
    pub async fn delete_kv_value(&self, namespace: &str, key: &str) -> Result<(), Error> {
        self.request(Method::DELETE, &value_path(namespace, key)).send_delete().await
    }

    /// Creates an R2 bucket.
    pub async fn create_bucket(&self, name: &str, jurisdiction: Option<Jurisdiction>) -> Result<R2Bucket, Error> {
        let jurisdiction = jurisdiction.map(Jurisdiction::name);
        self.request(Method::POST, &R2_PATH)
            .header(R2_JURISDICTION, jurisdiction)
            .json(json!({ "name": name }))
            .send()
            .await
    }

    /// Lists all R2 buckets in a jurisdiction.
    pub async fn buckets(&self, jurisdiction: Option<Jurisdiction>) -> Result<Vec<R2Bucket>, Error> {
        let jurisdiction = jurisdiction.map(Jurisdiction::name);
        let request = self.request(Method::GET, &R2_PATH).query("per_page", "1000");
        request.header(R2_JURISDICTION, jurisdiction).list(Some("buckets")).await
    }

    /// Fetches an R2 bucket.
    pub async fn bucket(&self, name: &str, jurisdiction: Option<Jurisdiction>) -> Result<Option<R2Bucket>, Error> {
        let jurisdiction = jurisdiction.map(Jurisdiction::name);
        self.request(Method::GET, &item_path(&R2_PATH, name))
            .header(R2_JURISDICTION, jurisdiction)
            .send_optional()
            .await
    }

    /// Deletes an R2 bucket, which must be empty.
    pub async fn delete_bucket(&self, name: &str, jurisdiction: Option<Jurisdiction>) -> Result<(), Error> {
        let jurisdiction = jurisdiction.map(Jurisdiction::name);
        self.request(Method::DELETE, &item_path(&R2_PATH, name))
            .header(R2_JURISDICTION, jurisdiction)
            .send_delete()
            .await
    }

    /// Lists the first objects of a bucket, at most 1000, in the order of their keys. Returns an empty list if the
    /// bucket does not exist.
    pub async fn first_objects(
        &self,
        bucket: &str,
        jurisdiction: Option<Jurisdiction>,
    ) -> Result<Vec<R2Object>, Error> {
        let request = self.request(Method::GET, &objects_path(bucket)).query("per_page", "1000");
        let objects = request.header(R2_JURISDICTION, jurisdiction.map(Jurisdiction::name)).send_optional().await?;
        Ok(objects.unwrap_or_default())
    }

    /// Deletes 1 to 1000 objects of a bucket. If one of them does not exist, the API returns an error but deletes the
    /// others. The keys are sent in the body because not every key can be part of a path.
    pub async fn delete_objects(
        &self,
        bucket: &str,
        jurisdiction: Option<Jurisdiction>,
        keys: &[&str],
    ) -> Result<(), Error> {
        let request = self.request(Method::DELETE, &objects_path(bucket)).json(json!(keys));
        request.header(R2_JURISDICTION, jurisdiction.map(Jurisdiction::name)).send_delete().await
    }

    /// Creates a D1 database.
    pub async fn create_database(&self, name: &str, jurisdiction: Option<Jurisdiction>) -> Result<D1Database, Error> {
        let mut body = json!({ "name": name });
        if let Some(jurisdiction) = jurisdiction {
            body["jurisdiction"] = jurisdiction.name().into();
        }
        self.request(Method::POST, &D1_PATH).json(body).send().await
    }

    /// Lists all D1 databases.
    pub async fn databases(&self) -> Result<Vec<D1Database>, Error> {
        self.request(Method::GET, &D1_PATH).query("per_page", "100").list(None).await
    }

    /// Finds the D1 database with this name. The API treats the name as a prefix, so it may list other databases as
    /// well.
    pub async fn database_named(&self, name: &str) -> Result<Option<D1Database>, Error> {
        let request = self.request(Method::GET, &D1_PATH).query("per_page", "100").query("name", name);
        Ok(request.list(None).await?.into_iter().find(|database: &D1Database| database.name == name))
    }

    /// Fetches a D1 database.
    pub async fn database(&self, id: &str) -> Result<Option<D1Database>, Error> {
        self.request(Method::GET, &item_path(&D1_PATH, id)).send_optional().await
    }

    /// Deletes a D1 database and its contents.
    pub async fn delete_database(&self, id: &str) -> Result<(), Error> {
        self.request(Method::DELETE, &item_path(&D1_PATH, id)).send_delete().await
    }
}
