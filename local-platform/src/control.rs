//! The HTTP interface of the supervisor for dispatch namespaces. Scripts cannot reach its socket.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::supervisor::{Name, Parameters, Supervisor};
use super::workerd::SUPERVISOR;

/// The options that the dispatcher passes when it gets a script from the namespace:
/// <https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/>.
#[derive(Debug, Deserialize)]
struct Settings {
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    outbound: Parameters,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Limits {
    cpu_ms: Option<u64>,
}

/// Serves until the task is aborted.
pub fn start(supervisor: Arc<Supervisor>) -> Result<JoinHandle<std::io::Result<()>>> {
    let socket = UnixListener::bind(supervisor.folder().socket(SUPERVISOR))
        .context("cannot listen on the supervisor's socket")?;
    let router = Router::new().route("/scripts/{name}", get(failure).put(set)).with_state(supervisor);
    Ok(tokio::spawn(axum::serve(socket, router).into_future()))
}

/// Replies with the reason why a request to a script has just failed, in Cloudflare's words, or with 204 if it is not
/// known.
async fn failure(State(supervisor): State<Arc<Supervisor>>, Path(name): Path<String>) -> Response {
    let name = Name::Script(name);
    if !supervisor.knows(&name) {
        return "Worker not found.".into_response();
    }
    match supervisor.failure(&name).await {
        Some(failure) => failure.to_string().into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// Sets the limits of a script and the parameters of its outbound Worker. Replies with 404 if there is no such script.
async fn set(
    State(supervisor): State<Arc<Supervisor>>,
    Path(name): Path<String>,
    Json(settings): Json<Settings>,
) -> StatusCode {
    let name = Name::Script(name);
    if !supervisor.knows(&name) {
        return StatusCode::NOT_FOUND;
    }
    supervisor.set_cpu_limit(&name, settings.limits.cpu_ms.map(Duration::from_millis));
    // To its end, even if the client of the request that asks for this goes.
    let set = tokio::spawn(async move { supervisor.set_parameters(&name, settings.outbound).await });
    if set.await.is_ok() { StatusCode::NO_CONTENT } else { StatusCode::INTERNAL_SERVER_ERROR }
}
