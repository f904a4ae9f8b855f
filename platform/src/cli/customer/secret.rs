//! `cargo platform customer secret`

use std::io::{self, IsTerminal, Read};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use shared::customer::UserId;

use crate::cli::output::{EXIT_CODES, OutputFormat, UsageError, print_note};
use crate::cli::target::ApiTarget;

#[derive(Debug, Args)]
pub struct SecretArguments {
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// Set a secret to the text on standard input, without a line break at its end. Deployments keep it
    #[command(after_help = EXIT_CODES)]
    Put(SecretName),

    /// List the names of a customer's secrets
    #[command(after_help = EXIT_CODES)]
    List {
        /// The customer's user id
        id: UserId,
    },

    /// Delete a secret
    #[command(after_help = EXIT_CODES)]
    Delete(SecretName),
}

#[derive(Debug, Args)]
struct SecretName {
    /// The customer's user id
    id: UserId,

    /// The name of the secret in the Worker's `env`
    name: String,
}

impl SecretArguments {
    /// Runs the command. Returns what has happened, and the names of the secrets for `list`.
    pub async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Value> {
        match self.command {
            SecretCommand::Put(SecretName { id, name }) => {
                let text = read_secret(io::stdin())?;
                target.customers(output).await?.put_secret(&id, &name, &text).await?;
                Ok(json!({ "id": id, "secret": name, "outcome": "updated" }))
            }
            SecretCommand::List { id } => {
                let secrets = target.customers(output).await?.secrets(&id).await?;
                Ok(json!({ "id": id, "secrets": secrets }))
            }
            SecretCommand::Delete(SecretName { id, name }) => {
                target.customers(output).await?.delete_secret(&id, &name).await?;
                Ok(json!({ "id": id, "secret": name, "outcome": "deleted" }))
            }
        }
    }
}

/// Formats the result of a command.
pub fn text(result: &Value) -> String {
    let member = |name: &str| result[name].as_str().unwrap_or_default().to_owned();
    match result["secrets"].as_array() {
        Some(secrets) => secrets.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        None => format!("{}: secret {} {}", member("id"), member("secret"), member("outcome")),
    }
}

/// Reads a secret to the end of the input. An argument would be in the shell's history and in lists of processes.
fn read_secret(mut input: impl Read + IsTerminal) -> Result<String> {
    if input.is_terminal() {
        print_note("Type the secret, then Enter and Ctrl-D:");
    }
    let mut text = String::new();
    input.read_to_string(&mut text).context("cannot read the secret from standard input")?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(UsageError("the secret is empty; send its text on standard input".to_owned()).into());
    }
    Ok(text.to_owned())
}
