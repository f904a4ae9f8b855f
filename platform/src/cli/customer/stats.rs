//! `cargo platform customer stats`

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use platform::customers::stats;
use platform::token::{Grant, Secrets};
use serde_json::Value;
use shared::auth::Scope;
use shared::customer::UserId;
use url::Url;

use crate::cli::target::ApiTarget;
use crate::cli::token::{self, Parties};

/// How long the token of the request is valid.
const TOKEN_TTL: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
pub struct StatsArguments {
    /// The customer's user id
    id: UserId,

    /// Where the platform is [default: the variable `PLATFORM_URL`]
    #[arg(long)]
    url: Option<Url>,

    #[command(flatten)]
    parties: Parties,
}

impl StatsArguments {
    pub async fn run(self, target: &ApiTarget) -> Result<Value> {
        let url = target.url(self.url)?;
        let secrets = if target.local { Secrets::of_state(&target.state())? } else { token::of_environment()? };
        let grant = Grant { user_id: &self.id, scopes: &[Scope::Read], ttl: TOKEN_TTL, trust: self.parties.trust() };
        let token = secrets.map(|secrets| secrets.issue(&grant)).transpose()?;
        stats(&url, &self.id, token.as_deref()).await
    }
}
