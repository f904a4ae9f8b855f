//! The operator's side of the platform.

pub mod cloudflare;
pub mod code;
pub mod customers;
mod http;
pub mod local;
pub mod manifest;
pub mod manifests;
pub mod token;
pub mod wrangler_file;
