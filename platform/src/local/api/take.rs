//! Takes uploads: what becomes of a script, its code and its bindings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::Local;
use super::namespaces::no_namespace;
use super::reply::{Refusal, Success};
use super::scripts::{etag, is, name};
use super::upload::{INVALID, Metadata, Upload};
use crate::local::account::{Account, Code, Script, Storage, Trial, new_id, now};
use crate::local::script::{check_bindings, not_here, stored};

/// What becomes of what an upload does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It stays.
    Stays,
    /// It is gone.
    Goes,
}

impl Local {
    /// Takes an upload: all of it, or nothing.
    pub async fn take(
        &self,
        namespace: &str,
        name: &str,
        mut upload: Upload,
        rest: Rest,
        strict: bool,
    ) -> Result<Success, Refusal> {
        let modules = upload.modules()?;
        let metadata = upload.metadata;
        let old = match self.script(namespace, name) {
            Ok(script) => Some(script),
            Err(_) if modules.is_some() && self.read(|account| account.namespaces.contains_key(namespace)) => None,
            Err(refusal) => return Err(refusal),
        };
        let new_code = modules.as_ref().map(|(modules, _)| Code::Uploaded(modules.clone()));
        let script = script_of(old.as_ref(), new_code.clone(), metadata.clone(), rest, strict)?;
        self.read(|account| storage_is_there(account, &script))?;
        check_bindings(&script).map_err(|error| Refusal::bad(INVALID, format!("{error:#}")))?;
        check_date(&script.compatibility_date)?;
        let messages: Vec<String> = not_here(&script);

        // The modules go where nobody looks for them until the account has them.
        let mut folder = None;
        let mut startup = Duration::ZERO;
        if let Code::Uploaded(kept) = &script.code {
            let path = match &modules {
                Some((_, contents)) => {
                    let incoming = TempDir::new_in(&self.incoming).context("cannot keep an upload")?;
                    write_all(incoming.path(), contents).context("cannot keep an upload")?;
                    folder.insert((incoming, kept.digest.clone())).0.path().to_owned()
                }
                None => self.store().modules(&kept.digest),
            };
            startup = match self.checker.check(&path, &script, kept).await? {
                Ok(startup) => startup,
                Err(reason) => return Err(Refusal::bad(INVALID, reason)),
            };
            if let (Some(source), Some(_)) = (kept.entry_source(), &folder) {
                fs::write(path.join(kept.entry()), source).context("cannot keep an upload")?;
            }
        }
        let script = {
            let mut store = self.store();
            if let Some((folder, digest)) = &folder {
                store.keep_modules(digest, folder.path())?;
            }
            store.change(|account| {
                // Once more, with what may have changed meanwhile.
                let namespace = account.namespaces.get_mut(namespace).ok_or_else(no_namespace)?;
                let script = script_of(namespace.scripts.get(name), new_code, metadata, rest, strict)?;
                namespace.scripts.insert(name.to_owned(), script.clone());
                Ok::<_, Refusal>(script)
            })?
        };
        for message in &messages {
            eprintln!("{name}: {message}");
        }
        self.changed(namespace);
        let result = json!({
            "id": name,
            "etag": etag(&script),
            "tags": script.tags,
            "handlers": ["fetch"],
            "created_on": script.created,
            "modified_on": script.modified,
            "startup_time_ms": startup.as_millis(),
            "deployment_id": new_id(),
            "usage_model": "standard",
        });
        Ok(Success::new(result).with_messages(messages))
    }
}

/// A day, and not one to come.
fn check_date(date: &str) -> Result<(), Refusal> {
    let day = format!("{date}T00:00:00Z");
    match humantime::parse_rfc3339(&day) {
        Ok(day) if day <= SystemTime::now() => Ok(()),
        Ok(_) => Err(Refusal::bad(INVALID, format!("Can't set compatibility date in the future: {date}"))),
        Err(_) => Err(Refusal::bad(INVALID, format!("{date:?} is no compatibility date: write it as 2026-11-17"))),
    }
}

fn write_all(folder: &Path, contents: &BTreeMap<String, Bytes>) -> std::io::Result<()> {
    for (name, content) in contents {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, content)?;
    }
    Ok(())
}

