//! The operator's side of the platform.

pub mod code;
pub mod customers;

pub mod manifest;
pub mod manifests;
pub mod token;
