//! The operator's side of the platform.

pub mod local;
pub mod token;
