//! The customer Worker: one Wasm for all customers, each bound to that customer's own storage. A request's way through
//! it:
//!
//! ```text
//! fetch -> Target                   path and query
//!       -> route                    which resource, which method
//!       -> files, data, db, stats   one module each, on the storage that bindings hands out
//!       -> usage::count             what succeeded is counted
//!       -> the reply, or a problem
//! ```
//!
//! Callers inside the platform come in by rpc instead, to the same modules.

mod bindings;
mod body;
mod data;
mod db;
#[cfg(feature = "faults")]
mod faults;
mod files;
mod rpc;
mod stats;
mod usage;

use edge::task::{Holds, apart};
use shared::{DataKey, DataPage, FileKey, FilesPage, Operation, Problem, Query, Target, reply};
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};
use worker::event;

use crate::files::uploads;

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// Not an `#[event(fetch)]`, whose executor costs more than most of what happens here: see [`edge::task`]. What follows the
/// request was read of it in `entry.js`: `sends` says whether it has a body.
#[wasm_bindgen]
#[must_use]
pub fn fetch(request: Request, method: String, url: String, sends: bool) -> JsValue {
    let holds = if sends { Holds::Much } else { Holds::Little };
    edge::task::run(holds, async move { Ok(answer(&request, &method, &url).await.into()) })
}

async fn answer(request: &Request, method: &str, url: &str) -> Response {
    route(request, method, Target::of(url)).await.unwrap_or_else(|problem| {
        let request_id = edge::request_id(&request.headers()).map(|id| id.to_string()).unwrap_or_default();
        edge::log_problem(&problem, &request_id);
        edge::problem_reply(&problem, &request_id)
    })
}

/// Finds the route, and counts the operation if it succeeds.
#[expect(clippy::match_same_arms, reason = "a route's methods stand with the route")]
async fn route(request: &Request, method: &str, target: Target<'_>) -> Result<Response, Problem> {
    use Operation::{
        AbortUpload, BatchDatabase, CompleteUpload, CreateUpload, DeleteData, DeleteFile, GetData, GetFile, ListData,
        ListFiles, QueryDatabase, SetData, UploadFile, UploadPart,
    };

    #[cfg(feature = "faults")]
    if let Some(fault) = target.path.strip_prefix("/faults/") {
        return faults::act(fault, request).await;
    }
    let query = Query::parse(target.query)?;
    let (operation, reply) = match (target.path, method) {
        ("/", "GET" | "HEAD") => return Ok(health(request)),
        ("/", _) => return Err(Problem::method_not_allowed("GET, HEAD")),

        ("/files", "GET" | "HEAD") => match FileKey::in_query(query)? {
            Some(key) if method == "HEAD" => (GetFile, apart(files::inspect(request, &key)).await?),
            Some(key) => (GetFile, apart(files::download(request, &key)).await?),
            None => (ListFiles, json(&apart(files::list(&FilesPage::from_query(query)?)).await?)),
        },
        ("/files", "POST") => (UploadFile, json(&apart(files::upload_form(request)).await?)),
        ("/files", "PUT") => (UploadFile, json(&apart(files::upload(request, query)).await?)),
        ("/files", "DELETE") => {
            files::refuse_conditions(request)?;
            (DeleteFile, json(&apart(files::delete(&FileKey::from_query(query)?)).await?))
        }
        ("/files", _) => return Err(Problem::method_not_allowed("GET, HEAD, POST, PUT, DELETE")),

        ("/files/uploads", "POST") => (CreateUpload, json(&apart(uploads::create(request, query)).await?)),
        ("/files/uploads", "PUT") => (UploadPart, json(&apart(uploads::put_part(request, query)).await?)),
        ("/files/uploads", "DELETE") => (AbortUpload, json(&apart(uploads::abort(query)).await?)),
        ("/files/uploads", _) => return Err(Problem::method_not_allowed("POST, PUT, DELETE")),
        ("/files/uploads/complete", "POST") => (CompleteUpload, json(&apart(uploads::complete(request, query)).await?)),
        ("/files/uploads/complete", _) => return Err(Problem::method_not_allowed("POST")),

        ("/data", "GET" | "HEAD") => match DataKey::in_query(query)? {
            Some(key) => (GetData, apart(data::get(&key)).await?),
            None => (ListData, apart(data::list(&DataPage::from_query(query)?)).await?),
        },
        ("/data", "POST") => (SetData, json(&apart(data::set(request)).await?)),
        ("/data", "DELETE") => (DeleteData, json(&apart(data::delete(&DataKey::from_query(query)?)).await?)),
        ("/data", _) => return Err(Problem::method_not_allowed("GET, HEAD, POST, DELETE")),

        ("/stats", "GET" | "HEAD") => return Ok(json(&apart(stats::stats()).await?)),
        ("/stats", _) => return Err(Problem::method_not_allowed("GET, HEAD")),

        ("/db/query", "POST") => (QueryDatabase, json(&apart(db::query(request)).await?)),
        ("/db/batch", "POST") => (BatchDatabase, json(&apart(db::batch(request)).await?)),
        ("/db/query" | "/db/batch", _) => return Err(Problem::method_not_allowed("POST")),

        _ => return Err(Problem::not_found()),
    };
    usage::count(operation);
    Ok(reply)
}

fn health(request: &Request) -> Response {
    let user_id = body::header(request, "X-User-ID");
    let version = env!("CARGO_PKG_VERSION");
    let health = reply::Health { status: "ok", worker: user_id.as_deref(), version, deployment: None };
    json(&health.to_json())
}

fn json(body: &str) -> Response {
    edge::json_reply(&JsValue::from(body))
}
