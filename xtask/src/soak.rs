//! What takes too long for every day.

use std::path::Path;

use anyhow::Result;

use crate::setup::Tools;
use crate::{reproduce, test};

/// Run what takes long.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run only the tests whose names contain this, and do not build the Workers twice
    filter: Option<String>,

    /// For how many minutes customers are at work, in each test where they are
    #[arg(long, default_value_t = 5)]
    minutes: u32,

    /// How often the runtime is killed
    #[arg(long, default_value_t = 20)]
    rounds: u32,
}

/// Runs it all, one after another.
pub fn run(repository: &Path, tools: &Tools, arguments: &Arguments) -> Result<()> {
    let settings = [("SOAK_MINUTES", arguments.minutes.to_string()), ("SOAK_ROUNDS", arguments.rounds.to_string())];
    let tests = test::Arguments { filter: arguments.filter.clone(), long: true, settings: settings.to_vec() };
    test::run(repository, tools, &tests)?;
    if arguments.filter.is_none() { reproduce::run(repository, tools) } else { Ok(()) }
}
