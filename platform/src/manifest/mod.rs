//! What a customer gets, as a file says it: `customers/<id>.toml`.

mod binding;
mod checks;
mod limits;
mod model;
mod parse;
#[cfg(test)]
mod tests;
mod toml_error;

pub use binding::{Binding, NamedBinding, Rate, is_rate_limiter};
pub use limits::{MAX_TAGS, MAX_VARIABLE_LEN, MAX_VARIABLES, RESERVED_NAMES};
pub use model::{Manifest, StorageSpec};
