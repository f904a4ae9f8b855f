//! Runs every test in the repository.
use std::path::Path;
use anyhow::Result;
use crate::setup::Tools;
#[derive(Debug, clap::Args)]
pub struct Arguments {}
pub fn run(_repository: &Path, _tools: &Tools, _arguments: &Arguments) -> Result<()> { Ok(()) }
