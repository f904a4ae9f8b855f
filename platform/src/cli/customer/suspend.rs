//! `cargo platform customer suspend` and `resume`

use anyhow::Result;
use platform::customers::{CustomerReport, for_each};
use shared::customer::UserId;

use super::arguments::{IdArguments, deduplicate};
use crate::cli::output::OutputFormat;
use crate::cli::target::ApiTarget;

/// Suspends or resumes customers.
pub async fn suspend(
    ids: IdArguments,
    suspended: bool,
    target: &ApiTarget,
    output: OutputFormat,
) -> Result<Vec<CustomerReport>> {
    let customers = &target.customers(output).await?;
    let work = async |id: UserId| {
        CustomerReport::run(id, async |id, steps| customers.suspend(id, suspended, steps).await).await
    };
    let concurrency = ids.concurrency.get();
    let ids = deduplicate(ids.ids);
    let mut progress = output.progress(ids.len());
    Ok(for_each(ids, concurrency, work, |report| progress.done(report)).await)
}
