//! `cargo platform customer delete`

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use clap::Args;
use platform::customers::{CustomerReport, for_each};
use shared::customer::UserId;

use super::arguments::{IdArguments, deduplicate};
use crate::cli::output::{OutputFormat, UsageError};
use crate::cli::paths::repository;
use crate::cli::specs::ManifestArguments;
use crate::cli::target::ApiTarget;

#[derive(Debug, Args)]
pub struct DeleteArguments {
    #[command(flatten)]
    ids: IdArguments,

    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,

    /// Keep the storage and its contents
    #[arg(long)]
    keep_data: bool,

    #[command(flatten)]
    manifests: ManifestArguments,
}

impl DeleteArguments {
    pub async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Vec<CustomerReport>> {
        let ids = deduplicate(self.ids.ids);
        let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
        if !self.yes && !can_ask {
            bail!(UsageError("cannot ask for confirmation without a terminal: use --yes to delete".to_owned()));
        }
        let customers = &target.customers(output).await?;
        let manifests = self.manifests.location(&repository()?)?;
        if !self.yes && !confirm(&ids, self.keep_data)? {
            bail!("not confirmed: nothing was deleted");
        }
        let (manifests, keep_data) = (&manifests, self.keep_data);
        let work = async |id: UserId| {
            CustomerReport::run(id, async |id, steps| {
                let state = customers.read_state(id, &manifests.read(id)?.storage).await?;
                customers.delete(&state, keep_data, steps).await
            })
            .await
        };
        let mut progress = output.progress(ids.len());
        Ok(for_each(ids, self.ids.concurrency.get(), work, |report| progress.done(report)).await)
    }
}

/// Asks for confirmation on the terminal.
fn confirm(ids: &[UserId], keep_data: bool) -> Result<bool> {
    let data = if keep_data { "but keep their data" } else { "and all their data" };
    let ids: Vec<&str> = ids.iter().map(UserId::as_str).collect();
    let mut stderr = io::stderr();
    write!(stderr, "Delete {} {data}? [y/N] ", ids.join(", ")).context("cannot ask for confirmation")?;
    stderr.flush().context("cannot ask for confirmation")?;
    let mut reply = String::new();
    io::stdin().lock().read_line(&mut reply).context("cannot read the reply")?;
    Ok(matches!(reply.trim(), "y" | "Y" | "yes"))
}
