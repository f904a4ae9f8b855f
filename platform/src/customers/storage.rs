//! A customer's own storage, found by its name or made.

use anyhow::{Result, anyhow};
use serde_json::Value;
use shared::customer::UserId;

use crate::manifest::{Binding, NamedBinding, StorageSpec};
use cloudflare_api::Resource;
use cloudflare_api::{Cloudflare, Database, Error, Jurisdiction, KvNamespace};

/// What the script calls its storage.
pub const USER_KV: &str = "USER_KV";
/// The same for the bucket.
pub const USER_R2: &str = "USER_R2";
/// The same for the database.
pub const USER_DB: &str = "USER_DB";

/// Cloudflare's numbers for a name that is taken, also by an earlier attempt of the very same request.
const KV_EXISTS: u64 = 10014;
const R2_EXISTS: u64 = 10004;
const D1_EXISTS: u64 = 7502;

/// Whether storage was created now, or existed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    Created,
    AlreadyExists,
}

/// What a customer's storage is bound by.
#[derive(Clone, Debug, Default)]
pub struct StorageIds {
    pub kv: Option<String>,
    pub bucket: Option<(String, Option<Jurisdiction>)>,
    pub database: Option<String>,
}

impl StorageIds {
    /// The bindings of a script with this storage.
    pub fn bindings(&self) -> Vec<NamedBinding> {
        let kv = self.kv.clone().map(|namespace_id| Binding::KvNamespace { namespace_id });
        let bucket =
            self.bucket.clone().map(|(bucket_name, jurisdiction)| Binding::R2Bucket { bucket_name, jurisdiction });
        let database = self.database.clone().map(|id| Binding::D1 { id });
        let named = [(USER_KV, kv), (USER_R2, bucket), (USER_DB, database)];
        named.into_iter().filter_map(|(name, binding)| Some(NamedBinding::new(name, binding?))).collect()
    }
}

/// Makes the KV namespace, unless it is there. Asking to make it and being refused tells that as well, and is the only way in
/// which two who do so at once make one.
pub async fn kv(cloudflare: &Cloudflare, id: &UserId) -> Result<(KvNamespace, Creation)> {
    let title = id.resource_name();
    let refusal = match cloudflare.create_kv_namespace(&title).await {
        Ok(namespace) => return Ok((namespace, Creation::Created)),
        Err(error) if error.has_code(&[KV_EXISTS]) || error.is_over_limit() => error,
        Err(error) => return Err(error.into()),
    };
    let find_by_title = find_by_title(&cloudflare.kv_namespaces().await?, &title);
    Ok((find_by_title.ok_or_else(|| not_made(refusal, &KV_LIMIT))?, Creation::AlreadyExists))
}

/// The KV namespace of this title.
pub fn find_by_title(namespaces: &[KvNamespace], title: &str) -> Option<KvNamespace> {
    namespaces.iter().find(|namespace| namespace.title == title).cloned()
}

/// Makes the bucket, unless it is there.
pub async fn bucket(cloudflare: &Cloudflare, id: &UserId, jurisdiction: Option<Jurisdiction>) -> Result<Creation> {
    let name = id.resource_name();
    let refusal = match cloudflare.create_bucket(&name, jurisdiction).await {
        Ok(_) => return Ok(Creation::Created),
        Err(error) if error.has_code(&[R2_EXISTS]) || error.is_over_limit() => error,
        Err(error) => return Err(error.into()),
    };
    match cloudflare.bucket(&name, jurisdiction).await? {
        Some(_) => Ok(Creation::AlreadyExists),
        None => Err(not_made(refusal, &R2_LIMIT)),
    }
}

/// Refuses a bucket in another jurisdiction than the one that is wanted: each has names of its own, so that a second bucket
/// would be made there, and hide what is in the first.
pub fn check_buckets(name: &str, found: &[Option<Jurisdiction>], wanted: Option<Jurisdiction>) -> Result<()> {
    match (found.iter().find(|found| **found != wanted), wanted) {
        (None, _) => Ok(()),
        (Some(None), Some(wanted)) => Err(wrong_jurisdiction("bucket", name, wanted.name())),
        (Some(found), _) => {
            let found = found.map_or("default", Jurisdiction::name);
            Err(anyhow!(
                "the bucket {name} is in the jurisdiction {found}, and cannot be moved: delete it, or say `jurisdiction = \"{found}\"` under [storage] in the manifest"
            ))
        }
    }
}

/// Makes the database, unless it is there.
pub async fn database(
    cloudflare: &Cloudflare,
    id: &UserId,
    jurisdiction: Option<Jurisdiction>,
) -> Result<(Database, Creation)> {
    let name = id.resource_name();
    let refusal = match cloudflare.create_database(&name, jurisdiction).await {
        Ok(database) => return Ok((database, Creation::Created)),
        Err(error) if error.has_code(&[D1_EXISTS]) || error.is_over_limit() => error,
        Err(error) => return Err(error.into()),
    };
    let named = cloudflare.database_named(&name).await?.ok_or_else(|| not_made(refusal, &D1_LIMIT))?;
    check_jurisdiction(cloudflare, &named, jurisdiction).await?;
    Ok((named, Creation::AlreadyExists))
}

