//! What more than one part of the platform needs, in plain Rust: no runtime types, so that it compiles natively and
//! to Wasm and is tested in microseconds.
//!
//! Everything a client sends is parsed here once ([`UserId`], [`FileKey`], [`DataKey`], [`SetData`], [`token::Token`]); what comes out
//! cannot be invalid, and a [`Problem`] says what was wrong with the rest.

mod coding;
pub mod cors;
mod cursor;
mod customer;
mod data;
mod file_headers;
mod form;
mod json;
mod json_error;
mod json_value;
mod key;
mod media_type;
mod outbound;
mod page;
mod parameters;
mod preconditions;
mod problem;
mod query;
mod range;
pub mod reply;
mod request_id;
mod route;
mod sql;
mod sql_text;
mod target;
pub mod token;
pub mod upload;
mod usage;
mod user_id;

pub use coding::{require_identity, require_whole};
pub use cursor::{Cursor, Listing};
pub use customer::{CustomerRecord, Limits, Plan};
pub use data::{Expiry, SetData};
pub use file_headers::{FileHeaders, StoredMetadata};
pub use form::{Content, Event, FormParser, PartHead};
pub use json_value::{Json, Malformed};
pub use key::{DataKey, FileKey};
pub use media_type::{ContentType, is_json, is_multipart_form};
pub use outbound::{AllowedHosts, OutboundLog};
pub use page::{DataPage, FilesPage, MAX_LIMIT};
pub use preconditions::{EntityTags, HttpDate, IfRange, Outcome, Preconditions};
pub use problem::{Code, MEDIA_TYPE as PROBLEM_MEDIA_TYPE, Problem};
pub use query::Query;
pub use range::ByteRange;
pub use request_id::RequestId;
pub use route::{
    CUSTOMER_ROUTES, CustomerEndpoint, DISPATCHER_ROUTES, DispatcherEndpoint, Route, paths as route_paths, route_name,
};
pub use sql::{Param, Statement};
pub use target::Target;
pub use usage::{Operation, Usage};
pub use user_id::{InvalidUserId, UserId};
