//! Code that all Workers of the platform share, on top of workers-rs: access to bindings and variables, handlers that
//! run to completion, replies, request ids, and log lines.
//!
//! # Example
//!
//! A Worker that returns a variable as JSON. It needs the Workers runtime to run.
//!
//! ```ignore
//! use edge::{json_reply, log_problem, problem_reply, property, run_to_completion, variable};
//! use edge::{new_request_id, request_id};
//! use shared::http::Problem;
//! use web_sys::{Request, Response};
//! use worker::{Context, Env, event};
//!
//! #[event(fetch)]
//! async fn fetch(request: Request, env: Env, ctx: Context) -> worker::Result<Response> {
//!     let id = request_id(&request.headers()).unwrap_or_else(new_request_id);
//!     let reply = run_to_completion(&ctx, greeting(&env)).await;
//!     Ok(reply.unwrap_or_else(|problem| {
//!         log_problem(&problem, id.as_str());
//!         problem_reply(&problem, id.as_str())
//!     }))
//! }
//!
//! async fn greeting(env: &Env) -> Result<Response, Problem> {
//!     let greeting = variable(&property(env, "GREETING"));
//!     let greeting = greeting.ok_or_else(|| Problem::internal_error("GREETING is not set".to_owned()))?;
//!     Ok(json_reply(&greeting))
//! }
//! ```

#[cfg(feature = "faults")]
pub mod faults;

mod bindings;
mod completion;
mod js;
mod log;
mod reply;
mod request_id;

pub use bindings::{BindingError, binding, property, variable};
pub use completion::run_to_completion;
pub use js::{await_promise, error_message, global, number, object, set};
pub use log::{log_error, log_problem};
pub use reply::{VARY, headers, json_reply, json_text_reply, new_response, problem_reply, set_header};
pub use request_id::{REQUEST_ID_HEADER, new_request_id, request_id};
