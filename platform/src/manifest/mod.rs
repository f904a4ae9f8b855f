//! Customers' manifests, `customers/<id>.toml`: the plan, tags, storage, variables, secrets, further bindings and the
//! customer's own script.

mod binding;
mod checks;
mod limits;
mod location;
mod migration;
mod model;
mod parse;
mod spanned_error;
#[cfg(test)]
mod tests;

pub use binding::{Binding, NamedBinding, Rate, is_rate_limiter};
pub use limits::{MAX_TAGS, MAX_VARIABLE_LEN, MAX_VARIABLES, RESERVED_NAMES};
pub use location::ManifestLocation;
pub use migration::{Migration, RenamedClass, pending};
pub use model::{Manifest, StorageSpec};