/// The script that there is after an upload.
fn script_of(
    old: Option<&Script>,
    code: Option<Code>,
    metadata: Metadata,
    rest: Rest,
    strict: bool,
) -> Result<Script, Refusal> {
    if metadata.assets.is_some() {
        return Err(Refusal::bad(INVALID, "static assets are not served by the local platform"));
    }
    let base = match old {
        Some(old) if rest == Rest::Stays => old.clone(),
        old => Script {
            code: Code::Built,
            created: old.map_or_else(now, |old| old.created.clone()),
            modified: now(),
            bindings: Vec::new(),
            tags: old.map(|old| old.tags.clone()).unwrap_or_default(),
            // What a script has that says none: https://developers.cloudflare.com/workers/configuration/compatibility-dates/
            compatibility_date: "2021-11-02".to_owned(),
            compatibility_flags: Vec::new(),
            durable_objects: old.map(|old| old.durable_objects.clone()).unwrap_or_default(),
            migration_tag: old.and_then(|old| old.migration_tag.clone()),
            settings: Map::new(),
            trial: Trial::New,
        },
    };
    let keep = metadata.keep_bindings.unwrap_or_default();
    let bindings = match metadata.bindings {
        None if rest == Rest::Stays => base.bindings,
        new => merged(old, new.unwrap_or_default(), &keep, strict)?,
    };
    let mut script = Script { bindings, modified: now(), trial: Trial::New, ..base };
    script.code = code.unwrap_or(script.code);
    if let Some(tags) = metadata.tags {
        script.tags = tags;
    }
    script.compatibility_date = metadata.compatibility_date.unwrap_or(script.compatibility_date);
    script.compatibility_flags = metadata.compatibility_flags.unwrap_or(script.compatibility_flags);
    if let Some(migrations) = metadata.migrations {
        if migrations.old_tag.is_some() && migrations.old_tag != script.migration_tag {
            return Err(Refusal::new(
                StatusCode::PRECONDITION_FAILED,
                10079,
                format!("the script's migration tag is {:?}, not {:?}", script.migration_tag, migrations.old_tag),
            ));
        }
        script.migration_tag = migrations.new_tag.clone().or(script.migration_tag);
        migrations.apply(&mut script.durable_objects)?;
    }
    script.settings.extend(metadata.others.into_iter().filter(|(name, _)| SETTINGS.contains(&&**name)));
    Ok(script)
}

/// What is kept of an upload's metadata besides.
const SETTINGS: [&str; 6] = ["limits", "logpush", "observability", "placement", "tail_consumers", "usage_model"];

/// New bindings, and the old ones that stay.
fn merged(
    old: Option<&Script>,
    new: Vec<Map<String, Value>>,
    keep: &BTreeSet<String>,
    strict: bool,
) -> Result<Vec<Map<String, Value>>, Refusal> {
    let old = old.map(|old| &*old.bindings).unwrap_or_default();
    let mut bindings: Vec<Map<String, Value>> = Vec::new();
    for binding in new {
        let called = name(&binding).to_owned();
        if called.is_empty() || !binding.get("type").is_some_and(Value::is_string) {
            return Err(Refusal::bad(INVALID, "a binding needs a `name` and a `type`"));
        }
        if bindings.iter().any(|other| name(other) == called) {
            return Err(Refusal::bad(INVALID, format!("there are two bindings called {called}")));
        }
        // One that is to stay as it is, or a secret as it was told, without its text.
        if is(&binding, "inherit") || (is(&binding, "secret_text") && !binding.contains_key("text")) {
            let old_name = binding.get("old_name").and_then(Value::as_str).unwrap_or(&called);
            match old.iter().find(|binding| name(binding) == old_name) {
                Some(old) => {
                    let mut inherited = old.clone();
                    inherited.insert("name".to_owned(), called.into());
                    bindings.push(inherited);
                }
                None if strict || is(&binding, "secret_text") => {
                    return Err(Refusal::bad(10057, format!("there is no binding {called} to inherit")));
                }
                None => {}
            }
            continue;
        }
        bindings.push(binding);
    }
    for binding in old {
        let kept = binding.get("type").and_then(Value::as_str).is_some_and(|kind| keep.contains(kind));
        if kept && !bindings.iter().any(|other| name(other) == name(binding)) {
            bindings.push(binding.clone());
        }
    }
    Ok(bindings)
}

/// Storage that a script is bound to must be there.
fn storage_is_there(account: &Account, script: &Script) -> Result<(), Refusal> {
    for binding in &script.bindings {
        let Some(storage) = stored(binding) else { continue };
        if account.has(&storage) && is_of_jurisdiction(account, &storage, binding) {
            continue;
        }
        let (code, kind, id) = match &storage {
            Storage::Kv(id) => (10041, "KV namespace", id),
            Storage::R2(name) => (10085, "R2 bucket", name),
            Storage::D1(id) => (10181, "D1 database", id),
            Storage::Objects(_) => unreachable!("no binding names them"),
        };
        return Err(Refusal::bad(code, format!("{kind} '{id}' not found, of the binding {}", name(binding))));
    }
    Ok(())
}

/// A bucket of another jurisdiction is another bucket.
fn is_of_jurisdiction(account: &Account, storage: &Storage, binding: &Map<String, Value>) -> bool {
    let Storage::R2(bucket) = storage else { return true };
    let wanted = binding.get("jurisdiction").filter(|wanted| !wanted.is_null() && *wanted != "default");
    account.buckets[bucket].jurisdiction.map(|there| json!(there)).as_ref() == wanted
}
