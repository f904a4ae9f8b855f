//! `cargo platform customer deploy`

use anyhow::Result;
use clap::Args;
use platform::customers::{CustomerSpec, Report, Targets, for_each};
use shared::customer::UserId;

use super::arguments::{Concurrency, distinct};
use crate::cli::output::OutputFormat;
use crate::cli::output::print_note;
use crate::cli::paths::repository;
use crate::cli::specs::{CodeArguments, ManifestArguments, PreparedSpec, Specs};
use crate::cli::target::ApiTarget;

#[derive(Debug, Args)]
pub struct DeployArguments {
    /// The customers' user ids
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
    ids: Vec<UserId>,

    /// All customers, but for those with code of their own that no manifest names
    #[arg(long, conflicts_with_all = ["script", "manifest"])]
    all: bool,

    /// With --all: those whose script has this tag
    #[arg(long, requires = "all", conflicts_with = "ids")]
    tag: Option<String>,

    /// Take bindings and tags away that the manifest does not name, but for secrets; else they stay
    #[arg(long)]
    exact: bool,

    #[command(flatten)]
    concurrency: Concurrency,

    #[command(flatten)]
    manifests: ManifestArguments,

    #[command(flatten)]
    code: CodeArguments,
}

impl DeployArguments {
    pub async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Vec<Report>> {
        let customers = target.customers(output).await?;
        let repository = repository()?;
        let specs = Specs::new(&repository, &self.manifests, &self.code)?;
        let targets = if self.all { Targets::All { tag: self.tag } } else { Targets::Named(distinct(self.ids)) };
        let whose = match &targets {
            Targets::All { tag: Some(tag) } => format!("script with the tag {tag}"),
            _ => "script".to_owned(),
        };
        let (ids, deployment) = customers.deployment(targets, self.exact).await?;
        if ids.is_empty() {
            // It is no failure, but a tag may be misspelt.
            print_note(format_args!("nobody is deployed to: no customer has a {whose}"));
        }
        let prepared = specs.prepare_all(ids);
        specs.build(prepared.iter().map(|(_, prepared)| prepared))?;
        let (customers, specs, deployment) = (&customers, &specs, &deployment);
        let work = async |(id, prepared): (UserId, Result<PreparedSpec>)| {
            Report::of(id, async |id, steps| {
                let prepared = prepared?;
                let order = CustomerSpec { id, manifest: &prepared.manifest, code: specs.code(&prepared)? };
                customers.deploy(order, deployment, steps).await
            })
            .await
        };
        let mut progress = output.progress(prepared.len());
        Ok(for_each(prepared, self.concurrency.number(), work, |report| progress.done(report)).await)
    }
}
