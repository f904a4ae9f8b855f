//! The HTTP API: routes, parameters, headers, forms, and problems.

mod body_headers;
pub mod cors;
mod cursor;
mod header_parameters;
mod header_text;
mod media_type;
mod multipart_form;
mod parameters;
mod preconditions;
mod problem;
mod query;
mod range;
mod reply;
mod request_id;
mod route;
mod target;
mod websocket;

pub use body_headers::{require_complete, require_identity};
pub use cursor::{Cursor, Listing};
pub use media_type::{ContentType, is_json, is_multipart_form};
pub use multipart_form::{FormParser, MultipartEvent, PartContent, PartHeaders};
pub use parameters::MAX_LIMIT;
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
pub use websocket::{PLATFORM_PROTOCOL, ProtocolOffer};

pub(crate) use header_text::{MAX_HEADER_LEN, is_visible};
pub(crate) use parameters::{limit_parameter, parse_key, text_parameter};
