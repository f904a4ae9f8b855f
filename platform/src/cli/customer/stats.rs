//! `cargo platform customer stats`

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use platform::customers::stats;
use platform::token::{NewToken, TokenSecrets};
use serde_json::Value;
use shared::auth::Scope;
use shared::customer::UserId;
use url::Url;

use crate::cli::target::ApiTarget;
use crate::cli::token::{self, TrustArguments};

/// The lifetime of the request's token.
const TOKEN_TTL: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
pub struct StatsArguments {
    /// The customer's user id
    id: UserId,

    /// The platform's URL [default: the environment variable `PLATFORM_URL`]
    #[arg(long)]
    url: Option<Url>,

    #[command(flatten)]
    trust: TrustArguments,
}

impl StatsArguments {
    pub async fn run(self, target: &ApiTarget) -> Result<Value> {
        let url = target.url(self.url)?;
        let secrets =
            if target.local { TokenSecrets::read_state(&target.state())? } else { token::secrets_from_environment()? };
        let token = NewToken { user_id: &self.id, scopes: &[Scope::Read], ttl: TOKEN_TTL, trust: self.trust.trust() };
        let token = secrets.map(|secrets| secrets.issue(&token)).transpose()?;
        stats(&url, &self.id, token.as_deref()).await
    }
}
