//! The scripts in a dispatch namespace: <https://developers.cloudflare.com/api/resources/workers_for_platforms/>.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::{Multipart, Path, Query as QueryParameters, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{get, patch, put};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::apply::Unspecified;
use super::namespaces::no_namespace;
use super::reply::{INVALID, Query, Refusal, Success, json_body};
use super::upload::{Metadata, Upload};
use super::validate::{check_bindings, check_tags};
use super::{Api, Local};
use crate::account::{Account, Code, Modules, Script, new_id, now};
use crate::binding_types::{Binding, binding_name, has_type, member, unsupported_bindings};
use crate::store::Store;
use crate::workerd::ModuleKind;
use platform::code::json_module;

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
        .route(&under("/secrets-bulk"), patch(set_secrets))
        .route(&under("/tags"), get(tags).put(set_tags))
        .route(&under("/tags/{tag}"), put(tag).delete(untag))
}

/// The parameters of a script's path: account, namespace, script.
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
    /// Returns a script.
    pub fn script(&self, namespace: &str, script: &str) -> Result<Script, Refusal> {
        self.read(|account| find(account, namespace, script).cloned())
    }

    /// Changes a script. If its namespace is the dispatcher's, its next process has the change.
    async fn change_script(
        &self,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Script) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        // Not while an upload becomes the script that serves.
        let _applying = self.applying.lock().await;
        self.change(|account| {
            let script = find_mut(account, namespace, name)?;
            change(script)?;
            script.modified = now();
            Ok(())
        })?;
        self.changed(namespace, Some(name)).await
    }
}

