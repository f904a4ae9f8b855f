//! The customer Worker: one Wasm for all customers, each bound to that customer's own storage. A request's way through
//! it:
//!
//! ```text
//! fetch -> route                    path and method lead to an endpoint     404 405
//!       -> files, data, db, stats   one module for each resource
//!       -> bindings                 the customer's storage                  501 503
//!       -> usage::count             what succeeded is counted
//!       -> the reply, or a problem
//! ```
//!
//! Workers inside the platform come in by `rpc` instead, to the same modules.

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

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde::Serialize;
use shared::customer::Operation;
use shared::data::{DataKey, DataPage};
use shared::files::{FileKey, FilesPage};
use shared::http::{CUSTOMER_ROUTES, CustomerEndpoint, Health, Problem, Query, Route, Target};
use wasm_bindgen::handler;
use web_sys::{Request, Response};
use worker::{Context, Env, event};

use crate::files::uploads;

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
    // A panic leaves the Wasm instance unusable: the next request gets a new one.
    handler::set_on_abort(handler::schedule_reinit);
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> worker::Result<Response> {
    Ok(edge::run_to_completion(&ctx, respond(&request, &env, &ctx)).await)
}

async fn respond(request: &Request, env: &Env, ctx: &Context) -> Response {
    route(request, env, ctx).await.unwrap_or_else(|problem| {
        let request_id = edge::request_id(&request.headers()).map(|id| id.to_string()).unwrap_or_default();
        edge::log_problem(&problem, &request_id);
        edge::problem_reply(&problem, &request_id)
    })
}

/// Finds the endpoint, and counts the operation if it succeeds.
async fn route(request: &Request, env: &Env, ctx: &Context) -> Result<Response, Problem> {
    use CustomerEndpoint as Endpoint;

    let (url, method) = (request.url(), request.method());
    let Target { path, query } = Target::parse(&url);
    #[cfg(feature = "faults")]
    if let Some(fault) = path.strip_prefix("/faults/") {
        return faults::act(fault, request, env).await;
    }
    let query = Query::parse(query)?;
    let endpoint = Route::require(CUSTOMER_ROUTES, path)?.endpoint(&method)?;
    if matches!(&*method, "POST" | "PUT") {
        body::require_whole(request)?;
    }
    let (operation, reply) = match endpoint {
        Endpoint::Health => return Ok(edge::json_reply(&health(request))),
        Endpoint::GetStats => return json(stats::stats(env)).await,

        Endpoint::GetFiles => match FileKey::optional_from_query(query)? {
            Some(key) if method == "HEAD" => (Operation::GetFile, boxed(files::inspect(env, request, &key)).await?),
            Some(key) => (Operation::GetFile, boxed(files::download(env, request, &key)).await?),
            None => (Operation::ListFiles, json(files::list(env, &FilesPage::from_query(query)?)).await?),
        },
        Endpoint::UploadForm => (Operation::UploadFile, json(files::upload_form(env, request)).await?),
        Endpoint::UploadFile => (Operation::UploadFile, json(files::upload(env, request, query)).await?),
        Endpoint::DeleteFile => {
            files::refuse_conditions(request)?;
            (Operation::DeleteFile, json(files::delete(env, &FileKey::from_query(query)?)).await?)
        }

        Endpoint::CreateUpload => (Operation::CreateUpload, json(uploads::create(env, request, query)).await?),
        Endpoint::PutPart => (Operation::UploadPart, json(uploads::put_part(env, request, query)).await?),
        Endpoint::AbortUpload => (Operation::AbortUpload, json(uploads::abort(env, query)).await?),
        Endpoint::CompleteUpload => (Operation::CompleteUpload, json(uploads::complete(env, request, query)).await?),

        Endpoint::GetData => match DataKey::optional_from_query(query)? {
            Some(key) => (Operation::GetData, boxed(data::get(env, &key)).await?),
            None => (Operation::ListData, json(data::list(env, &DataPage::from_query(query)?)).await?),
        },
        Endpoint::SetData => (Operation::SetData, json(data::set(env, request)).await?),
        Endpoint::DeleteData => (Operation::DeleteData, json(data::delete(env, &DataKey::from_query(query)?)).await?),

        Endpoint::QueryDatabase => (Operation::QueryDatabase, boxed(db::query(env, request)).await?),
        Endpoint::BatchDatabase => (Operation::BatchDatabase, boxed(db::batch(env, request)).await?),
    };
    usage::count(operation, env, ctx);
    Ok(reply)
}

/// Runs an endpoint's handler, and replies with what it returns.
async fn json<T: Serialize>(handler: impl Future<Output = Result<T, Problem>>) -> Result<Response, Problem> {
    Ok(edge::json_reply(&boxed(handler).await?))
}

/// Boxes a handler's future as a trait object, so that its code stays a function of its own, which V8 compiles when it is
/// first called. Otherwise the first request waits until the code of all handlers is compiled.
fn boxed<'a, T>(handler: impl Future<Output = T> + 'a) -> LocalBoxFuture<'a, T> {
    handler.boxed_local()
}

fn health(request: &Request) -> Health {
    let worker = body::header(request, "X-User-ID");
    Health { status: "ok", worker, version: env!("CARGO_PKG_VERSION"), deployment: None }
}
