//! Whether what the platform promises holds while it is hard to keep. docs/reliability.md has the figures. Each is here in a
//! size for every day; `cargo xtask soak` runs the long ones.

mod abandoned;
mod clients;
mod crashes;
mod failing_storage;
mod load;
mod state_folder;

use std::env;

/// How long a long test is, where the environment says otherwise.
fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
