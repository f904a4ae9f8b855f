//! The local Cloudflare API. It answers the requests that the operator's tool, wrangler and other clients send to
//! `https://api.cloudflare.com/client/v4`, from the state folder and the local simulators.
//!
//! It listens on 127.0.0.1 only and requires a token, so that no page in a browser can use it.

mod apply;
mod d1;
mod kv;
mod logs;
mod namespaces;
mod queues;
mod r2;
mod reply;
mod scripts;
mod sql;
mod unsupported;
mod upload;
mod validate;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Result;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Query as QueryParameters, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::account::{Account, NAMESPACE, Storage};
use super::listener::Listener;
use super::lock::locked;
use super::processes::Processes;
use super::script::stored;
use super::script_logs::ScriptLogs;
use super::storage_client::{Call, StorageClient, StorageResponse};
use super::store::Store;
use reply::{Page, Query, Refusal, Success};

/// The largest request body, in bytes. It is the limit of Cloudflare's API.
const MAX_BODY: usize = 100 << 20;

/// The state of the local API.
#[derive(Debug)]
pub struct Local {
    /// The store of the account.
    pub store: Arc<Mutex<Store>>,
    /// The processes that run the scripts.
    pub processes: Processes,
    /// The client for the storage.
    pub storage: StorageClient,
    /// The logs of scripts.
    pub logs: Arc<ScriptLogs>,
    /// The token that clients must send.
    pub token: String,
    /// The folder for uploads that are not accepted yet.
    pub incoming: PathBuf,
    /// The dispatcher's bindings in the API's format.
    pub dispatcher: Vec<Value>,
    /// Held while an upload is stored and put into service, so that the last upload that is stored is also the one that
    /// serves.
    pub applying: tokio::sync::Mutex<()>,
}

type Api = State<Arc<Local>>;

impl Local {
    /// Locks the store of the account.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        locked(&self.store)
    }

    /// Reads from the account.
    fn read<T>(&self, read: impl FnOnce(&Account) -> T) -> T {
        read(self.store().account())
    }

    /// Changes the account.
    fn change<T>(&self, change: impl FnOnce(&mut Account) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.store().change(change)
    }

    /// Updates everything after storage was created or deleted. Deleted storage is emptied, and the scripts that are
    /// bound to the storage are restarted, because they must not have what was there before.
    async fn unbind(&self, storage: &Storage) -> Result<(), Refusal> {
        self.purge(storage).await?;
        self.follow().await?;
        let account = self.read(Account::clone);
        for (name, script) in account.scripts() {
            if script.bindings.iter().any(|binding| stored(binding).as_ref() == Some(storage)) {
                self.processes.reload(name).await;
            }
        }
        Ok(())
    }

    /// Updates the processes to the scripts and databases of the account.
    async fn follow(&self) -> Result<(), Refusal> {
        let closed = self.processes.follow(|| self.read(Account::clone)).await?;
        if closed.is_empty() {
            return Ok(());
        }
        self.change(|account| {
            account.removed.retain(|storage| !closed.contains(storage));
            Ok(())
        })
    }

    /// Updates the processes after scripts of a namespace were changed or deleted. Restarts `script`, in which
    /// something other than the code has changed. Only the dispatcher's namespace matters, because other scripts are
    /// not served.
    async fn changed(&self, namespace: &str, script: Option<&str>) -> Result<(), Refusal> {
        if namespace != NAMESPACE {
            return Ok(());
        }
        self.follow().await?;
        if let Some(name) = script {
            self.processes.reload(name).await;
        }
        Ok(())
    }

    /// Deletes the contents of storage that was deleted but that the hub has open.
    async fn purge(&self, storage: &Storage) -> Result<(), Refusal> {
        if !self.read(|account| account.removed.contains(storage)) {
            return Ok(());
        }
        let operation = match storage {
            Storage::Kv(_) => "kv.purge",
            Storage::R2(_) => "r2.purge",
            Storage::D1(_) | Storage::Objects(_) => return Ok(()),
        };
        let empty = self.send(storage.clone(), Call::new(operation), 10001);
        self.processes.while_emptying(storage, empty).await.map(drop)
    }

    /// Sends a request to the simulator of some storage in the account. Turns simulator errors into API errors with
    /// this code.
    async fn send(&self, storage: Storage, call: Call<'_>, code: u64) -> Result<StorageResponse, Refusal> {
        self.processes.bind(&storage).await;
        let reply = self.storage.send(&storage, call).await?;
        if reply.status() == StatusCode::BAD_REQUEST {
            return Err(Refusal::bad(code, reply.text().await?));
        }
        Ok(reply)
    }
}

