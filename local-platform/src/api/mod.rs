//! The local Cloudflare API: what the operator's tool, wrangler and other clients ask of
//! `https://api.cloudflare.com/client/v4`, answered from the state folder and the local simulators.
//!
//! It listens on 127.0.0.1 alone and wants a token, so that no page in a browser can drive it.

mod d1;
mod kv;
mod namespaces;
mod queues;
mod r2;
mod reply;
mod scripts;
mod sql;
mod take;
mod unsupported;
mod upload;
mod validate;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Query as QueryParameters, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::account::{Account, Storage};
use super::check::Checker;
use super::door::{Answer, Call, Door};
use super::gate::Gate;
use super::listener::Listener;
use super::script::stored;
use super::store::Store;
use reply::{Page, Query, Refusal, Success};

/// The largest body that is taken, in bytes: as much as Cloudflare's API takes.
const MAX_BODY: usize = 100 << 20;

/// What the API answers from.
#[derive(Debug)]
pub struct Local {
    /// The account.
    pub store: Mutex<Store>,
    /// Storage that the runtime which runs was started with.
    pub bound: Mutex<BTreeSet<Storage>>,
    /// Who is told of what changes.
    pub gate: Gate,
    /// The way to the storage.
    pub door: Door,
    /// Tries what is uploaded.
    pub checker: Checker,
    /// What a client must have.
    pub token: String,
    /// A folder for uploads that are not taken yet.
    pub incoming: PathBuf,
    /// The dispatcher's bindings, as the API tells them.
    pub dispatcher: Vec<Value>,
}

type Api = State<Arc<Local>>;

impl Local {
    /// The account and where it is kept.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks something up in the account.
    fn read<T>(&self, read: impl FnOnce(&Account) -> T) -> T {
        read(self.store().account())
    }

    /// Changes the account.
    fn change<T>(&self, change: impl FnOnce(&mut Account) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.store().change(change)
    }

    /// Says which storage the runtime has from now on.
    pub fn bind(&self, storage: BTreeSet<Storage>) {
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner) = storage;
    }

    /// Says that some storage is new, or gone: the runtime that runs must not be asked for it, as it has what was there before.
    fn unbind(&self, storage: &Storage) {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).remove(storage);
        let is_bound = self.read(|account| {
            let mut bindings = account.scripts().flat_map(|(_, script)| &script.bindings);
            bindings.any(|binding| stored(binding).as_ref() == Some(storage))
        });
        if is_bound {
            self.gate.change();
        }
    }

    /// Asks the simulator of some storage, which is in the account. Storage that was made since the runtime started makes it
    /// start again. What the simulator has against it is told with `code`.
    async fn ask(&self, storage: Storage, call: Call<'_>, code: u64) -> Result<Answer, Refusal> {
        let is_bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner).contains(&storage);
        // What else has changed since need not be taken up for this.
        let changes = if is_bound {
            0
        } else {
            self.gate.change();
            self.gate.changes()
        };
        let reply = self.door.ask(&self.gate, changes, &storage, call).await?;
        if reply.status() == StatusCode::BAD_REQUEST {
            return Err(Refusal::bad(code, reply.text().await?));
        }
        Ok(reply)
    }
}

/// Answers at a port of 127.0.0.1 that is taken already.
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
        .merge(unsupported::routes())
        .route("/", get(this_account))
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
        .layer(middleware::from_fn_with_state(local.clone(), only_with_token))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(local)
}

async fn only_with_token(State(local): Api, request: Request, next: Next) -> Response {
    if !bearer(request.headers()).is_some_and(|token| same(token, &local.token)) {
        return Refusal::new(StatusCode::UNAUTHORIZED, 10000, "Authentication error").into_response();
    }
    let response = next.run(request).await;
    // What axum itself refuses is a text.
    let is_text =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if is_text && response.status().is_client_error() {
        let status = response.status();
        let text = axum::body::to_bytes(response.into_body(), MAX_REFUSAL).await.unwrap_or_default();
        return Refusal::new(status, 10026, String::from_utf8_lossy(&text)).into_response();
    }
    response
}

/// What a refusal of axum's is at most, in bytes.
const MAX_REFUSAL: usize = 4096;

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares tokens in a time that does not depend on where they differ.
fn same(given: &str, wanted: &str) -> bool {
    given.len() == wanted.len() && given.bytes().zip(wanted.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

async fn only_this_account(State(local): Api, request: Request, next: Next) -> Response {
    // The path here is without what the outer router has taken off.
    let original = request.extensions().get::<axum::extract::OriginalUri>().map(|uri| uri.path().to_owned());
    let id = original.as_deref().and_then(|path| path.split('/').nth(4));
    if id != Some(&*local.read(|account| account.id.clone())) {
        let message = "Authentication error: this is not the local account; `source <state folder>/env` names it";
        return Refusal::new(StatusCode::FORBIDDEN, 10000, message).into_response();
    }
    next.run(request).await
}

async fn no_route(request: Request) -> Refusal {
    nothing_for(&request, StatusCode::NOT_FOUND, 7003)
}

async fn no_method(request: Request) -> Refusal {
    nothing_for(&request, StatusCode::METHOD_NOT_ALLOWED, 10405)
}

fn nothing_for(request: &Request, status: StatusCode, code: u64) -> Refusal {
    let message = format!("the local Cloudflare API has no {} {}", request.method(), request.uri().path());
    Refusal::new(status, code, message)
}

fn described(local: &Local) -> Value {
    json!({ "id": local.read(|account| account.id.clone()), "name": "local", "type": "standard" })
}

async fn this_account(State(local): Api) -> Success {
    Success::new(described(&local))
}

async fn accounts(State(local): Api, QueryParameters(query): QueryParameters<Query>) -> Result<Success, Refusal> {
    Ok(Success::page(vec![described(&local)], Page::of(&query)?))
}

async fn memberships(State(local): Api, QueryParameters(query): QueryParameters<Query>) -> Result<Success, Refusal> {
    let membership = json!({ "id": "local", "status": "accepted", "account": described(&local) });
    Ok(Success::page(vec![membership], Page::of(&query)?))
}

async fn user() -> Success {
    Success::new(json!({ "id": "local", "email": "local@localhost" }))
}

async fn verify() -> Success {
    Success::new(json!({ "id": "local", "status": "active" }))
}