/// That a database which was there stays where the manifest wants it to.
pub async fn check_jurisdiction(
    cloudflare: &Cloudflare,
    database: &Database,
    wanted: Option<Jurisdiction>,
) -> Result<()> {
    let Some(wanted) = wanted.map(Jurisdiction::name) else { return Ok(()) };
    let known = cloudflare.database(&database.uuid).await?.and_then(|database| database.jurisdiction);
    if known.as_deref() != Some(wanted) {
        return Err(wrong_jurisdiction("database", &database.name, wanted));
    }
    Ok(())
}

fn wrong_jurisdiction(what: &str, name: &str, wanted: &str) -> anyhow::Error {
    anyhow!(
        "the {what} {name} is not in the jurisdiction {wanted}, and cannot be moved: delete it, or take the jurisdiction out of the manifest"
    )
}

/// What the storage is bound by that is there. What is wanted and is not there is an error: `create` makes it.
pub async fn find(
    cloudflare: &Cloudflare,
    id: &UserId,
    wanted: &StorageSpec,
    settings: Option<&Value>,
    namespaces: &[KvNamespace],
) -> Result<StorageIds> {
    let name = id.resource_name();
    let missing = |what: &str| anyhow!("it has no {what} {name}: `customer create {id}` makes it");
    let mut ids = StorageIds::default();
    if wanted.kv {
        ids.kv = Some(find_by_title(namespaces, &name).ok_or_else(|| missing("KV namespace"))?.id);
    }
    if wanted.r2 {
        let bucket = Resource::bucket(&name, wanted.jurisdiction);
        let there = if settings.is_some_and(|settings| bucket.is_bound_in(settings)) {
            cloudflare.bucket(&name, wanted.jurisdiction).await?.is_some()
        } else {
            let found = find_buckets(cloudflare, &name, settings, wanted).await?;
            check_buckets(&name, &found, wanted.jurisdiction)?;
            !found.is_empty()
        };
        if !there {
            return Err(missing("R2 bucket"));
        }
        ids.bucket = Some((name.clone(), wanted.jurisdiction));
    }
    if wanted.d1 {
        let database = cloudflare.database_named(&name).await?.ok_or_else(|| missing("D1 database"))?;
        check_jurisdiction(cloudflare, &database, wanted.jurisdiction).await?;
        ids.database = Some(database.uuid);
    }
    Ok(ids)
}

/// How much of a kind an account may have.
struct Limit {
    what: &'static str,
    how_many: &'static str,
    limits: &'static str,
}

const KV_LIMIT: Limit =
    Limit { what: "KV namespaces", how_many: "1,000", limits: "https://developers.cloudflare.com/kv/platform/limits/" };
const R2_LIMIT: Limit =
    Limit { what: "R2 buckets", how_many: "100,000", limits: "https://developers.cloudflare.com/r2/platform/limits/" };
const D1_LIMIT: Limit = Limit {
    what: "D1 databases",
    how_many: "50,000 (10 on the free plan)",
    limits: "https://developers.cloudflare.com/d1/platform/limits/",
};

/// Why something is neither there nor made.
fn not_made(refusal: Error, limit: &Limit) -> anyhow::Error {
    if !refusal.is_over_limit() {
        return anyhow::Error::new(refusal).context("the name is taken, but nothing of that name is there: try again");
    }
    let Limit { what, how_many, limits } = limit;
    anyhow::Error::new(refusal).context(format!(
        "the account has as many {what} as it may: {how_many}, unless Cloudflare raised that. Ask for more with the form that {limits} links to, or give customers who need none no such storage (`[storage]` in their manifests)"
    ))
}

/// In which jurisdictions there is a bucket of this name: each has names of its own. `FedRAMP` is asked for only where the
/// manifest or the script says so, because not every account may.
pub async fn find_buckets(
    cloudflare: &Cloudflare,
    name: &str,
    settings: Option<&Value>,
    manifest: &StorageSpec,
) -> Result<Vec<Option<Jurisdiction>>> {
    let bindings = settings.and_then(|settings| settings["bindings"].as_array()).into_iter().flatten();
    let bound = bindings.filter(|binding| binding["name"] == USER_R2);
    let bound = bound.filter_map(|binding| serde_json::from_value(binding["jurisdiction"].clone()).ok());
    let mut asked = vec![None, Some(Jurisdiction::Eu)];
    for jurisdiction in bound.chain([manifest.jurisdiction]) {
        if !asked.contains(&jurisdiction) {
            asked.push(jurisdiction);
        }
    }
    let mut found = Vec::new();
    for jurisdiction in asked {
        if cloudflare.bucket(name, jurisdiction).await?.is_some() {
            found.push(jurisdiction);
        }
    }
    Ok(found)
}
