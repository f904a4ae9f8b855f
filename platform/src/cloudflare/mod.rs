//! The part of Cloudflare's API (<https://developers.cloudflare.com/api/>) that customers are made with: storage, dispatch
//! namespaces and the scripts in them.

mod client;
mod dispatch;
mod error;
mod lookup;
mod pace;
mod storage;
#[cfg(test)]
mod tests;

pub use client::{Account, Cloudflare};
pub use dispatch::{DispatchNamespace, Module, Script, SecretName, Upload};
pub use error::{ApiError, Error};
pub use storage::{Bucket, Database, Jurisdiction, KvKey, KvNamespace, Object};
