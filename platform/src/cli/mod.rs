//! The command line of the operator's tool.

mod customer;
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

/// The operator's tool of the platform.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo platform", after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    topic: Topic,
}

#[derive(Debug, Subcommand)]
enum Topic {
    /// Make, change and remove customers
    Customer(customer::Arguments),

    /// Make and check the tokens that customers' clients send
    #[command(subcommand, after_help = EXIT_CODES)]
    Token(token::Command),

    /// Print what makes a shell complete `platform`, as the program is called by itself
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    match Cli::parse().topic {
        Topic::Customer(arguments) => customer::run(arguments),
        Topic::Token(command) => output::line(token::run(command)),
        Topic::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "platform", &mut script);
            output::line(Ok(String::from_utf8_lossy(&script).trim_end().to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_for() {
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
