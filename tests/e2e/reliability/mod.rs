//! The platform's promises under load, crashes, failing storage and misbehaving clients. docs/reliability.md has the
//! figures. Each test has a short version, and a long one that `cargo xtask soak` runs.

mod abandoned;
mod clients;
mod crashes;
mod failing_storage;
mod load;
mod state_folder;

use std::env;

/// Returns the length of a long test from the environment, or `default`.
pub fn setting(name: &str, default: u64) -> u64 {
    env::var(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value}")))
}
