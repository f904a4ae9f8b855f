//! The customer's storage. This module uses the types of `worker`. Where those would copy a body into Wasm or lack an
//! option, it uses the runtime's own types. Results are types of `shared`, and errors are problems.

mod data_store;
mod database;
mod file_store;
mod write_condition;

use edge::BindingError;
use shared::http::Problem;
use wasm_bindgen::JsCast;
use worker::Env;

pub use data_store::DataStore;
pub use database::UserDatabase;
pub use file_store::{FileStore, MAX_PUT_LEN, MultipartUpload, PendingPart, PutResult, StoredFile};
pub use write_condition::{WriteCondition, is_r2_etag};

/// Looks up a binding by its name and a member that only its type has. If it is missing, the client gets the problem
/// "this customer has no `description`".
fn lookup<T: JsCast>(env: &Env, binding_name: &str, member: &str, description: &'static str) -> Result<T, Problem> {
    edge::binding(edge::property(env, binding_name), binding_name, member).map_err(|error| match error {
        BindingError::NotBound | BindingError::PlainValue(_) => Problem::binding_not_attached(description),
        BindingError::WrongType(cause) => Problem::storage_unavailable(cause),
    })
}
