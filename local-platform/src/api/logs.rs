//! The logs of scripts. Cloudflare has them in another place (Workers Logs). Here, they are a stream of JSON lines.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query as QueryParameters, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;

use super::namespaces::no_namespace;
use super::reply::Refusal;
use super::{Api, Local};
use crate::account::NAMESPACE;
use crate::script_logs::Line;

pub fn routes() -> Router<Arc<Local>> {
    Router::new().route("/workers/dispatch/namespaces/{namespace}/logs", get(logs))
}

#[derive(Debug, Deserialize)]
struct Wanted {
    /// The script whose lines are wanted, or `None` for all scripts.
    script: Option<String>,
    /// Whether the stream continues with new lines.
    #[serde(default)]
    follow: bool,
}

async fn logs(
    State(local): Api,
    Path((_, namespace)): Path<(String, String)>,
    QueryParameters(Wanted { script, follow }): QueryParameters<Wanted>,
) -> Result<Response, Refusal> {
    if namespace != NAMESPACE {
        return Err(no_namespace());
    }
    let (kept, receiver) = local.logs.read();
    let new = stream::unfold(receiver, |mut receiver| async {
        loop {
            match receiver.recv().await {
                Ok(line) => return Some((line, receiver)),
                // The reader was too slow. It continues with the oldest line that it can still get.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let wanted = move |line: &Arc<Line>| script.as_ref().is_none_or(|script| *script == line.script);
    let lines = stream::iter(kept).chain(new.take(if follow { usize::MAX } else { 0 }));
    let lines = lines.filter_map(move |line| {
        let json = wanted(&line).then(|| serde_json::to_string(&*line).expect("a line is JSON"));
        async { json.map(|json| Ok::<_, Infallible>(Bytes::from(json + "\n"))) }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}
