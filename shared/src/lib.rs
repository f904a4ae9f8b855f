//! What more than one part of the platform needs, in plain Rust: no runtime types, so that it compiles natively and
//! to Wasm and is tested in microseconds.
//!
//! Everything a client sends is parsed here once ([`UserId`], [`FileKey`], [`DataKey`], [`SetData`]); what comes out
//! cannot be invalid, and a [`Problem`] says what was wrong with the rest.

mod data;
mod key;
mod media_type;
mod problem;
mod query;
pub mod reply;
mod request_id;
mod target;
mod user_id;

pub use data::SetData;
pub use key::{DataKey, FileKey};
pub use media_type::{ContentType, is_json, is_multipart_form};
pub use problem::{Code, MEDIA_TYPE as PROBLEM_MEDIA_TYPE, Problem};
pub use query::Query;
pub use request_id::RequestId;
pub use target::Target;
pub use user_id::{InvalidUserId, UserId};
