//! The command line of the operator's tool.

mod customer;
mod logs;
mod output;
mod paths;
mod specs;
mod target;
mod token;
mod view;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use output::EXIT_CODES;

/// Manage the platform's customers and their tokens
#[derive(Debug, Parser)]
#[command(bin_name = "cargo platform", after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: TopLevelCommand,
}

#[derive(Debug, Subcommand)]
enum TopLevelCommand {
    /// Create, change, inspect and delete customers
    Customer(customer::CustomerArguments),

    /// Print what customers' Workers have logged on the local platform: console output and exceptions
    Logs(logs::LogsArguments),

    /// Issue and check the tokens that clients send
    #[command(subcommand, after_help = EXIT_CODES)]
    Token(token::TokenCommand),

    /// Print a shell's completion script for a command or alias called `platform`
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Parses the command line and runs the command.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        TopLevelCommand::Customer(arguments) => customer::run(arguments),
        TopLevelCommand::Logs(arguments) => logs::run(&arguments),
        TopLevelCommand::Token(command) => output::finish_text(token::run(command)),
        TopLevelCommand::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "platform", &mut script);
            output::finish_text(Ok(String::from_utf8_lossy(&script).trim_end().to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_has_a_help_text() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{} of {}", argument.get_id(), command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
