//! `cargo platform customer create`

use anyhow::Result;
use clap::Args;
use platform::customers::{CustomerReport, CustomerSpec, RunCache, for_each};
use shared::customer::UserId;

use super::arguments::{IdArguments, deduplicate};
use crate::cli::output::OutputFormat;
use crate::cli::paths::repository;
use crate::cli::specs::{CodeArguments, ManifestArguments, PreparedSpec, Specs};
use crate::cli::target::ApiTarget;

#[derive(Debug, Args)]
pub struct CreateArguments {
    #[command(flatten)]
    ids: IdArguments,

    /// Print what would be created, and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    manifests: ManifestArguments,

    #[command(flatten)]
    code: CodeArguments,
}

impl CreateArguments {
    pub async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Vec<CustomerReport>> {
        let customers = target.customers(output).await?;
        let repository = repository()?;
        let specs = Specs::new(&repository, &self.manifests, &self.code)?;
        let prepared = specs.prepare_all(deduplicate(self.ids.ids));
        if !self.dry_run {
            specs.build(prepared.iter().map(|(_, prepared)| prepared))?;
        }
        let (customers, specs, run) = (&customers, &specs, &RunCache::default());
        let work = async |(id, prepared): (UserId, Result<PreparedSpec>)| {
            CustomerReport::run(id, async |id, steps| {
                let prepared = prepared?;
                let manifest = &prepared.manifest;
                if self.dry_run {
                    return customers.create_dry_run(id, manifest, run, steps).await;
                }
                customers.create(CustomerSpec { id, manifest, code: specs.code(&prepared)? }, run, steps).await
            })
            .await
        };
        let mut progress = output.progress(prepared.len());
        let at_a_time = self.ids.concurrency.get();
        Ok(for_each(prepared, at_a_time, work, |report| progress.done(report)).await)
    }
}