fn to_json(name: &str, script: &Script) -> Value {
    json!({
        "id": name,
        "etag": script.etag(),
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

/// Returns a binding as the API shows it, without secrets.
fn redacted(binding: &Binding) -> Value {
    let mut redacted = binding.clone();
    match member(binding, "type") {
        "secret_text" => redacted.retain(|member, _| member != "text"),
        "secret_key" => redacted.retain(|member, _| member != "key_base64" && member != "key_jwk"),
        _ => {}
    }
    redacted.into()
}

/// Returns the scripts that match the tags of a query: `tags=a:yes,b:no`.
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
        Ok(Success::list(with_tags(account, &namespace, &query)?.map(|(name, script)| to_json(name, script))))
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
    local.changed(&namespace, None).await?;
    Ok(Success::list(removed.into_iter().map(Value::from)))
}

async fn one(State(local): Api, Path((_, namespace, name)): Place) -> Result<Success, Refusal> {
    let script = local.script(&namespace, &name)?;
    Ok(Success::new(json!({
        "script": to_json(&name, &script),
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
    local.changed(&namespace, None).await?;
    Ok(Success::new(Value::Null))
}

/// Checks the name of a script. The same names are valid in wrangler's files.
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
    // With new code, everything that the upload does not mention is removed. Without new code, it is kept.
    let unspecified = if upload.modules.is_empty() { Unspecified::Keep } else { Unspecified::Reset };
    local.apply(&namespace, &name, upload, unspecified, strict).await
}

/// Replaces the code. The form is that of an upload. Everything else is kept.
async fn set_content(
    State(local): Api,
    Path((_, namespace, name)): Place,
    form: Multipart,
) -> Result<Success, Refusal> {
    let Upload { metadata: Metadata { main_module, body_part, .. }, modules } = Upload::read(form).await?;
    local.script(&namespace, &name)?;
    if modules.is_empty() {
        return Err(Refusal::bad(INVALID, "there is no module"));
    }
    let metadata = Metadata { main_module, body_part, ..Metadata::default() };
    local.apply(&namespace, &name, Upload { metadata, modules }, Unspecified::Keep, false).await
}

/// Changes everything but the code. Settings that the form does not mention are kept.
async fn set_settings(
    State(local): Api,
    Path((_, namespace, name)): Place,
    form: Multipart,
) -> Result<Success, Refusal> {
    let Upload { metadata, .. } = Upload::read(form).await?;
    let metadata = Metadata { main_module: None, body_part: None, ..metadata };
    local.apply(&namespace, &name, Upload { metadata, modules: BTreeMap::new() }, Unspecified::Keep, false).await?;
    Ok(Success::new(described_settings(&local.script(&namespace, &name)?)))
}

/// Returns the modules as a form. The header `cf-entrypoint` names the main module.
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
        let content = fs::read(folder.join(name))?;
        form.extend(match ModuleKind::of(media_type) {
            Some(ModuleKind::Json) => json_module::unwrapped(content),
            _ => content,
        });
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(form)
}

fn described_settings(script: &Script) -> Value {
    let mut settings = script.settings.clone();
    settings.insert("bindings".to_owned(), script.bindings.iter().map(redacted).collect());
    settings.insert("tags".to_owned(), json!(script.tags));
    settings.insert("compatibility_date".to_owned(), json!(script.compatibility_date));
    settings.insert("compatibility_flags".to_owned(), json!(script.compatibility_flags));
    settings.insert("migration_tag".to_owned(), json!(script.migration_tag));
    settings.into()
}

async fn settings(State(local): Api, Path((_, namespace, name)): Place) -> Result<Success, Refusal> {
    let script = local.script(&namespace, &name)?;
    Ok(Success::new(described_settings(&script)).with_messages(unsupported_bindings(&script.bindings)))
}

async fn bindings(State(local): Api, Path((_, namespace, name)): Place) -> Result<Success, Refusal> {
    Ok(Success::list(local.script(&namespace, &name)?.bindings.iter().map(redacted)))
}

async fn secrets(State(local): Api, Path((_, namespace, name)): Place) -> Result<Success, Refusal> {
    let script = local.script(&namespace, &name)?;
    Ok(Success::list(script.bindings.iter().filter(|binding| has_type(binding, "secret_text")).map(redacted)))
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    text: String,
}

impl Secret {
    /// Adds the secret to a script. A secret of the same name is replaced.
    fn set(self, script: &mut Script) -> Result<(), Refusal> {
        let Self { name: called, text } = self;
        if script.bindings.iter().any(|binding| binding_name(binding) == called && !has_type(binding, "secret_text")) {
            return Err(Refusal::bad(10053, format!("Binding name '{called}' already in use.")));
        }
        script.bindings.retain(|binding| binding_name(binding) != called);
        let secret = json!({ "type": "secret_text", "name": called, "text": text });
        script.bindings.extend(secret.as_object().cloned());
        Ok(())
    }
}

async fn set_secret(State(local): Api, Path((_, namespace, script)): Place, body: Bytes) -> Result<Success, Refusal> {
    let secret: Secret = json_body(&body)?;
    let created = json!({ "name": secret.name, "type": "secret_text" });
    local
        .change_script(&namespace, &script, |script| {
            secret.set(script)?;
            check_bindings(&script.bindings)
        })
        .await?;
    Ok(Success::new(created))
}

/// The maximum number of secrets in a request:
/// <https://developers.cloudflare.com/changelog/post/2026-06-03-bulk-secrets-api/>.
const MAX_SECRETS: usize = 100;

/// Secrets by their names; `null` deletes one. Secrets that are not mentioned are kept.
#[derive(Deserialize)]
struct Secrets {
    #[serde(default)]
    secrets: BTreeMap<String, Option<Secret>>,
}

/// Changes several secrets: either all of them or none.
async fn set_secrets(State(local): Api, Path((_, namespace, script)): Place, body: Bytes) -> Result<Success, Refusal> {
    let Secrets { secrets } = json_body(&body)?;
    if secrets.len() > MAX_SECRETS {
        let message = format!("{} secrets are too many for one request: at most {MAX_SECRETS}", secrets.len());
        return Err(Refusal::bad(INVALID, message));
    }
    local
        .change_script(&namespace, &script, |script| {
            for (called, secret) in secrets {
                match secret {
                    Some(secret) if secret.name != called => {
                        let message = format!("the secret {called} has another name in it, {:?}", secret.name);
                        return Err(Refusal::bad(INVALID, message));
                    }
                    Some(secret) => secret.set(script)?,
                    // It is not an error if the secret does not exist.
                    None => script
                        .bindings
                        .retain(|binding| !(has_type(binding, "secret_text") && binding_name(binding) == called)),
                }
            }
            check_bindings(&script.bindings)
        })
        .await?;
    let script = local.script(&namespace, &script)?;
    let secrets = script.bindings.iter().filter(|binding| has_type(binding, "secret_text"));
    let all: Map<String, Value> = secrets.map(|secret| (binding_name(secret).to_owned(), redacted(secret))).collect();
    Ok(Success::new(all.into()))
}

fn no_secret() -> Refusal {
    Refusal::not_found(10056, "the script has no such secret")
}

/// The parameters of a path below a script's: account, namespace, script, secret or tag.
type Named = Path<(String, String, String, String)>;

async fn secret(State(local): Api, Path((_, namespace, script, called)): Named) -> Result<Success, Refusal> {
    let script = local.script(&namespace, &script)?;
    let secret =
        script.bindings.iter().find(|binding| has_type(binding, "secret_text") && binding_name(binding) == called);
    Ok(Success::new(redacted(secret.ok_or_else(no_secret)?)))
}

async fn unset_secret(State(local): Api, Path((_, namespace, script, called)): Named) -> Result<Success, Refusal> {
    local
        .change_script(&namespace, &script, |script| {
            let before = script.bindings.len();
            script.bindings.retain(|binding| !(has_type(binding, "secret_text") && binding_name(binding) == called));
            if script.bindings.len() == before { Err(no_secret()) } else { Ok(()) }
        })
        .await?;
    Ok(Success::new(Value::Null))
}

async fn tags(State(local): Api, Path((_, namespace, name)): Place) -> Result<Success, Refusal> {
    Ok(Success::list(local.script(&namespace, &name)?.tags.into_iter().map(Value::from)))
}

impl Local {
    /// Changes the tags of a script. Its process does not depend on them.
    fn change_tags(
        &self,
        namespace: &str,
        script: &str,
        change: impl FnOnce(&mut std::collections::BTreeSet<String>),
    ) -> Result<Success, Refusal> {
        self.change(|account| {
            let script = find_mut(account, namespace, script)?;
            change(&mut script.tags);
            check_tags(&script.tags)?;
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
