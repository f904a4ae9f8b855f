//! Arguments that several commands have.

use std::collections::BTreeSet;

use clap::Args;
use shared::customer::UserId;

#[derive(Debug, Args)]
pub struct IdArguments {
    /// The customers' user ids
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<UserId>,

    #[command(flatten)]
    pub concurrency: Concurrency,
}

#[derive(Debug, Args)]
pub struct Concurrency {
    /// How many customers are worked on at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
}

impl Concurrency {
    /// The number itself.
    pub fn number(&self) -> usize {
        self.concurrency.into()
    }
}

/// Each once, in the order in which they were named.
pub fn distinct(ids: Vec<UserId>) -> Vec<UserId> {
    let mut seen = BTreeSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}
