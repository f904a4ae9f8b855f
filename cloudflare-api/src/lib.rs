//! A client for the part of Cloudflare's API (<https://developers.cloudflare.com/api/>) that customers are made with:
//! storage, dispatch namespaces, and the scripts in them.
//!
//! Requests are paced below Cloudflare's limit and sent again where that may help. Lists are read to their end.
//!
//! ```no_run
//! use cloudflare_api::{Account, Cloudflare, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let cloudflare = Cloudflare::new(Account::from_environment()?);
//! let namespace = cloudflare.create_kv_namespace("customer-user1").await?;
//! cloudflare.set_kv_value(&namespace.id, "data/greeting", "\"hello\"").await?;
//! for script in cloudflare.scripts("customers").await? {
//!     println!("{}: {}", script.script_name, script.tags.join(", "));
//! }
//! # Ok(())
//! # }
//! ```

mod client;
mod dispatch;
mod error;
pub mod http;
mod lookup;
mod pace;
mod resource;
mod storage;
#[cfg(test)]
mod tests;
pub mod wrangler_config;

pub use client::{Account, Cloudflare};
pub use dispatch::{DispatchNamespace, Module, ScriptSummary, ScriptUpload};
pub use error::{ApiError, Error};
pub use resource::{Resource, ResourceKind, resources};
pub use storage::{Bucket, Database, Jurisdiction, KvKey, KvNamespace, Object};
