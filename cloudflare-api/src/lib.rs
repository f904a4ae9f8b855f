//! A client for the parts of the [Cloudflare API](https://developers.cloudflare.com/api/) that manage a platform's
//! customers: KV namespaces, R2 buckets, D1 databases, dispatch namespaces, and the scripts in them.
//!
//! [`Cloudflare`] stays below the API's rate limit, retries failed requests, and fetches all pages of a list.
//! [`Resource`] names what a binding refers to. [`wrangler_config`] converts bindings to the format of wrangler files.
//!
//! ```no_run
//! use cloudflare_api::{AccountCredentials, Cloudflare, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let cloudflare = Cloudflare::new(AccountCredentials::from_environment()?);
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
mod pacer;
mod resource;
mod storage;
#[cfg(test)]
mod tests;
pub mod wrangler_config;

pub use client::{AccountCredentials, Cloudflare};
pub use dispatch::{DispatchNamespace, ScriptLogs, ScriptModule, ScriptSummary, ScriptUpload};
pub use error::{ApiError, Error};
pub use resource::{Resource, ResourceKind, resources};
pub use storage::{D1Database, Jurisdiction, KvKey, KvNamespace, R2Bucket, R2Object};
