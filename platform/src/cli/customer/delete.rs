//! `cargo platform customer delete`

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use clap::Args;
use platform::customers::{Report, for_each};
use shared::customer::UserId;

use super::arguments::{IdArguments, distinct};
use crate::cli::output::OutputFormat;
use crate::cli::output::UsageError;
use crate::cli::paths::repository;
use crate::cli::specs::ManifestArguments;
use crate::cli::target::ApiTarget;

#[derive(Debug, Args)]
pub struct DeleteArguments {
    #[command(flatten)]
    ids: IdArguments,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Keep the storage, with what is in it
    #[arg(long)]
    keep_data: bool,

    #[command(flatten)]
    manifests: ManifestArguments,
}

impl DeleteArguments {
    pub async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Vec<Report>> {
        let ids = distinct(self.ids.ids);
        let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
        if !self.yes && !can_ask {
            bail!(UsageError("say --yes where nobody can be asked: this deletes customers".to_owned()));
        }
        let customers = &target.customers(output).await?;
        let manifests = self.manifests.manifests(&repository()?)?;
        if !self.yes && !confirmed(&ids, self.keep_data)? {
            bail!("nothing is deleted");
        }
        let (manifests, keep_data) = (&manifests, self.keep_data);
        let work = async |id: UserId| {
            Report::of(id, async |id, steps| {
                let found = customers.inspect(id, &manifests.read(id)?.storage).await?;
                customers.delete(&found, keep_data, steps).await
            })
            .await
        };
        let mut progress = output.progress(ids.len());
        Ok(for_each(ids, self.ids.concurrency.number(), work, |report| progress.done(report)).await)
    }
}

/// Asks whether they are to be deleted.
fn confirmed(ids: &[UserId], keep_data: bool) -> Result<bool> {
    let data = if keep_data { "but not their data" } else { "with all their data" };
    let ids: Vec<&str> = ids.iter().map(UserId::as_str).collect();
    let mut stderr = io::stderr();
    write!(stderr, "Delete {}, {data}? [y/N] ", ids.join(", ")).context("cannot ask")?;
    stderr.flush().context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
