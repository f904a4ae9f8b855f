//! Finds or creates a customer's own storage.

use anyhow::{Result, anyhow};
use cloudflare_api::{Cloudflare, D1Database, Error, Jurisdiction, KvNamespace, Resource};
use serde_json::Value;
use shared::customer::UserId;

use crate::manifest::{Binding, NamedBinding, StorageSpec};

/// The name of the binding to the KV namespace.
pub const USER_KV: &str = "USER_KV";
/// The name of the binding to the R2 bucket.
pub const USER_R2: &str = "USER_R2";
/// The name of the binding to the D1 database.
pub const USER_DB: &str = "USER_DB";

// Cloudflare's error codes for a name that is already used. A retry gets such an error if the previous attempt took
// effect.
const KV_EXISTS: u64 = 10014;
const R2_EXISTS: u64 = 10004;
const D1_EXISTS: u64 = 7502;

/// Whether storage was created or already existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    Created,
    AlreadyExists,
}

/// The ids and names that bindings to a customer's storage refer to.
#[derive(Clone, Debug, Default)]
pub struct StorageIds {
    pub kv: Option<String>,
    pub bucket: Option<(String, Option<Jurisdiction>)>,
    pub database: Option<String>,
}

impl StorageIds {
    /// Returns the bindings to this storage.
    pub fn bindings(&self) -> Vec<NamedBinding> {
        let kv = self.kv.clone().map(|namespace_id| Binding::KvNamespace { namespace_id });
        let bucket =
            self.bucket.clone().map(|(bucket_name, jurisdiction)| Binding::R2Bucket { bucket_name, jurisdiction });
        let database = self.database.clone().map(|id| Binding::D1 { id });
        let named = [(USER_KV, kv), (USER_R2, bucket), (USER_DB, database)];
        named.into_iter().filter_map(|(name, binding)| Some(NamedBinding::new(name, binding?))).collect()
    }
}

/// Creates the KV namespace unless it exists. It is not looked up first: the API refuses a second one with the same
/// name, so two concurrent runs create only one.
pub async fn find_or_create_kv(cloudflare: &Cloudflare, id: &UserId) -> Result<(KvNamespace, Creation)> {
    let title = id.resource_name();
    let refusal = match cloudflare.create_kv_namespace(&title).await {
        Ok(namespace) => return Ok((namespace, Creation::Created)),
        Err(error) if error.has_code(&[KV_EXISTS]) || error.is_over_limit() => error,
        Err(error) => return Err(error.into()),
    };
    let existing = find_by_title(&cloudflare.kv_namespaces().await?, &title);
    Ok((existing.ok_or_else(|| creation_refused(refusal, &KV_LIMIT))?, Creation::AlreadyExists))
}

/// Returns the KV namespace with this title.
pub fn find_by_title(namespaces: &[KvNamespace], title: &str) -> Option<KvNamespace> {
    namespaces.iter().find(|namespace| namespace.title == title).cloned()
}

/// Creates the bucket unless it exists.
pub async fn find_or_create_bucket(
    cloudflare: &Cloudflare,
    id: &UserId,
    jurisdiction: Option<Jurisdiction>,
) -> Result<Creation> {
    let name = id.resource_name();
    let refusal = match cloudflare.create_bucket(&name, jurisdiction).await {
        Ok(_) => return Ok(Creation::Created),
        Err(error) if error.has_code(&[R2_EXISTS]) || error.is_over_limit() => error,
        Err(error) => return Err(error.into()),
    };
    match cloudflare.bucket(&name, jurisdiction).await? {
        Some(_) => Ok(Creation::AlreadyExists),
        None => Err(creation_refused(refusal, &R2_LIMIT)),
    }
}

/// Refuses buckets in a jurisdiction other than the manifest's. Each jurisdiction has its own names, so a second bucket
/// of the same name would be created, and the script would no longer see the objects in the first.
pub fn check_buckets(name: &str, existing: &[Option<Jurisdiction>], required: Option<Jurisdiction>) -> Result<()> {
    match (existing.iter().find(|existing| **existing != required), required) {
        (None, _) => Ok(()),
        (Some(None), Some(required)) => Err(wrong_jurisdiction("bucket", name, required.name())),
        (Some(existing), _) => {
            let existing = existing.map_or("default", Jurisdiction::name);
            Err(anyhow!(
                "the bucket {name} is in the jurisdiction {existing} and cannot be moved: delete it, or set `jurisdiction = \"{existing}\"` under [storage] in the manifest"
            ))
        }
    }
}

/// Creates the database unless it exists.
pub async fn find_or_create_database(
    cloudflare: &Cloudflare,
    id: &UserId,
    jurisdiction: Option<Jurisdiction>,
) -> Result<(D1Database, Creation)> {
    let name = id.resource_name();
    let refusal = match cloudflare.create_database(&name, jurisdiction).await {
        Ok(database) => return Ok((database, Creation::Created)),
        Err(error) if error.has_code(&[D1_EXISTS]) || error.is_over_limit() => error,
        Err(error) => return Err(error.into()),
    };
    let named = cloudflare.database_named(&name).await?.ok_or_else(|| creation_refused(refusal, &D1_LIMIT))?;
    check_jurisdiction(cloudflare, &named, jurisdiction).await?;
    Ok((named, Creation::AlreadyExists))
}

