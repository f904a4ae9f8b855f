//! JSON: parsing of request bodies and of values, and explanations of syntax errors.

mod body;
mod error;
mod text;
mod value;

pub use text::to_text;
pub use value::{Json, Malformed};

pub(crate) use body::{StrictObject, invalid_json, parse_object, whole_number, whole_number_or_null};
pub(crate) use value::JsonObject;
