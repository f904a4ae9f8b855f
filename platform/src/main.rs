//! The operator's tool. `cargo platform help` lists what it does.

use std::env;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use platform::token::{Grant, Secrets, parse_scope, rotate};
use shared::UserId;
use shared::token::{Scope, Trust};

/// The operator's tool of the platform.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo platform")]
struct Cli {
    #[command(subcommand)]
    topic: Topic,
}

#[derive(Debug, Subcommand)]
enum Topic {
    /// Make and check the tokens that customers' clients send
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Print a token for a customer, and nothing else
    Issue(Issue),

    /// Check a token as the dispatcher does, and print what it says
    Verify(Verify),

    /// Print `TOKEN_SECRETS` with a new secret in front, which signs from then on; the newest of those there are go on verifying
    Rotate(Rotate),
}

#[derive(Debug, Args)]
struct Issue {
    /// Whose requests it is for
    user_id: UserId,

    /// What it allows: read (GET and HEAD), write (everything else)
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', default_value = "read,write", value_parser = parse_scope)]
    scope: Vec<Scope>,

    /// How long it is good for, such as 15m, 1h or 30d
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,

    #[command(flatten)]
    keys: Keys,
}

#[derive(Debug, Args)]
struct Verify {
    /// The token; read from standard input if it is not there
    token: Option<String>,

    #[command(flatten)]
    keys: Keys,
}

#[derive(Debug, Args)]
struct Rotate {
    /// How many of the secrets that there are, the newest first, go on verifying
    #[arg(long, value_name = "N", default_value_t = 1)]
    keep: usize,

    /// The secrets that there are; a first one is made where there are none
    #[arg(long, env = "TOKEN_SECRETS", hide_env_values = true, value_name = "JSON")]
    secrets: Option<String>,
}

/// Where the secrets are, and what besides a token must say. Read from the same variables as the dispatcher reads.
#[derive(Debug, Args)]
struct Keys {
    /// The state folder of a local platform, whose secrets are used; else those of the environment variable `TOKEN_SECRETS`
    /// or, where it is not set, of .platform in the repository
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// The audience, `aud`
    #[arg(long, env = "TOKEN_AUDIENCE", value_name = "NAME")]
    audience: Option<String>,

    /// The issuer, `iss`
    #[arg(long, env = "TOKEN_ISSUER", value_name = "NAME")]
    issuer: Option<String>,
}

impl Keys {
    fn secrets(&self) -> Result<Secrets> {
        if self.state.is_none()
            && let Some(json) = env::var("TOKEN_SECRETS").ok().filter(|json| !json.is_empty())
        {
            return Secrets::parse(&json).context("the environment variable TOKEN_SECRETS cannot be used");
        }
        let state = self.state.clone().unwrap_or_else(default_state);
        Secrets::of_state(&state)?.with_context(|| {
            format!(
                "there are no secrets: set TOKEN_SECRETS, or run `cargo xtask dev --auth token`, which makes them in {}",
                state.display()
            )
        })
    }

    fn trust<'a>(&'a self) -> Trust<'a> {
        // An empty variable is none.
        let set = |value: &'a Option<String>| value.as_deref().filter(|value| !value.is_empty());
        Trust { audience: set(&self.audience), issuer: set(&self.issuer) }
    }
}

/// The local platform's state folder: of the checkout that Cargo runs this for.
fn default_state() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR");
    let repository = manifest.as_deref().map(Path::new).and_then(Path::parent);
    repository.unwrap_or(Path::new(".")).join(".platform")
}

fn parse_ttl(text: &str) -> Result<Duration> {
    let ttl = humantime::parse_duration(text)?;
    if ttl < Duration::from_secs(1) {
        bail!("a token is good for a second at least");
    }
    Ok(ttl)
}

fn main() -> ExitCode {
    let Cli { topic: Topic::Token(command) } = Cli::parse();
    let done = match command {
        TokenCommand::Issue(arguments) => issue(&arguments),
        TokenCommand::Verify(arguments) => verify(&arguments),
        TokenCommand::Rotate(Rotate { keep, secrets }) => {
            rotate(secrets.as_deref().filter(|secrets| !secrets.is_empty()), keep)
        }
    };
    match done.and_then(|text| writeln!(io::stdout(), "{text}").context("cannot write to standard output")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn issue(arguments: &Issue) -> Result<String> {
    arguments.keys.secrets()?.issue(&Grant {
        user_id: &arguments.user_id,
        scopes: &arguments.scope,
        ttl: arguments.ttl,
        trust: arguments.keys.trust(),
    })
}

fn verify(arguments: &Verify) -> Result<String> {
    let secrets = arguments.keys.secrets()?;
    let token = match &arguments.token {
        Some(token) => token.clone(),
        None if io::stdin().is_terminal() => bail!("give the token as an argument, or on standard input"),
        None => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            text
        }
    };
    Ok(secrets.verify(token.trim(), arguments.keys.trust())?)
}
