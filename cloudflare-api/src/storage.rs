//! KV namespaces, R2 buckets and D1 databases.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Cloudflare;
use super::error::Error;

/// A KV namespace (<https://developers.cloudflare.com/api/resources/kv/subresources/namespaces/>).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct KvNamespace {
    /// What it is bound by.
    pub id: String,
    /// Its name; no other namespace of the account has it.
    pub title: String,
}

/// An R2 bucket (<https://developers.cloudflare.com/api/resources/r2/subresources/buckets/>).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Bucket {
    /// Its name, by which it is bound.
    pub name: String,
}

/// A key of a KV namespace's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct KvKey {
    /// The key itself.
    pub name: String,
}

/// An object in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Object {
    /// Its key.
    pub key: String,
}

/// A D1 database (<https://developers.cloudflare.com/api/resources/d1/subresources/database/>).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Database {
    /// What it is bound by.
    pub uuid: String,
    /// Its name; no other database of the account has it.
    pub name: String,
    /// The name of the jurisdiction in which it must stay.
    #[serde(default)]
    pub jurisdiction: Option<String>,
}

/// Where data must stay
/// (<https://developers.cloudflare.com/r2/reference/data-location/#jurisdictional-restrictions>,
/// <https://developers.cloudflare.com/d1/configuration/data-location/#jurisdictions>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Jurisdiction {
    /// The European Union.
    Eu,
    /// Where `FedRAMP` holds.
    Fedramp,
}

impl Jurisdiction {
    /// Its name, as the API has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eu => "eu",
            Self::Fedramp => "fedramp",
        }
    }

    /// The jurisdiction of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Eu, Self::Fedramp].into_iter().find(|jurisdiction| jurisdiction.name() == name)
    }
}

/// The header that says in which jurisdiction a bucket is.
const R2_JURISDICTION: &str = "cf-r2-jurisdiction";

const KV: [&str; 3] = ["storage", "kv", "namespaces"];
const R2: [&str; 2] = ["r2", "buckets"];
const D1: [&str; 2] = ["d1", "database"];

/// The paths of one of them.
fn one<'p>(all: &[&'p str], id: &'p str) -> Vec<&'p str> {
    [all, &[id]].concat()
}

fn value<'p>(namespace: &'p str, key: &'p str) -> Vec<&'p str> {
    [&KV[..], &[namespace, "values", key]].concat()
}

fn objects(bucket: &str) -> Vec<&str> {
    [&R2[..], &[bucket, "objects"]].concat()
}

impl Cloudflare {
    /// Makes a KV namespace.
    pub async fn create_kv_namespace(&self, title: &str) -> Result<KvNamespace, Error> {
        self.call(Method::POST, &KV).json(json!({ "title": title })).send().await
    }

    /// All KV namespaces.
    pub async fn kv_namespaces(&self) -> Result<Vec<KvNamespace>, Error> {
        self.call(Method::GET, &KV).query("per_page", "100").list(None).await
    }

    /// A KV namespace.
    pub async fn kv_namespace(&self, id: &str) -> Result<Option<KvNamespace>, Error> {
        self.call(Method::GET, &one(&KV, id)).send_optional().await
    }

