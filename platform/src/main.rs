//! The operator's tool. `cargo platform help` lists what it does.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
