//! `cargo platform token`

use std::env;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use platform::token::{Grant, Secrets, parse_scope, rotate};
use shared::auth::{Scope, Trust};
use shared::customer::UserId;

use super::paths::default_state;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a token for a customer, and nothing else
    Issue(Issue),

    /// Check a token as the dispatcher does, and print what it says
    Verify(Verify),

    /// Print `TOKEN_SECRETS` with a new secret in front, which signs from then on; the newest of those there are go on verifying
    Rotate(Rotate),
}

#[derive(Debug, Args)]
pub struct Issue {
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
pub struct Verify {
    /// The token; read from standard input if it is not there
    token: Option<String>,

    #[command(flatten)]
    keys: Keys,
}

#[derive(Debug, Args)]
pub struct Rotate {
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

    #[command(flatten)]
    parties: Parties,
}

/// For whom tokens are, and by whom.
#[derive(Debug, Args)]
pub struct Parties {
    /// The audience of tokens, `aud`
    #[arg(long, env = "TOKEN_AUDIENCE", value_name = "NAME")]
    audience: Option<String>,

    /// The issuer of tokens, `iss`
    #[arg(long, env = "TOKEN_ISSUER", value_name = "NAME")]
    issuer: Option<String>,
}

impl Keys {
    fn secrets(&self) -> Result<Secrets> {
        if self.state.is_none()
            && let Some(secrets) = of_environment()?
        {
            return Ok(secrets);
        }
        let state = self.state.clone().unwrap_or_else(default_state);
        Secrets::of_state(&state)?.with_context(|| {
            format!(
                "there are no secrets: set TOKEN_SECRETS, or run `cargo xtask dev --auth token`, which makes them in {}",
                state.display()
            )
        })
    }
}

/// The secrets of the environment variable `TOKEN_SECRETS`.
pub fn of_environment() -> Result<Option<Secrets>> {
    let json = env::var("TOKEN_SECRETS").ok().filter(|json| !json.is_empty());
    json.map(|json| Secrets::parse(&json).context("the environment variable TOKEN_SECRETS cannot be used")).transpose()
}

impl Parties {
    /// What a token must say of them.
    pub fn trust(&self) -> Trust<'_> {
        // An empty variable is none.
        fn set(value: Option<&String>) -> Option<&str> {
            value.map(String::as_str).filter(|value| !value.is_empty())
        }
        Trust { audience: set(self.audience.as_ref()), issuer: set(self.issuer.as_ref()) }
    }
}

fn parse_ttl(text: &str) -> Result<Duration> {
    let ttl = humantime::parse_duration(text)?;
    if ttl < Duration::from_secs(1) {
        bail!("a token is good for a second at least");
    }
    Ok(ttl)
}

/// Does it, and answers what to print.
pub fn run(command: Command) -> Result<String> {
    match command {
        Command::Issue(arguments) => issue(&arguments),
        Command::Verify(arguments) => verify(&arguments),
        Command::Rotate(Rotate { keep, secrets }) => {
            rotate(secrets.as_deref().filter(|secrets| !secrets.is_empty()), keep)
        }
    }
}

fn issue(arguments: &Issue) -> Result<String> {
    arguments.keys.secrets()?.issue(&Grant {
        user_id: &arguments.user_id,
        scopes: &arguments.scope,
        ttl: arguments.ttl,
        trust: arguments.keys.parties.trust(),
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
    Ok(secrets.verify(token.trim(), arguments.keys.parties.trust())?)
}
