//! `cargo platform customer suspend` and `resume`

use anyhow::Result;
use platform::customers::{Report, for_each};
use shared::customer::UserId;

use super::arguments::{IdArguments, distinct};
use crate::cli::output::OutputFormat;
use crate::cli::target::ApiTarget;

/// Suspends or resumes customers.
pub async fn suspend(
    ids: IdArguments,
    suspended: bool,
    target: &ApiTarget,
    output: OutputFormat,
) -> Result<Vec<Report>> {
    let customers = &target.customers(output).await?;
    let work = async |id: UserId| Report::of(id, async |id, steps| customers.suspend(id, suspended, steps).await).await;
    let each = distinct(ids.ids);
    let mut progress = output.progress(each.len());
    Ok(for_each(each, ids.concurrency.number(), work, |report| progress.done(report)).await)
}
