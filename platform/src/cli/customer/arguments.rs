//! Arguments that several commands share.

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
    /// Number of customers to process at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
}

impl Concurrency {
    pub fn get(&self) -> usize {
        self.concurrency.into()
    }
}

/// Removes repeated ids and keeps the order.
pub fn deduplicate(ids: Vec<UserId>) -> Vec<UserId> {
    let mut seen = BTreeSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}
