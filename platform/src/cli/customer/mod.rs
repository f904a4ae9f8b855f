//! `cargo platform customer`, one file for each command.

mod arguments;
mod audit;
mod config;
mod create;
mod delete;
mod deploy;
mod list;
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
use show::ShowArguments;
use stats::StatsArguments;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Print one JSON document, failures included
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    target: ApiTarget,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make customers: storage, script, record. What is there already stays; run again, it finishes what was begun
    #[command(after_help = EXIT_CODES)]
    Create(CreateArguments),

    /// List all customers
    #[command(after_help = EXIT_CODES)]
    List,

    /// Report each customer's script that is bound to what others have as well, however it was uploaded
    #[command(after_help = EXIT_CODES)]
    Audit(AuditArguments),

    /// Show all there is of a customer
    #[command(after_help = EXIT_CODES)]
    Show(ShowArguments),

    /// Upload the current Worker to customers, with the bindings of their manifests; their data stays
    #[command(after_help = EXIT_CODES)]
    Deploy(DeployArguments),

    /// Have all requests of customers refused; takes effect within about two minutes
    #[command(after_help = EXIT_CODES)]
    Suspend(IdArguments),

    /// Let suspended customers' requests in again
    #[command(after_help = EXIT_CODES)]
    Resume(IdArguments),

    /// Delete customers, with their data
    #[command(after_help = EXIT_CODES)]
    Delete(DeleteArguments),

    /// Show what a customer has stored and done
    #[command(after_help = EXIT_CODES)]
    Stats(StatsArguments),

    /// Print a wrangler file of a customer's, with that customer's own ids
    #[command(after_help = EXIT_CODES)]
    Config(ConfigArguments),
}

/// Does what the command line says.
pub fn run(arguments: Arguments) -> ExitCode {
    let Arguments { command, target, json } = arguments;
    let output = if json { OutputFormat::Json } else { OutputFormat::Text };
    if let Err(usage) = target.check() {
        return output.answer(Err::<(), _>(usage.into()), |()| String::new());
    }
    match tokio::runtime::Runtime::new().context("cannot start a runtime") {
        Ok(runtime) => runtime.block_on(command.run(&target, output)),
        Err(error) => output.answer(Err::<(), _>(error), |()| String::new()),
    }
}

impl Command {
    async fn run(self, target: &ApiTarget, output: OutputFormat) -> ExitCode {
        let reports = match self {
            Self::Create(create) => create.run(target, output).await,
            Self::Deploy(deploy) => deploy.run(target, output).await,
            Self::Suspend(ids) => suspend::suspend(ids, true, target, output).await,
            Self::Resume(ids) => suspend::suspend(ids, false, target, output).await,
            Self::Delete(delete) => delete.run(target, output).await,
            Self::List => {
                return output.answer(list::list(target, output).await, |listed| view::list(&listed["customers"]));
            }
            Self::Audit(audit) => return output.audit(audit.run(target, output).await),
            Self::Show(show) => return output.answer(show.run(target, output).await, view::customer),
            Self::Stats(stats) => return output.answer(stats.run(target).await, |stats| format!("{stats:#}")),
            Self::Config(config) => {
                let file = config.output.clone();
                return output.answer(config.run(target, output).await, |config| match file {
                    Some(file) => format!("{} is written", file.display()),
                    None => config["config"].as_str().unwrap_or_default().trim_end().to_owned(),
                });
            }
        };
        match reports {
            Ok(reports) => output.summary(&reports),
            Err(error) => output.answer(Err::<(), _>(error), |()| String::new()),
        }
    }
}
