//! `cargo platform customer`. Each command has a file.

mod arguments;
mod audit;
mod config;
mod create;
mod delete;
mod deploy;
mod list;
mod secret;
mod show;
mod stats;
mod suspend;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::output::{EXIT_CODES, OutputFormat};
use super::target::ApiTarget;
use super::view;
use arguments::IdArguments;
use audit::AuditArguments;
use config::ConfigArguments;
use create::CreateArguments;
use delete::DeleteArguments;
use deploy::DeployArguments;
use secret::SecretArguments;
use show::ShowArguments;
use stats::StatsArguments;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct CustomerArguments {
    #[command(subcommand)]
    command: CustomerCommand,

    /// Print the result, or the error, as one JSON document
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    target: ApiTarget,
}

#[derive(Debug, Subcommand)]
enum CustomerCommand {
    /// Create customers: storage, script and record. Existing parts stay as they are; run it again after an
    /// interruption
    #[command(after_help = EXIT_CODES)]
    Create(CreateArguments),

    /// List all customers, including incomplete ones
    #[command(after_help = EXIT_CODES)]
    List,

    /// Find scripts that are bound to resources of others, however they were uploaded
    #[command(after_help = EXIT_CODES)]
    Audit(AuditArguments),

    /// Show a customer's script, bindings, record and storage
    #[command(after_help = EXIT_CODES)]
    Show(ShowArguments),

    /// Upload the current Worker and the manifests' bindings to customers. Their data stays as it is
    #[command(after_help = EXIT_CODES)]
    Deploy(DeployArguments),

    /// Refuse all requests of customers. Takes effect within about two minutes
    #[command(after_help = EXIT_CODES)]
    Suspend(IdArguments),

    /// Accept requests of suspended customers again
    #[command(after_help = EXIT_CODES)]
    Resume(IdArguments),

    /// Set, list and delete the secrets of a customer's Worker
    Secret(SecretArguments),

    /// Delete customers and their data
    #[command(after_help = EXIT_CODES)]
    Delete(DeleteArguments),

    /// Show a customer's stats: stored data and usage
    #[command(after_help = EXIT_CODES)]
    Stats(StatsArguments),

    /// Print a wrangler file for a customer's Worker, with the ids of that customer's storage
    #[command(after_help = EXIT_CODES)]
    Config(ConfigArguments),
}

/// Runs a `customer` command.
pub fn run(arguments: CustomerArguments) -> ExitCode {
    let CustomerArguments { command, target, json } = arguments;
    let output = if json { OutputFormat::Json } else { OutputFormat::Text };
    if let Err(usage) = target.check() {
        return output.finish(Err::<(), _>(usage.into()), |()| String::new());
    }
    match tokio::runtime::Runtime::new().context("cannot start a runtime") {
        Ok(runtime) => runtime.block_on(command.run(&target, output)),
        Err(error) => output.finish(Err::<(), _>(error), |()| String::new()),
    }
}

impl CustomerCommand {
    async fn run(self, target: &ApiTarget, output: OutputFormat) -> ExitCode {
        let reports = match self {
            Self::Create(create) => create.run(target, output).await,
            Self::Deploy(deploy) => deploy.run(target, output).await,
            Self::Suspend(ids) => suspend::suspend(ids, true, target, output).await,
            Self::Resume(ids) => suspend::suspend(ids, false, target, output).await,
            Self::Delete(delete) => delete.run(target, output).await,
            Self::List => {
                return output.finish(list::list(target, output).await, |list| view::list(&list["customers"]));
            }
            Self::Audit(audit) => return output.audit(audit.run(target, output).await),
            Self::Secret(command) => return output.finish(command.run(target, output).await, secret::text),
            Self::Show(show) => return output.finish(show.run(target, output).await, view::customer),
            Self::Stats(stats) => return output.finish(stats.run(target).await, |stats| format!("{stats:#}")),
            Self::Config(config) => {
                let file = config.output.clone();
                return output.finish(config.run(target, output).await, |config| match file {
                    Some(file) => format!("wrote {}", file.display()),
                    None => config["config"].as_str().unwrap_or_default().trim_end().to_owned(),
                });
            }
        };
        match reports {
            Ok(reports) => output.summary(&reports),
            Err(error) => output.finish(Err::<(), _>(error), |()| String::new()),
        }
    }
}
