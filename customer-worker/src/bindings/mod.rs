//! The customer's storage: `worker`'s types, and the runtime's own where those would copy a body into Wasm or cannot
//! express what is needed. Results are domain types, failures are problems.

mod data_store;
mod database;
mod file_store;
mod write_condition;

use edge::BindingError;
use shared::http::Problem;
use wasm_bindgen::JsCast;
use worker::Env;

pub use data_store::DataStore;
pub use database::Database;
pub use file_store::{FileStore, MAX_PUT_LEN, MultipartUpload, PendingPart, PutResult, StoredFile};
pub use write_condition::{WriteCondition, is_r2_etag};

/// Looks up a binding of the customer's by its name and a member that only its type has. `description` is what the client
/// is told that is missing.
fn lookup<T: JsCast>(env: &Env, name: &str, member: &str, description: &'static str) -> Result<T, Problem> {
    edge::binding(edge::property(env, name), name, member).map_err(|error| match error {
        BindingError::NotBound | BindingError::PlainValue(_) => Problem::binding_not_attached(description),
        BindingError::WrongType(cause) => Problem::storage_unavailable(cause),
    })
}
