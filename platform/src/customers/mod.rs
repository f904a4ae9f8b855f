//! Customers. Each has a script in the dispatch namespace, storage that only this script is bound to, and a record if
//! the dispatcher has a binding `CUSTOMERS`.
//!
//! ```text
//! create -> ownership -> storage (KV, R2, D1) -> script -> record
//! delete -> record -> script -> storage
//! ```
//!
//! | commands | modules |
//! | --- | --- |
//! | `create`, `deploy`, `delete` | `create`, `deploy`, `delete`, on `storage`, `upload`, `record` |
//! | `suspend`, `resume` | `record` |
//! | `secret` | `secrets` |
//! | `show`, `list`, `stats`, `config`, `audit` | `state`, `list`, `stats`, `config`, `audit` |
//!
//! Everything is found by its name, which contains the user id. An interrupted command can therefore be run again: it
//! completes the work and creates nothing twice.

mod audit;
mod config;
mod create;
mod delete;
mod deploy;
mod list;
mod lookup;
mod ownership;
mod platform;
mod record;
mod report;
mod run_cache;
mod secrets;
mod state;
mod stats;
mod storage;
#[cfg(test)]
mod tests;
mod upload;

pub use audit::{Audit, Crossing};
pub use config::ConfigFile;
pub use deploy::{DeployRun, Removals, Targets};
pub use list::ListedCustomer;
pub use ownership::ResourceClaims;
pub use platform::{CustomerSpec, Customers};
pub use report::{Component, CustomerReport, Outcome, Step, Steps, for_each};
pub use run_cache::RunCache;
pub use state::CustomerState;
pub use stats::stats;
