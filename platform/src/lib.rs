//! The operator's side of the platform: creates, changes, audits and deletes customers, and issues their tokens. The
//! binary `platform`, which `cargo platform` runs, is its command line.
//!
//! - [`customers`]: the customers in a Cloudflare account or on the local platform.
//! - [`manifest`]: customers' manifests, which describe their plans, storage, bindings and scripts.
//! - [`code`]: the code of customers' scripts.
//! - [`token`]: the tokens of customers' clients.
//!
//! ```no_run
//! use cloudflare_api::{AccountCredentials, Cloudflare};
//! use platform::customers::Customers;
//!
//! # async fn example() -> anyhow::Result<()> {
//! let cloudflare = Cloudflare::new(AccountCredentials::from_environment()?);
//! let customers = Customers::connect(cloudflare, "dispatcher").await?;
//! for customer in customers.list().await? {
//!     println!("{}: {}", customer.id, customer.script.as_deref().unwrap_or("no script"));
//! }
//! # Ok(())
//! # }
//! ```

pub mod code;
pub mod customers;
pub mod manifest;
pub mod token;
