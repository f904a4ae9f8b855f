//! JSON: bodies, values that somebody else parses, and what is wrong with text that is not JSON.

mod body;
mod error;
mod text;
mod value;

pub use text::to_text;
pub use value::{Json, Malformed};

pub(crate) use body::{Object, invalid_json, parse_object, whole, whole_or_null};
pub(crate) use value::Members;
