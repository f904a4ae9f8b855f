//! Runs the long tests, and compares two builds of the Workers.

use std::path::Path;

use anyhow::Result;

use crate::setup::Tools;
use crate::{reproduce, test};

/// Run the long tests.
#[derive(Debug, clap::Args)]
pub struct SoakArguments {
    /// Run only the tests whose names contain this, and do not compare two builds of the Workers
    filter: Option<String>,

    /// How many minutes the load lasts, in each test under load
    #[arg(long, default_value_t = 5)]
    minutes: u32,

    /// How many times the runtime is killed
    #[arg(long, default_value_t = 20)]
    rounds: u32,
}

/// Runs the tests one after another. Without a filter, compares two builds as well.
pub fn run(repository: &Path, tools: &Tools, arguments: &SoakArguments) -> Result<()> {
    let settings = [("SOAK_MINUTES", arguments.minutes.to_string()), ("SOAK_ROUNDS", arguments.rounds.to_string())];
    let tests = test::TestArguments { filter: arguments.filter.clone(), long: true, settings: settings.to_vec() };
    test::run(repository, tools, &tests)?;
    if arguments.filter.is_none() { reproduce::run(repository, tools) } else { Ok(()) }
}
