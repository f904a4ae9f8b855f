//! The customer Worker: one Wasm for all customers, each bound to that customer's own storage. A request's way through
//! it:
//!
//! ```text
//! fetch -> Target                   path and query
//!       -> route                    which resource, which method
//!       -> files, data, stats       one module each, on the storage that bindings hands out
//!       -> the reply, or a problem
//! ```

mod bindings;
mod body;
mod data;
mod files;
mod stats;

use shared::{Problem, Query, Target, reply};
use wasm_bindgen::JsCast;
use web_sys::{Request, Response};
use worker::{Context, Env, Result, event};

use crate::bindings::Bindings;

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let reply = route(&request, env.unchecked_ref()).await;
    Ok(reply.unwrap_or_else(|problem| edge::problem_reply(&problem, edge::request_id(&request).as_ref())))
}

async fn route(request: &Request, bindings: &Bindings) -> Result<Response, Problem> {
    let url = request.url();
    let target = Target::of(&url);
    let query = Query::new(target.query);
    let method = request.method();
    match (target.path, &*method) {
        ("/", "GET" | "HEAD") => Ok(health(request)),
        ("/", _) => Err(Problem::method_not_allowed("GET, HEAD")),

        ("/files", "GET") => files::download(query, bindings).await,
        ("/files", "HEAD") => files::inspect(query, bindings).await,
        ("/files", "POST") => files::upload_form(request, bindings).await,
        ("/files", "DELETE") => files::delete(query, bindings).await,
        ("/files", _) => Err(Problem::method_not_allowed("GET, HEAD, POST, DELETE")),

        ("/data", "GET" | "HEAD") => data::get(query, bindings).await,
        ("/data", "POST") => data::set(request, bindings).await,
        ("/data", "DELETE") => data::delete(query, bindings).await,
        ("/data", _) => Err(Problem::method_not_allowed("GET, HEAD, POST, DELETE")),

        ("/stats", "GET" | "HEAD") => stats::stats(bindings).await,
        ("/stats", _) => Err(Problem::method_not_allowed("GET, HEAD")),

        _ => Err(Problem::not_found()),
    }
}

fn health(request: &Request) -> Response {
    let user_id = request.headers().get("X-User-ID").ok().flatten();
    let health = reply::Health { status: "ok", worker: user_id.as_deref(), version: env!("CARGO_PKG_VERSION") };
    edge::json_reply(&reply::to_json(&health).into())
}
