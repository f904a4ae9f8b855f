//! `cargo platform logs`

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use shared::customer::UserId;

use super::output::{EXIT_CODES, OutputFormat, UsageError, finish_text, print};
use super::target::ApiTarget;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct LogsArguments {
    /// Only this customer's Worker
    id: Option<UserId>,

    /// Go on with what is logged from now on
    #[arg(long, short)]
    follow: bool,

    /// Print each line as a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: ApiTarget,
}

/// Prints what customers' Workers have logged.
pub fn run(arguments: &LogsArguments) -> ExitCode {
    let result = match tokio::runtime::Runtime::new().context("cannot start a runtime") {
        Ok(runtime) => runtime.block_on(print_lines(arguments)),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => finish_text(Err(error)),
    }
}

async fn print_lines(LogsArguments { id, follow, json, target }: &LogsArguments) -> Result<()> {
    target.check()?;
    if !target.local {
        let message = "logs are read from the local platform: add --local. The logs of an account are in Workers Logs, where \
                       `$metadata.service` is the script's name";
        return Err(UsageError(message.to_owned()).into());
    }
    let output = if *json { OutputFormat::Json } else { OutputFormat::Text };
    let mut logs = target.customers(output).await?.logs(id.as_ref(), *follow).await?;
    while let Some(line) = logs.next_line().await.context("the local platform has stopped")? {
        if *json {
            print(line);
        } else {
            let line: Value = serde_json::from_str(&line).context("the local platform sent a line that is not JSON")?;
            let text = |name: &str| line[name].as_str().unwrap_or_default();
            print(format_args!("{} {} {} {}", text("timestamp"), text("script"), text("level"), text("message")));
        }
    }
    Ok(())
}
