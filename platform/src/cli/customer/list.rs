//! `cargo platform customer list`

use anyhow::Result;
use platform::customers::ListedCustomer;
use serde_json::{Value, json};

use crate::cli::output::OutputFormat;
use crate::cli::target::ApiTarget;

/// Lists all customers.
pub async fn list(target: &ApiTarget, output: OutputFormat) -> Result<Value> {
    let customers: Vec<ListedCustomer> = target.customers(output).await?.list().await?;
    Ok(json!({ "customers": customers }))
}
