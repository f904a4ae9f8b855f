//! What the Workers share on top of workers-rs: looking up bindings, running handlers to completion, replies, request
//! ids, and log lines.

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