/// Refuses an existing database that is not in the manifest's jurisdiction.
pub async fn check_jurisdiction(
    cloudflare: &Cloudflare,
    database: &D1Database,
    required: Option<Jurisdiction>,
) -> Result<()> {
    let Some(required) = required.map(Jurisdiction::name) else { return Ok(()) };
    let actual = cloudflare.database(&database.uuid).await?.and_then(|database| database.jurisdiction);
    if actual.as_deref() != Some(required) {
        return Err(wrong_jurisdiction("database", &database.name, required));
    }
    Ok(())
}

fn wrong_jurisdiction(kind: &str, name: &str, required: &str) -> anyhow::Error {
    anyhow!(
        "the {kind} {name} is not in the jurisdiction {required} and cannot be moved: delete it, or remove the jurisdiction from the manifest"
    )
}

/// Returns the ids of the storage that the manifest enables. Storage that does not exist is an error.
pub async fn existing_ids(
    cloudflare: &Cloudflare,
    id: &UserId,
    spec: &StorageSpec,
    settings: Option<&Value>,
    namespaces: &[KvNamespace],
) -> Result<StorageIds> {
    let name = id.resource_name();
    let missing =
        |kind: &str| anyhow!("there is no {kind} {name}: create it with `cargo platform customer create {id}`");
    let mut ids = StorageIds::default();
    if spec.kv {
        ids.kv = Some(find_by_title(namespaces, &name).ok_or_else(|| missing("KV namespace"))?.id);
    }
    if spec.r2 {
        let bucket = Resource::bucket(&name, spec.jurisdiction);
        let exists = if settings.is_some_and(|settings| bucket.is_bound_in(settings)) {
            cloudflare.bucket(&name, spec.jurisdiction).await?.is_some()
        } else {
            let existing = find_buckets(cloudflare, &name, settings, spec).await?;
            check_buckets(&name, &existing, spec.jurisdiction)?;
            !existing.is_empty()
        };
        if !exists {
            return Err(missing("R2 bucket"));
        }
        ids.bucket = Some((name.clone(), spec.jurisdiction));
    }
    if spec.d1 {
        let database = cloudflare.database_named(&name).await?.ok_or_else(|| missing("D1 database"))?;
        check_jurisdiction(cloudflare, &database, spec.jurisdiction).await?;
        ids.database = Some(database.uuid);
    }
    Ok(ids)
}

/// The documented limit of an account for a kind of storage.
struct AccountLimit {
    kind: &'static str,
    maximum: &'static str,
    documentation: &'static str,
}

const KV_LIMIT: AccountLimit = AccountLimit {
    kind: "KV namespaces",
    maximum: "1,000",
    documentation: "https://developers.cloudflare.com/kv/platform/limits/",
};
const R2_LIMIT: AccountLimit = AccountLimit {
    kind: "R2 buckets",
    maximum: "100,000",
    documentation: "https://developers.cloudflare.com/r2/platform/limits/",
};
const D1_LIMIT: AccountLimit = AccountLimit {
    kind: "D1 databases",
    maximum: "50,000 (10 on the free plan)",
    documentation: "https://developers.cloudflare.com/d1/platform/limits/",
};

/// Returns the error for storage that does not exist and could not be created.
fn creation_refused(refusal: Error, limit: &AccountLimit) -> anyhow::Error {
    if !refusal.is_over_limit() {
        return anyhow::Error::new(refusal)
            .context("the name is already used, but nothing with this name was found: try again");
    }
    let AccountLimit { kind, maximum, documentation } = limit;
    anyhow::Error::new(refusal).context(format!(
        "the account has reached its limit of {kind}, which is {maximum} unless Cloudflare raised it. Request a higher limit with the form that {documentation} links to, or disable this storage for customers that do not need it (`[storage]` in their manifests)"
    ))
}

/// Returns the jurisdictions that have a bucket of this name. Each jurisdiction has its own names. `FedRAMP` is
/// searched only if the manifest or the script names it, because not every account has access to it.
pub async fn find_buckets(
    cloudflare: &Cloudflare,
    name: &str,
    settings: Option<&Value>,
    spec: &StorageSpec,
) -> Result<Vec<Option<Jurisdiction>>> {
    let bindings = settings.and_then(|settings| settings["bindings"].as_array()).into_iter().flatten();
    let bound = bindings.filter(|binding| binding["name"] == USER_R2);
    let bound = bound.filter_map(|binding| serde_json::from_value(binding["jurisdiction"].clone()).ok());
    let mut searched = vec![None, Some(Jurisdiction::Eu)];
    for jurisdiction in bound.chain([spec.jurisdiction]) {
        if !searched.contains(&jurisdiction) {
            searched.push(jurisdiction);
        }
    }
    let mut found = Vec::new();
    for jurisdiction in searched {
        if cloudflare.bucket(name, jurisdiction).await?.is_some() {
            found.push(jurisdiction);
        }
    }
    Ok(found)
}
