//! Dispatch namespaces: <https://developers.cloudflare.com/api/resources/workers_for_platforms/>.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{any, get, put};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reply::{INVALID, Refusal, Success, json_body};
use super::{Api, Local};
use crate::account::{NAMESPACE, Namespace};
use platform::token::TokenSecrets;

pub fn routes() -> Router<Arc<Local>> {
    Router::new()
        .route("/workers/dispatch/namespaces", get(list).post(create))
        .route("/workers/dispatch/namespaces/{namespace}", get(one).put(rename).delete(remove))
        .route("/workers/scripts/{script}/settings", get(worker_settings))
        .route("/workers/scripts/{script}/secrets", put(set_worker_secret).fallback(no_worker))
        .route("/workers/scripts/{script}", any(no_worker))
        .route("/workers/scripts/{script}/{*rest}", any(no_worker))
        .route("/workers/services/{script}", any(no_worker))
        .route("/workers/services/{script}/{*rest}", any(no_worker))
}

#[derive(Deserialize)]
struct Wanted {
    name: String,
}

fn to_json(name: &str, namespace: &Namespace) -> Value {
    json!({
        "namespace_id": namespace.id,
        "namespace_name": name,
        "created_on": namespace.created,
        "modified_on": namespace.created,
        "script_count": namespace.scripts.len(),
        "trusted_workers": false,
    })
}

/// Returns the error for a namespace that does not exist.
pub fn no_namespace() -> Refusal {
    Refusal::not_found(100_119, "workers.api.error.dispatch_namespace_not_found")
}

fn is_taken() -> Refusal {
    Refusal::new(StatusCode::CONFLICT, 100_118, "workers.api.error.dispatch_namespace_already_exists")
}

fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=63).contains(&name.len()) && name.bytes().all(inner)
}

fn new_name(name: &str) -> Result<(), Refusal> {
    if !is_name(name) {
        return Err(Refusal::bad(100_117, "a namespace's name is 1 to 63 letters, digits, - and _"));
    }
    Ok(())
}

async fn list(State(local): Api) -> Success {
    Success::list(local.read(|account| {
        let namespaces = account.namespaces.iter();
        namespaces.map(|(name, namespace)| to_json(name, namespace)).collect::<Vec<_>>()
    }))
}

async fn create(State(local): Api, body: Bytes) -> Result<Success, Refusal> {
    let Wanted { name } = json_body(&body)?;
    new_name(&name)?;
    let namespace = local.change(|account| {
        if account.namespaces.contains_key(&name) {
            return Err(is_taken());
        }
        let namespace = account.namespaces.entry(name.clone()).or_insert_with(Namespace::new);
        Ok(to_json(&name, namespace))
    })?;
    Ok(Success::new(namespace))
}

async fn one(State(local): Api, Path((_, name)): Path<(String, String)>) -> Result<Success, Refusal> {
    let namespace = local.read(|account| account.namespaces.get(&name).map(|one| to_json(&name, one)));
    Ok(Success::new(namespace.ok_or_else(no_namespace)?))
}

async fn rename(State(local): Api, Path((_, name)): Path<(String, String)>, body: Bytes) -> Result<Success, Refusal> {
    let Wanted { name: new } = json_body(&body)?;
    new_name(&new)?;
    let namespace = local.change(|account| {
        if new != name && account.namespaces.contains_key(&new) {
            return Err(is_taken());
        }
        let namespace = account.namespaces.remove(&name).ok_or_else(no_namespace)?;
        let renamed = to_json(&new, &namespace);
        account.namespaces.insert(new.clone(), namespace);
        Ok(renamed)
    })?;
    if [&*name, &*new].contains(&NAMESPACE) {
        local.changed(NAMESPACE, None).await?;
    }
    Ok(Success::new(namespace))
}

async fn remove(State(local): Api, Path((_, name)): Path<(String, String)>) -> Result<Success, Refusal> {
    local.change(|account| {
        let scripts = account.namespaces.get(&name).ok_or_else(no_namespace)?.scripts.keys().cloned();
        for script in scripts.collect::<Vec<_>>() {
            account.remove_script(&name, &script);
        }
        account.namespaces.remove(&name);
        Ok(())
    })?;
    local.changed(&name, None).await?;
    Ok(Success::new(Value::Null))
}

/// Returns the settings of a Worker of the account. The dispatcher is the only one.
async fn worker_settings(State(local): Api, Path((_, script)): Path<(String, String)>) -> Result<Success, Refusal> {
    if script != "dispatcher" {
        return Err(no_worker().await);
    }
    Ok(Success::new(json!({ "bindings": local.dispatcher, "tags": [] })))
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    text: String,
}

/// Sets a secret of the dispatcher, as `wrangler secret put` does. `TOKEN_SECRETS` is the only one.
async fn set_worker_secret(
    State(local): Api,
    Path((_, script)): Path<(String, String)>,
    body: Bytes,
) -> Result<Success, Refusal> {
    if script != "dispatcher" {
        return Err(no_worker().await);
    }
    let Secret { name, text } = json_body(&body)?;
    if name != "TOKEN_SECRETS" || !local.processes.definitions().has_token_secrets {
        let message = format!("the local dispatcher has no secret {name}: there is TOKEN_SECRETS, with `--auth token`");
        return Err(Refusal::bad(INVALID, message));
    }
    TokenSecrets::parse(&text).map_err(|error| Refusal::bad(INVALID, format!("{name} is invalid: {error:#}")))?;
    local.processes.set_token_secrets(&text).await?;
    Ok(Success::new(json!({ "name": name, "type": "secret_text" })))
}

async fn no_worker() -> Refusal {
    let message = "This Worker does not exist on your account: the local one has scripts in dispatch namespaces \
                   (--dispatch-namespace customers) and the dispatcher alone, which is not deployed here";
    Refusal::not_found(10007, message)
}
