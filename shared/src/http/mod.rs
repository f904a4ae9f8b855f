//! HTTP as the platform speaks it: routes, parameters, headers, forms, problems.

mod body_headers;
pub mod cors;
mod cursor;
mod header_parameters;
mod header_text;
mod key;
mod listing;
mod media_type;
mod multipart_form;
mod preconditions;
mod problem;
mod query;
mod range;
mod reply;
mod request_id;
mod route;
mod target;

pub use body_headers::{require_identity, require_whole};
pub use cursor::{Cursor, Listing};
pub use listing::MAX_LIMIT;
pub use media_type::{ContentType, is_json, is_multipart_form};
pub use multipart_form::{Content, Event, FormParser, PartHead};
pub use preconditions::{EntityTags, Evaluation, HttpDate, IfRange, Preconditions};
pub use problem::{MEDIA_TYPE as PROBLEM_MEDIA_TYPE, Problem, ProblemCode};
pub use query::Query;
pub use range::ByteRange;
pub use reply::{Deleted, Deployment, Health};
pub use request_id::RequestId;
pub use route::{
    CUSTOMER_ROUTES, CustomerEndpoint, DISPATCHER_ROUTES, DispatcherEndpoint, Route, paths as route_paths, route_name,
};
pub use target::Target;

pub(crate) use header_text::{MAX_HEADER_LEN, is_visible};
pub(crate) use key::parse_key;
pub(crate) use listing::{limit, text};
