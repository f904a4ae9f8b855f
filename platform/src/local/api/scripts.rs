//! The scripts in a dispatch namespace: <https://developers.cloudflare.com/api/resources/workers_for_platforms/>.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::{Multipart, Path, Query as QueryParameters, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{get, put};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::namespaces::no_namespace;
use super::reply::{Query, Refusal, Success, json_body};
use super::upload::{INVALID, Metadata, Upload};
use super::{Api, Local};
use crate::local::account::{Account, Code, Modules, NAMESPACE, Script, Store, Trial, new_id, now};
use crate::local::script::not_here;

const SCRIPT: &str = "/workers/dispatch/namespaces/{namespace}/scripts/{script}";

pub fn routes() -> Router<Arc<Local>> {
    let under = |rest: &str| format!("{SCRIPT}{rest}");
    Router::new()
        .route("/workers/dispatch/namespaces/{namespace}/scripts", get(list).delete(remove_tagged))
        .route(SCRIPT, get(one).put(upload).delete(remove))
        .route(&under("/content"), get(content).put(set_content))
        .route(&under("/settings"), get(settings).patch(set_settings))
        .route(&under("/bindings"), get(bindings))
        .route(&under("/secrets"), get(secrets).put(set_secret))
        .route(&under("/secrets/{secret}"), get(secret).delete(unset_secret))
        .route(&under("/tags"), get(tags).put(set_tags))
        .route(&under("/tags/{tag}"), put(tag).delete(untag))
}

/// A script's place: account, namespace, script.
type Place = Path<(String, String, String)>;

fn no_script() -> Refusal {
    Refusal::not_found(10092, "workers.api.error.script_not_found")
}

fn find<'a>(account: &'a Account, namespace: &str, script: &str) -> Result<&'a Script, Refusal> {
    let namespace = account.namespaces.get(namespace).ok_or_else(no_namespace)?;
    namespace.scripts.get(script).ok_or_else(no_script)
}

fn find_mut<'a>(account: &'a mut Account, namespace: &str, script: &str) -> Result<&'a mut Script, Refusal> {
    let namespace = account.namespaces.get_mut(namespace).ok_or_else(no_namespace)?;
    namespace.scripts.get_mut(script).ok_or_else(no_script)
}

impl Local {
    fn script(&self, namespace: &str, script: &str) -> Result<Script, Refusal> {
        self.read(|account| find(account, namespace, script).cloned())
    }

    /// Changes a script. It runs from the next restart on, if its namespace is the dispatcher's.
    fn change_script(
        &self,
        namespace: &str,
        script: &str,
        change: impl FnOnce(&mut Script) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.change(|account| {
            let script = find_mut(account, namespace, script)?;
            change(script)?;
            script.modified = now();
            script.trial = Trial::New;
            Ok(())
        })?;
        self.changed(namespace);
        Ok(())
    }

    fn changed(&self, namespace: &str) {
        if namespace == NAMESPACE {
            self.gate.change();
        }
    }
}

fn etag(script: &Script) -> &str {
    match &script.code {
        Code::Built => "built",
        Code::Uploaded(modules) => &modules.digest,
    }
}

fn described(name: &str, script: &Script) -> Value {
    json!({
        "id": name,
        "etag": etag(script),
        "tags": script.tags,
        "handlers": ["fetch"],
        "created_on": script.created,
        "modified_on": script.modified,
        "compatibility_date": script.compatibility_date,
        "compatibility_flags": script.compatibility_flags,
        "migration_tag": script.migration_tag,
        "usage_model": "standard",
    })
}

/// What the API tells of a binding: everything but a secret's text.
fn told(binding: &Map<String, Value>) -> Value {
    let mut told = binding.clone();
    if is(binding, "secret_text") {
        told.remove("text");
    }
    told.into()
}

fn is(binding: &Map<String, Value>, kind: &str) -> bool {
    binding.get("type").is_some_and(|is| is == kind)
}

fn name(binding: &Map<String, Value>) -> &str {
    binding.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// The scripts that have the tags which a query asks for: `tags=a:yes,b:no`.
fn with_tags<'a>(
    account: &'a Account,
    namespace: &str,
    query: &Query,
) -> Result<impl Iterator<Item = (&'a String, &'a Script)>, Refusal> {
    let wanted = query.get("tags").map_or("", String::as_str).split(',').filter(|tag| !tag.is_empty());
    let wanted: Result<Vec<(String, bool)>, Refusal> = wanted
        .map(|tag| match tag.rsplit_once(':') {
            Some((tag, "yes")) => Ok((tag.to_owned(), true)),
            Some((tag, "no")) => Ok((tag.to_owned(), false)),
            _ => Err(Refusal::bad(10026, "tags are asked for as <tag>:yes or <tag>:no, separated by commas")),
        })
        .collect();
    let wanted = wanted?;
    let scripts = account.namespaces.get(namespace).ok_or_else(no_namespace)?.scripts.iter();
    Ok(scripts.filter(move |(_, script)| wanted.iter().all(|(tag, has)| script.tags.contains(tag) == *has)))
}

