//! `cargo platform customer deploy`

use anyhow::Result;
use clap::Args;
use platform::customers::{CustomerReport, CustomerSpec, Removals, Targets, for_each};
use shared::customer::UserId;

use super::arguments::{Concurrency, deduplicate};
use crate::cli::output::{OutputFormat, print_note};
use crate::cli::paths::repository;
use crate::cli::specs::{CodeArguments, ManifestArguments, PreparedSpec, Specs};
use crate::cli::target::ApiTarget;

#[derive(Debug, Args)]
pub struct DeployArguments {
    /// The customers' user ids
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
    ids: Vec<UserId>,

    /// Deploy to all customers, except those with their own code that no manifest names
    #[arg(long, conflicts_with_all = ["script", "manifest"])]
    all: bool,

    /// With --all: only customers whose script has this tag
    #[arg(long, requires = "all", conflicts_with = "ids")]
    tag: Option<String>,

    /// Remove bindings and tags that the manifest does not name. Secrets are always kept
    #[arg(long)]
    exact: bool,

    /// Let migrations delete classes of Durable Objects, with all data of their objects
    #[arg(long)]
    delete_data: bool,

    #[command(flatten)]
    concurrency: Concurrency,

    #[command(flatten)]
    manifests: ManifestArguments,

    #[command(flatten)]
    code: CodeArguments,
}

impl DeployArguments {
    pub async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Vec<CustomerReport>> {
        let customers = target.customers(output).await?;
        let repository = repository()?;
        let specs = Specs::new(&repository, &self.manifests, &self.code)?;
        let targets = if self.all { Targets::All { tag: self.tag } } else { Targets::Named(deduplicate(self.ids)) };
        let required = match &targets {
            Targets::All { tag: Some(tag) } => format!("script with the tag {tag}"),
            _ => "script".to_owned(),
        };
        let removals = Removals { exact: self.exact, delete_data: self.delete_data };
        let (ids, run) = customers.start_deploy(targets, removals).await?;
        if ids.is_empty() {
            // This is not an error, but the tag may be misspelt.
            print_note(format_args!("nothing to deploy: no customer has a {required}"));
        }
        let prepared = specs.prepare_all(ids);
        specs.build(prepared.iter().map(|(_, prepared)| prepared))?;
        let (customers, specs, run) = (&customers, &specs, &run);
        let work = async |(id, prepared): (UserId, Result<PreparedSpec>)| {
            CustomerReport::run(id, async |id, steps| {
                let prepared = prepared?;
                let spec = CustomerSpec { id, manifest: &prepared.manifest, code: specs.code(&prepared)? };
                customers.deploy(spec, run, steps).await
            })
            .await
        };
        let mut progress = output.progress(prepared.len());
        Ok(for_each(prepared, self.concurrency.get(), work, |report| progress.done(report)).await)
    }
}