    /// Deletes a KV namespace with all that is in it.
    pub async fn delete_kv_namespace(&self, id: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &one(&KV, id)).send_delete().await
    }

    /// All keys of a KV namespace's.
    pub async fn kv_keys(&self, namespace: &str) -> Result<Vec<KvKey>, Error> {
        let keys = [&KV[..], &[namespace, "keys"]].concat();
        self.call(Method::GET, &keys).query("limit", "1000").list(None).await
    }

    /// The value of a key.
    pub async fn kv_value(&self, namespace: &str, key: &str) -> Result<Option<String>, Error> {
        let value = self.call(Method::GET, &value(namespace, key)).send_bytes_optional().await?;
        Ok(value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Sets the value of a key.
    pub async fn set_kv_value(&self, namespace: &str, key: &str, text: &str) -> Result<(), Error> {
        self.call(Method::PUT, &value(namespace, key)).text(text).send::<Value>().await.map(drop)
    }

    /// Deletes a key with its value.
    pub async fn delete_kv_value(&self, namespace: &str, key: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &value(namespace, key)).send_delete().await
    }

    /// Makes an R2 bucket.
    pub async fn create_bucket(&self, name: &str, jurisdiction: Option<Jurisdiction>) -> Result<Bucket, Error> {
        let jurisdiction = jurisdiction.map(Jurisdiction::name);
        self.call(Method::POST, &R2).header(R2_JURISDICTION, jurisdiction).json(json!({ "name": name })).send().await
    }

    /// All R2 buckets of a jurisdiction.
    pub async fn buckets(&self, jurisdiction: Option<Jurisdiction>) -> Result<Vec<Bucket>, Error> {
        let jurisdiction = jurisdiction.map(Jurisdiction::name);
        let list = self.call(Method::GET, &R2).query("per_page", "1000").header(R2_JURISDICTION, jurisdiction);
        list.list(Some("buckets")).await
    }

    /// An R2 bucket.
    pub async fn bucket(&self, name: &str, jurisdiction: Option<Jurisdiction>) -> Result<Option<Bucket>, Error> {
        let jurisdiction = jurisdiction.map(Jurisdiction::name);
        self.call(Method::GET, &one(&R2, name)).header(R2_JURISDICTION, jurisdiction).send_optional().await
    }

    /// Deletes an R2 bucket, which must be empty.
    pub async fn delete_bucket(&self, name: &str, jurisdiction: Option<Jurisdiction>) -> Result<(), Error> {
        let jurisdiction = jurisdiction.map(Jurisdiction::name);
        self.call(Method::DELETE, &one(&R2, name)).header(R2_JURISDICTION, jurisdiction).send_delete().await
    }

    /// The first objects of a bucket, in the order of their keys: at most 1000. A bucket that is not there has none.
    pub async fn first_objects(&self, bucket: &str, jurisdiction: Option<Jurisdiction>) -> Result<Vec<Object>, Error> {
        let call = self.call(Method::GET, &objects(bucket)).query("per_page", "1000");
        let objects = call.header(R2_JURISDICTION, jurisdiction.map(Jurisdiction::name)).send_optional().await?;
        Ok(objects.unwrap_or_default())
    }

    /// Deletes objects of a bucket, 1 to 1000. The API refuses if one of them is not there, but deletes the others. The keys go
    /// in the body, because not every key can be part of a path.
    pub async fn delete_objects(
        &self,
        bucket: &str,
        jurisdiction: Option<Jurisdiction>,
        keys: &[&str],
    ) -> Result<(), Error> {
        let call = self.call(Method::DELETE, &objects(bucket)).json(json!(keys));
        call.header(R2_JURISDICTION, jurisdiction.map(Jurisdiction::name)).send_delete().await
    }

    /// Makes a D1 database.
    pub async fn create_database(&self, name: &str, jurisdiction: Option<Jurisdiction>) -> Result<Database, Error> {
        let mut wanted = json!({ "name": name });
        if let Some(jurisdiction) = jurisdiction {
            wanted["jurisdiction"] = jurisdiction.name().into();
        }
        self.call(Method::POST, &D1).json(wanted).send().await
    }

    /// All D1 databases.
    pub async fn databases(&self) -> Result<Vec<Database>, Error> {
        self.call(Method::GET, &D1).query("per_page", "100").list(None).await
    }

    /// The D1 database of this name. The API takes a name for the beginning of one.
    pub async fn database_named(&self, name: &str) -> Result<Option<Database>, Error> {
        let list = self.call(Method::GET, &D1).query("per_page", "100").query("name", name);
        Ok(list.list(None).await?.into_iter().find(|database: &Database| database.name == name))
    }

    /// A D1 database.
    pub async fn database(&self, id: &str) -> Result<Option<Database>, Error> {
        self.call(Method::GET, &one(&D1, id)).send_optional().await
    }

    /// Deletes a D1 database with all that is in it.
    pub async fn delete_database(&self, id: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &one(&D1, id)).send_delete().await
    }
}
