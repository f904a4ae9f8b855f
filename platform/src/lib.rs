//! The operator's side of the platform.

pub mod cloudflare;
mod http;
pub mod local;
pub mod manifest;
pub mod token;
pub mod wrangler_file;
