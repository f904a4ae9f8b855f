//! The customer Worker. It serves one customer's requests with that customer's own storage: files in R2, data in KV,
//! and a D1 database. All customers run the same Wasm, each deployed with its own bindings.
//!
//! ```text
//! fetch -> route                    finds the endpoint by path and method   404 405
//!       -> files, data, db, stats   the handlers, one module per resource   400 404 412 413 415
//!       -> bindings                 the customer's storage                  501 503
//!       -> usage::count             counts the operation if it succeeded
//!       -> respond                  returns the reply, or a problem
//! ```
//!
//! Other Workers inside the platform call the RPC methods in `rpc`, which use the same modules.
//!
//! # Example
//!
//! ```text
//! $ curl http://127.0.0.1:8787/data -H "X-User-ID: user1" -H "Content-Type: application/json" \
//!     -d '{"key": "settings", "value": {"theme": "dark"}}'
//! {"success":true,"key":"settings"}
//!
//! $ curl "http://127.0.0.1:8787/data?key=settings" -H "X-User-ID: user1"
//! {"key":"settings","value":{"theme": "dark"}}
//! ```
//!
//! The same from another Worker, over RPC:
//!
//! ```js
//! const customer = env.DISPATCHER.get("user1");
//! await customer.setData("settings", { theme: "dark" }); // { success: true, key: "settings" }
//! await customer.getData("settings");                    // { theme: "dark" }
//! ```

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
    // After a panic, the Wasm instance is unusable. This makes the next request create a new one.
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

/// Finds the endpoint of a request and runs its handler. Counts the operation if it succeeds.
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
        body::refuse_content_range(request)?;
    }
    let (operation, reply) = match endpoint {
        Endpoint::Health => return Ok(edge::json_reply(&health(request))),
        Endpoint::GetStats => return json(stats::stats(env)).await,

        Endpoint::GetFiles => match FileKey::optional_from_query(query)? {
            Some(key) if method == "HEAD" => (Operation::GetFile, boxed(files::head(env, request, &key)).await?),
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

/// Runs a handler, and returns its result as a JSON reply.
async fn json<T: Serialize>(handler: impl Future<Output = Result<T, Problem>>) -> Result<Response, Problem> {
    Ok(edge::json_reply(&boxed(handler).await?))
}

/// Boxes a handler's future as a trait object, so that its code stays a separate function, which V8 compiles only when
/// it is called. Otherwise the first request would wait until the code of all handlers is compiled.
fn boxed<'a, T>(handler: impl Future<Output = T> + 'a) -> LocalBoxFuture<'a, T> {
    handler.boxed_local()
}

fn health(request: &Request) -> Health {
    let worker = body::header(request, "X-User-ID");
    Health { status: "ok", worker, version: env!("CARGO_PKG_VERSION"), deployment: None }
}