async fn list(
    State(local): Api,
    Path((_, namespace)): Path<(String, String)>,
    QueryParameters(query): QueryParameters<Query>,
) -> Result<Success, Refusal> {
    local.read(|account| {
        Ok(Success::list(with_tags(account, &namespace, &query)?.map(|(name, script)| described(name, script))))
    })
}

async fn remove_tagged(
    State(local): Api,
    Path((_, namespace)): Path<(String, String)>,
    QueryParameters(query): QueryParameters<Query>,
) -> Result<Success, Refusal> {
    if query.get("tags").is_none_or(String::is_empty) {
        return Err(Refusal::bad(10026, "say which scripts: tags=<tag>:yes"));
    }
    let removed = local.change(|account| {
        let names: Vec<String> = with_tags(account, &namespace, &query)?.map(|(name, _)| name.clone()).collect();
        for name in &names {
            account.remove_script(&namespace, name);
        }
        Ok::<_, Refusal>(names)
    })?;
    local.changed(&namespace);
    Ok(Success::list(removed.into_iter().map(Value::from)))
}

async fn one(State(local): Api, Path((_, namespace, name)): Place) -> Result<Success, Refusal> {
    let script = local.script(&namespace, &name)?;
    Ok(Success::new(json!({
        "script": described(&name, &script),
        "dispatch_namespace": namespace,
        "created_on": script.created,
        "modified_on": script.modified,
    })))
}

async fn remove(State(local): Api, Path((_, namespace, name)): Place) -> Result<Success, Refusal> {
    local.change(|account| {
        find(account, &namespace, &name)?;
        account.remove_script(&namespace, &name);
        Ok::<_, Refusal>(())
    })?;
    local.changed(&namespace);
    Ok(Success::new(Value::Null))
}

/// What a script is called in wrangler's files, too.
fn check_name(name: &str) -> Result<(), Refusal> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if name.is_empty() || name.len() > 63 || !name.bytes().all(inner) || name.starts_with('-') {
        let message = "a script's name is 1 to 63 of a-z, 0-9, - and _, not starting with -";
        return Err(Refusal::bad(10016, message));
    }
    Ok(())
}

async fn upload(
    State(local): Api,
    Path((_, namespace, name)): Place,
    QueryParameters(query): QueryParameters<Query>,
    form: Multipart,
) -> Result<Success, Refusal> {
    check_name(&name)?;
    let strict = query.get("bindings_inherit").is_some_and(|how| how == "strict");
    let upload = Upload::read(form).await?;
    local.take(&namespace, &name, upload, strict).await
}

/// The code alone, in a form as for an upload; everything else stays.
async fn set_content(
    State(local): Api,
    Path((_, namespace, name)): Place,
    form: Multipart,
) -> Result<Success, Refusal> {
    let mut upload = Upload::read(form).await?;
    local.script(&namespace, &name)?;
    if upload.metadata.main_module.is_none() && upload.metadata.body_part.is_none() {
        return Err(Refusal::bad(INVALID, "`metadata` has no main_module"));
    }
    let Metadata { main_module, body_part, .. } = upload.metadata;
    upload.metadata = Metadata { main_module, body_part, ..Metadata::default() };
    local.take(&namespace, &name, upload, false).await
}

async fn set_settings(
    State(local): Api,
    Path((_, namespace, name)): Place,
    form: Multipart,
) -> Result<Success, Refusal> {
    let mut upload = Upload::read(form).await?;
    local.script(&namespace, &name)?;
    upload.modules.clear();
    upload.metadata.main_module = None;
    upload.metadata.body_part = None;
    local.take(&namespace, &name, upload, false).await?;
    Ok(Success::new(described_settings(&local.script(&namespace, &name)?)))
}

