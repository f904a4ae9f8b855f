//! `cargo platform token`

use std::env;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use platform::token::{NewToken, TokenSecrets, parse_scope, rotate};
use shared::auth::{Scope, Trust};
use shared::customer::UserId;

use super::paths::default_state;

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Print a new token for a customer
    Issue(IssueArguments),

    /// Check a token as the dispatcher does, and print its claims
    Verify(VerifyArguments),

    /// Print `TOKEN_SECRETS` with a new first secret, which signs new tokens. The newest old secrets still verify
    /// tokens
    Rotate(RotateArguments),
}

#[derive(Debug, Args)]
pub struct IssueArguments {
    /// The user id of the customer that the token is for
    user_id: UserId,

    /// The token's scopes: read (GET and HEAD), write (everything else)
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', default_value = "read,write", value_parser = parse_scope)]
    scope: Vec<Scope>,

    /// The token's lifetime, such as 15m, 1h or 30d
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,

    #[command(flatten)]
    secrets: SecretsArguments,
}

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The token [default: read from standard input]
    token: Option<String>,

    #[command(flatten)]
    secrets: SecretsArguments,
}

#[derive(Debug, Args)]
pub struct RotateArguments {
    /// Number of old secrets to keep for verification, starting with the newest
    #[arg(long, value_name = "N", default_value_t = 1)]
    keep: usize,

    /// The current secrets. Without any, the first one is created
    #[arg(long, env = "TOKEN_SECRETS", hide_env_values = true, value_name = "JSON")]
    secrets: Option<String>,
}

/// The arguments for the secrets, the audience and the issuer. The environment variables are those of the dispatcher.
#[derive(Debug, Args)]
struct SecretsArguments {
    /// Use the secrets in this state folder of a local platform [default: the environment variable `TOKEN_SECRETS` or,
    /// if it is not set, .platform in the repository]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    #[command(flatten)]
    trust: TrustArguments,
}

/// The arguments for the audience and the issuer of tokens.
#[derive(Debug, Args)]
pub struct TrustArguments {
    /// The audience of tokens, `aud`
    #[arg(long, env = "TOKEN_AUDIENCE", value_name = "NAME")]
    audience: Option<String>,

    /// The issuer of tokens, `iss`
    #[arg(long, env = "TOKEN_ISSUER", value_name = "NAME")]
    issuer: Option<String>,
}

impl SecretsArguments {
    fn read(&self) -> Result<TokenSecrets> {
        if self.state.is_none()
            && let Some(secrets) = secrets_from_environment()?
        {
            return Ok(secrets);
        }
        let state = self.state.clone().unwrap_or_else(default_state);
        TokenSecrets::read_state(&state)?.with_context(|| {
            format!(
                "there are no secrets: set TOKEN_SECRETS, or run `cargo xtask dev --auth token`, which creates them in {}",
                state.display()
            )
        })
    }
}

/// Parses the environment variable `TOKEN_SECRETS`. Returns `None` if it is unset or empty.
pub fn secrets_from_environment() -> Result<Option<TokenSecrets>> {
    let json = env::var("TOKEN_SECRETS").ok().filter(|json| !json.is_empty());
    json.map(|json| TokenSecrets::parse(&json).context("the environment variable TOKEN_SECRETS cannot be used"))
        .transpose()
}

impl TrustArguments {
    /// The audience and issuer that a token must have.
    pub fn trust(&self) -> Trust<'_> {
        // An empty variable counts as unset.
        fn non_empty(value: Option<&String>) -> Option<&str> {
            value.map(String::as_str).filter(|value| !value.is_empty())
        }
        Trust { audience: non_empty(self.audience.as_ref()), issuer: non_empty(self.issuer.as_ref()) }
    }
}

fn parse_ttl(text: &str) -> Result<Duration> {
    let ttl = humantime::parse_duration(text)?;
    if ttl < Duration::from_secs(1) {
        bail!("a token's lifetime must be at least 1 second");
    }
    Ok(ttl)
}

/// Runs a `token` command and returns its output.
pub fn run(command: TokenCommand) -> Result<String> {
    match command {
        TokenCommand::Issue(arguments) => issue(&arguments),
        TokenCommand::Verify(arguments) => verify(&arguments),
        TokenCommand::Rotate(RotateArguments { keep, secrets }) => {
            rotate(secrets.as_deref().filter(|secrets| !secrets.is_empty()), keep)
        }
    }
}

fn issue(arguments: &IssueArguments) -> Result<String> {
    arguments.secrets.read()?.issue(&NewToken {
        user_id: &arguments.user_id,
        scopes: &arguments.scope,
        ttl: arguments.ttl,
        trust: arguments.secrets.trust.trust(),
    })
}

fn verify(arguments: &VerifyArguments) -> Result<String> {
    let secrets = arguments.secrets.read()?;
    let token = match &arguments.token {
        Some(token) => token.clone(),
        None if io::stdin().is_terminal() => bail!("pass the token as an argument or on standard input"),
        None => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            text
        }
    };
    Ok(secrets.verify(token.trim(), arguments.secrets.trust.trust())?)
}
