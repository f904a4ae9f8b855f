//! Applies uploads to scripts: code, bindings and settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context;
use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::Local;
use super::namespaces::no_namespace;
use super::reply::{INVALID, Refusal, Success};
use super::upload::{Metadata, Upload, apply_exports};
use super::validate::{check_script, check_size, no_such_class, shared_counters};
use crate::account::{Account, Code, NAMESPACE, Script, Storage, new_id, now};
use crate::binding_types::{binding_name, has_type, unsupported_bindings};
use crate::processes::Started;
use crate::workerd::Failure;

/// What happens to the parts of a script that an upload does not mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unspecified {
    /// They are kept.
    Keep,
    /// They are removed.
    Reset,
}

impl Local {
    /// Applies an upload: either completely or not at all.
    pub async fn apply(
        &self,
        namespace: &str,
        name: &str,
        mut upload: Upload,
        unspecified: Unspecified,
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
        let script = script_of(old.as_ref(), new_code.clone(), metadata.clone(), unspecified, strict)?;
        self.read(|account| check_script(account, &script))?;
        let mut messages = unsupported_bindings(&script.bindings);
        messages.extend(self.read(|account| shared_counters(account, &self.dispatcher, (namespace, name), &script)));
        // Compression takes a while, so it must not block other requests.
        let modules = match modules {
            Some((modules, contents)) => {
                let checked = spawn_blocking(move || check_size(&modules, &contents).map(|()| (modules, contents)));
                Some(checked.await.context("nothing panics")??)
            }
            None => None,
        };

        // The modules are in a temporary folder until the upload is accepted.
        let mut folder = None;
        let started;
        if let Code::Uploaded(kept) = &script.code {
            let path = match &modules {
                Some((_, contents)) => {
                    let incoming = TempDir::new_in(&self.incoming).context("cannot keep an upload")?;
                    write_all(incoming.path(), contents).context("cannot keep an upload")?;
                    folder.insert((incoming, kept.digest.clone())).0.path().to_owned()
                }
                None => self.store().modules(&kept.digest),
            };
            started = self.start(name, &path, &script, old.as_ref()).await?;
        } else {
            // The code was built in the repository, but the new settings may keep it from starting.
            started = self.start(name, &self.processes.definitions().customer_worker, &script, old.as_ref()).await?;
        }
        let tried = script;
        let _applying = self.applying.lock().await;
        if self.read(|account| account.removed.contains(&Storage::Objects(name.to_owned()))) {
            // The objects of an older script of this name go before this one can have them.
            self.follow().await?;
        }
        let script = {
            let mut store = self.store();
            if let Some((folder, digest)) = &folder {
                store.keep_modules(digest, folder.path())?;
            }
            store.change(|account| {
                // The script is computed again, because it may have changed in the meantime.
                let namespace = account.namespaces.get_mut(namespace).ok_or_else(no_namespace)?;
                let mut script = script_of(namespace.scripts.get(name), new_code, metadata, unspecified, strict)?;
                // The script's version must be that of the process that was started.
                script.modified.clone_from(&tried.modified);
                namespace.scripts.insert(name.to_owned(), script.clone());
                Ok::<_, Refusal>(script)
            })?
        };
        for message in &messages {
            eprintln!("{name}: {message}");
        }
        let startup = started.time();
        if namespace == NAMESPACE && script.starts_like(&tried) {
            self.processes.put_into_service(name, started).await?;
            // It may have been deleted meanwhile.
            self.follow().await?;
        } else {
            // It changed while it started.
            drop(started);
            self.changed(namespace, Some(name)).await?;
        }
        let result = json!({
            "id": name,
            "etag": script.etag(),
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

impl Local {
    /// Starts a script whose modules are in `folder`. `old` is the script before the upload.
    async fn start(
        &self,
        name: &str,
        folder: &Path,
        script: &Script,
        old: Option<&Script>,
    ) -> Result<Started, Refusal> {
        let account = self.read(Account::clone);
        let worker = self.processes.definitions().uploaded(&account, name, script, folder)?;
        self.processes.start_script(name, worker).await?.map_err(|failure| match failure {
            Failure::NoClass(class) => no_such_class(&class, old),
            Failure::Start(reason) => Refusal::bad(INVALID, reason),
            failure => Refusal::bad(INVALID, failure.to_string()),
        })
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

/// Returns the script after an upload.
fn script_of(
    old: Option<&Script>,
    code: Option<Code>,
    metadata: Metadata,
    unspecified: Unspecified,
    strict: bool,
) -> Result<Script, Refusal> {
    if metadata.assets.is_some() {
        return Err(Refusal::bad(INVALID, "static assets are not served by the local platform"));
    }
    let base = match old {
        Some(old) if unspecified == Unspecified::Keep => old.clone(),
        old => Script {
            code: Code::Built,
            created: old.map_or_else(now, |old| old.created.clone()),
            modified: now(),
            bindings: Vec::new(),
            tags: old.map(|old| old.tags.clone()).unwrap_or_default(),
            // The default compatibility date:
            // https://developers.cloudflare.com/workers/configuration/compatibility-dates/
            compatibility_date: "2021-11-02".to_owned(),
            compatibility_flags: Vec::new(),
            durable_objects: old.map(|old| old.durable_objects.clone()).unwrap_or_default(),
            migration_tag: old.and_then(|old| old.migration_tag.clone()),
            settings: Map::new(),
        },
    };
    let keep = metadata.keep_bindings.unwrap_or_default();
    let bindings = match metadata.bindings {
        None if unspecified == Unspecified::Keep => base.bindings,
        new => merged(old, new.unwrap_or_default(), &keep, strict)?,
    };
    let mut script = Script { bindings, modified: now(), ..base };
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
    if let Some(exports) = &metadata.exports {
        apply_exports(exports, &mut script.durable_objects)?;
    }
    script.settings.extend(metadata.others.into_iter().filter(|(name, _)| SETTINGS.contains(&&**name)));
    Ok(script)
}

/// The other members of an upload's metadata that are stored.
const SETTINGS: [&str; 6] = ["limits", "logpush", "observability", "placement", "tail_consumers", "usage_model"];

/// Returns the new bindings and those old ones that are kept.
fn merged(
    old: Option<&Script>,
    new: Vec<Map<String, Value>>,
    keep: &BTreeSet<String>,
    strict: bool,
) -> Result<Vec<Map<String, Value>>, Refusal> {
    let old = old.map(|old| &*old.bindings).unwrap_or_default();
    let mut bindings: Vec<Map<String, Value>> = Vec::new();
    for binding in new {
        let called = binding_name(&binding).to_owned();
        if called.is_empty() {
            return Err(Refusal::bad(10052, "a binding has no name"));
        }
        if bindings.iter().any(|other| binding_name(other) == called) {
            return Err(Refusal::bad(INVALID, format!("there are two bindings called {called}")));
        }
        // The binding is inherited, or it is a secret without its text, as the API shows it.
        if has_type(&binding, "inherit") || (has_type(&binding, "secret_text") && !binding.contains_key("text")) {
            let old_name = binding.get("old_name").and_then(Value::as_str).unwrap_or(&called);
            match old.iter().find(|binding| binding_name(binding) == old_name) {
                Some(old) => {
                    let mut inherited = old.clone();
                    inherited.insert("name".to_owned(), called.into());
                    bindings.push(inherited);
                }
                None if strict || has_type(&binding, "secret_text") => {
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
        if kept && !bindings.iter().any(|other| binding_name(other) == binding_name(binding)) {
            bindings.push(binding.clone());
        }
    }
    Ok(bindings)
}