impl Local {
    /// Takes an upload: all of it, or nothing.
    async fn take(&self, namespace: &str, name: &str, mut upload: Upload, strict: bool) -> Result<Success, Refusal> {
        let modules = upload.modules()?;
        let metadata = upload.metadata;
        let old = match self.script(namespace, name) {
            Ok(script) => Some(script),
            Err(_) if modules.is_some() && self.read(|account| account.namespaces.contains_key(namespace)) => None,
            Err(refusal) => return Err(refusal),
        };
        let new_code = modules.as_ref().map(|(modules, _)| Code::Uploaded(modules.clone()));
        let script = script_of(old.as_ref(), new_code.clone(), metadata.clone(), strict)?;
        self.read(|account| storage_is_there(account, &script))?;
        let messages: Vec<String> = not_here(&script);

        // The modules go where nobody looks for them until the account has them.
        let mut folder = None;
        let mut startup = Duration::ZERO;
        if let (Some((_, contents)), Code::Uploaded(kept)) = (&modules, &script.code) {
            let incoming = TempDir::new_in(&self.incoming).context("cannot keep an upload")?;
            write_all(incoming.path(), contents).context("cannot keep an upload")?;
            startup = match self.checker.check(incoming.path(), &script, kept).await? {
                Ok(startup) => startup,
                Err(reason) => return Err(Refusal::bad(INVALID, reason)),
            };
            if let Some(source) = kept.entry_source() {
                fs::write(incoming.path().join(kept.entry()), source).context("cannot keep an upload")?;
            }
            folder = Some((incoming, kept.digest.clone()));
        }
        let script = {
            let mut store = self.store();
            if let Some((folder, digest)) = &folder {
                store.keep_modules(digest, folder.path())?;
            }
            store.change(|account| {
                // Once more, with what may have changed meanwhile.
                let namespace = account.namespaces.get_mut(namespace).ok_or_else(no_namespace)?;
                let script = script_of(namespace.scripts.get(name), new_code, metadata, strict)?;
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

fn write_all(folder: &FilePath, contents: &BTreeMap<String, Bytes>) -> std::io::Result<()> {
    for (name, content) in contents {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, content)?;
    }
    Ok(())
}

/// The script that there is after an upload.
fn script_of(old: Option<&Script>, code: Option<Code>, metadata: Metadata, strict: bool) -> Result<Script, Refusal> {
    if metadata.assets.is_some() {
        return Err(Refusal::bad(INVALID, "static assets are not served by the local platform"));
    }
    // What is not said again is gone when there is new code, and stays when there is none.
    let base = match (old, &code) {
        (Some(old), None) => old.clone(),
        (old, _) => Script {
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
    let bindings = match (metadata.bindings, &code) {
        (None, None) => base.bindings,
        (None, Some(_)) if metadata.keep_bindings.is_none() => old.map(|old| old.bindings.clone()).unwrap_or_default(),
        (new, _) => merged(old, new.unwrap_or_default(), &metadata.keep_bindings.unwrap_or_default(), strict)?,
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
                axum::http::StatusCode::PRECONDITION_FAILED,
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
    keep: &std::collections::BTreeSet<String>,
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
        let id = |member: &str| binding.get(member).and_then(Value::as_str).unwrap_or_default();
        let (id, code, there, kind) = match binding.get("type").and_then(Value::as_str) {
            Some("kv_namespace") => {
                let id = id("namespace_id");
                (id, 10041, account.kv_namespaces.contains_key(id), "KV namespace")
            }
            Some("r2_bucket") => {
                let name = id("bucket_name");
                (name, 10085, account.buckets.contains_key(name), "R2 bucket")
            }
            Some("d1") => {
                let id = if binding.contains_key("id") { id("id") } else { id("database_id") };
                (id, 10181, account.databases.contains_key(id), "D1 database")
            }
            _ => continue,
        };
        if !there {
            return Err(Refusal::bad(code, format!("{kind} '{id}' not found, of the binding {}", name(binding))));
        }
    }
    Ok(())
}

/// The modules, as a form; `cf-entrypoint` names the main one.
async fn content(State(local): Api, Path((_, namespace, name)): Place) -> Result<Response, Refusal> {
    let script = local.script(&namespace, &name)?;
    let Code::Uploaded(modules) = &script.code else {
        let message = "this script is the customer Worker as the repository builds it: see customer-worker/build";
        return Err(Refusal::not_found(10092, message));
    };
    let boundary = new_id();
    let body = form(&local.store(), modules, &boundary).context("cannot read the modules")?;
    let mut response = Response::new(Body::from(body));
    let media_type = format!("multipart/form-data; boundary={boundary}");
    let value = |text: &str| HeaderValue::from_str(text).context("a module's name is not for a header");
    response.headers_mut().insert(header::CONTENT_TYPE, value(&media_type)?);
    response.headers_mut().insert("cf-entrypoint", value(&modules.main)?);
    Ok(response)
}

fn form(store: &Store, modules: &Modules, boundary: &str) -> std::io::Result<Vec<u8>> {
    let folder = store.modules(&modules.digest);
    let mut form = Vec::new();
    for (name, media_type) in &modules.media_types {
        form.extend_from_slice(
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\
                 Content-Type: {media_type}\r\n\r\n"
            )
            .as_bytes(),
        );
        form.extend(fs::read(folder.join(name))?);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(form)
}

fn described_settings(script: &Script) -> Value {
    let mut settings = script.settings.clone();
    settings.insert("bindings".to_owned(), script.bindings.iter().map(told).collect());
    settings.insert("tags".to_owned(), json!(script.tags));
    settings.insert("compatibility_date".to_owned(), json!(script.compatibility_date));
    settings.insert("compatibility_flags".to_owned(), json!(script.compatibility_flags));
    settings.insert("migration_tag".to_owned(), json!(script.migration_tag));
    settings.into()
}

async fn settings(State(local): Api, Path((_, namespace, name)): Place) -> Result<Success, Refusal> {
    Ok(Success::new(described_settings(&local.script(&namespace, &name)?)))
}

async fn bindings(State(local): Api, Path((_, namespace, name)): Place) -> Result<Success, Refusal> {
    Ok(Success::list(local.script(&namespace, &name)?.bindings.iter().map(told)))
}

async fn secrets(State(local): Api, Path((_, namespace, name)): Place) -> Result<Success, Refusal> {
    let script = local.script(&namespace, &name)?;
    Ok(Success::list(script.bindings.iter().filter(|binding| is(binding, "secret_text")).map(told)))
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    text: String,
}

async fn set_secret(State(local): Api, Path((_, namespace, script)): Place, body: Bytes) -> Result<Success, Refusal> {
    let Secret { name: called, text } = json_body(&body)?;
    if called.is_empty() {
        return Err(Refusal::bad(INVALID, "a secret needs a name"));
    }
    local.change_script(&namespace, &script, |script| {
        script.bindings.retain(|binding| name(binding) != called);
        let secret = json!({ "type": "secret_text", "name": called, "text": text });
        script.bindings.extend(secret.as_object().cloned());
        Ok(())
    })?;
    Ok(Success::new(json!({ "name": called, "type": "secret_text" })))
}

fn no_secret() -> Refusal {
    Refusal::not_found(10056, "the script has no such secret")
}

/// A place, and what is named in it.
type Named = Path<(String, String, String, String)>;

async fn secret(State(local): Api, Path((_, namespace, script, called)): Named) -> Result<Success, Refusal> {
    let script = local.script(&namespace, &script)?;
    let secret = script.bindings.iter().find(|binding| is(binding, "secret_text") && name(binding) == called);
    Ok(Success::new(told(secret.ok_or_else(no_secret)?)))
}

async fn unset_secret(State(local): Api, Path((_, namespace, script, called)): Named) -> Result<Success, Refusal> {
    local.change_script(&namespace, &script, |script| {
        let before = script.bindings.len();
        script.bindings.retain(|binding| !(is(binding, "secret_text") && name(binding) == called));
        if script.bindings.len() == before { Err(no_secret()) } else { Ok(()) }
    })?;
    Ok(Success::new(Value::Null))
}

async fn tags(State(local): Api, Path((_, namespace, name)): Place) -> Result<Success, Refusal> {
    Ok(Success::list(local.script(&namespace, &name)?.tags.into_iter().map(Value::from)))
}

impl Local {
    /// Changes what a script is tagged with, which the runtime need not know.
    fn change_tags(
        &self,
        namespace: &str,
        script: &str,
        change: impl FnOnce(&mut std::collections::BTreeSet<String>),
    ) -> Result<Success, Refusal> {
        self.change(|account| {
            let script = find_mut(account, namespace, script)?;
            change(&mut script.tags);
            Ok(Success::list(script.tags.iter().cloned().map(Value::from)))
        })
    }
}

async fn set_tags(State(local): Api, Path((_, namespace, name)): Place, body: Bytes) -> Result<Success, Refusal> {
    let new = json_body(&body)?;
    local.change_tags(&namespace, &name, |tags| *tags = new)
}

async fn tag(State(local): Api, Path((_, namespace, name, tag)): Named) -> Result<Success, Refusal> {
    local.change_tags(&namespace, &name, |tags| tags.extend([tag]))
}

async fn untag(State(local): Api, Path((_, namespace, name, tag)): Named) -> Result<Success, Refusal> {
    local.change_tags(&namespace, &name, |tags| tags.retain(|other| *other != tag))
}