/// Serves on a bound port of 127.0.0.1.
pub fn start(socket: TcpListener, local: Arc<Local>) -> Result<Listener> {
    Listener::start(socket, |socket, stopped| {
        axum::serve(socket, router(local)).with_graceful_shutdown(async { drop(stopped.await) }).into_future()
    })
}

fn router(local: Arc<Local>) -> Router {
    let account = Router::new()
        .merge(kv::routes())
        .merge(r2::routes())
        .merge(d1::routes())
        .merge(queues::routes())
        .merge(namespaces::routes())
        .merge(scripts::routes())
        .merge(logs::routes())
        .merge(unsupported::routes())
        .route("/", get(account_details))
        .layer(middleware::from_fn_with_state(local.clone(), only_this_account));
    let api = Router::new()
        .nest("/accounts/{account}", account)
        .route("/accounts", get(accounts))
        .route("/memberships", get(memberships))
        .route("/user", get(user))
        .route("/user/tokens/verify", get(verify));
    Router::new()
        .nest("/client/v4", api)
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn(run_to_completion))
        .layer(middleware::from_fn_with_state(local.clone(), only_with_token))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(local)
}

/// Handles a request to its end, even if its client goes: a change is made as a whole, or not at all.
async fn run_to_completion(request: Request, next: Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => Refusal::from(anyhow::Error::new(error)).into_response(),
    }
}

async fn only_with_token(State(local): Api, request: Request, next: Next) -> Response {
    if !bearer(request.headers()).is_some_and(|token| is_same_token(token, &local.token)) {
        return Refusal::new(StatusCode::UNAUTHORIZED, 10000, "Authentication error").into_response();
    }
    let response = next.run(request).await;
    // axum's own errors are plain text. They are converted to the API's format.
    let is_text =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if is_text && response.status().is_client_error() {
        let status = response.status();
        let text = axum::body::to_bytes(response.into_body(), MAX_REFUSAL).await.unwrap_or_default();
        return Refusal::new(status, 10026, String::from_utf8_lossy(&text)).into_response();
    }
    response
}

/// The largest error of axum that is read, in bytes.
const MAX_REFUSAL: usize = 4096;

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares tokens in constant time.
fn is_same_token(given: &str, wanted: &str) -> bool {
    given.len() == wanted.len() && given.bytes().zip(wanted.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

async fn only_this_account(State(local): Api, request: Request, next: Next) -> Response {
    // The path of `request` lacks the part that the outer router has removed.
    let original = request.extensions().get::<axum::extract::OriginalUri>().map(|uri| uri.path().to_owned());
    let id = original.as_deref().and_then(|path| path.split('/').nth(4));
    if id != Some(&*local.read(|account| account.id.clone())) {
        let message = "Authentication error: this is not the local account; `source <state folder>/env` names it";
        return Refusal::new(StatusCode::FORBIDDEN, 10000, message).into_response();
    }
    next.run(request).await
}

async fn no_route(request: Request) -> Refusal {
    no_route_refusal(&request, StatusCode::NOT_FOUND, 7003)
}

async fn no_method(request: Request) -> Refusal {
    no_route_refusal(&request, StatusCode::METHOD_NOT_ALLOWED, 10405)
}

fn no_route_refusal(request: &Request, status: StatusCode, code: u64) -> Refusal {
    let message = format!("the local Cloudflare API has no {} {}", request.method(), request.uri().path());
    Refusal::new(status, code, message)
}

fn to_json(local: &Local) -> Value {
    json!({ "id": local.read(|account| account.id.clone()), "name": "local", "type": "standard" })
}

async fn account_details(State(local): Api) -> Success {
    Success::new(to_json(&local))
}

async fn accounts(State(local): Api, QueryParameters(query): QueryParameters<Query>) -> Result<Success, Refusal> {
    Ok(Success::page(vec![to_json(&local)], Page::of(&query)?))
}

async fn memberships(State(local): Api, QueryParameters(query): QueryParameters<Query>) -> Result<Success, Refusal> {
    let membership = json!({ "id": "local", "status": "accepted", "account": to_json(&local) });
    Ok(Success::page(vec![membership], Page::of(&query)?))
}

async fn user() -> Success {
    Success::new(json!({ "id": "local", "email": "local@localhost" }))
}

async fn verify() -> Success {
    Success::new(json!({ "id": "local", "status": "active" }))
}
