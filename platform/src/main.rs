//! The operator's tool. `cargo platform help` lists its commands.
//!
//! ```sh
//! cargo platform customer create user1
//! cargo platform token issue user1 --ttl 15m
//! ```

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
