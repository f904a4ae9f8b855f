//! `cargo platform customer audit`

use anyhow::Result;
use clap::Args;
use platform::customers::Audit;

use crate::cli::output::OutputFormat;
use crate::cli::paths::repository;
use crate::cli::specs::ManifestArguments;
use crate::cli::target::ApiTarget;

#[derive(Debug, Args)]
pub struct AuditArguments {
    #[command(flatten)]
    manifests: ManifestArguments,
}

impl AuditArguments {
    pub async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Audit> {
        let customers = target.customers(output).await?;
        let manifests = self.manifests.location(&repository()?)?;
        customers.audit(|id| manifests.read(id)).await
    }
}
