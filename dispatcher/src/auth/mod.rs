//! Who is asking.

mod jwks;
mod key_ring;
mod web_crypto;

use edge::task::apart;
use js_sys::Date;
use shared::token::{Token, Trust};
use shared::{Problem, UserId};

use crate::bindings::Bindings;
use crate::forwarded::{Identified, Identity};
use crate::json::Parsed;

/// Checks that a request may be made for a customer, as `AUTH` says:
///
/// - `token`, which it is if nothing is said: it carries a token of that customer.
/// - `trusted-header`: something in front of the dispatcher has seen to it.
///
/// Without a key, or with keys or an `AUTH` that make no sense, nobody is let in.
pub async fn check(
    bindings: &Bindings<'_>,
    request: &Identified<'_>,
    method: &str,
    user_id: &UserId,
) -> Result<Identity, Problem> {
    match bindings.settings.auth.as_deref() {
        Some("trusted-header") => Ok(Identity::Trusted),
        None | Some("" | "token") => apart(check_token(bindings, request, method, user_id)).await,
        Some(other) => {
            Err(Problem::auth_not_configured(format!("AUTH is {other:?}, neither token nor trusted-header")))
        }
    }
}

async fn check_token(
    bindings: &Bindings<'_>,
    request: &Identified<'_>,
    method: &str,
    user_id: &UserId,
) -> Result<Identity, Problem> {
    let configured = key_ring::configured(bindings)?;
    let jwks_url = bindings.env.token_jwks_url();
    if jwks_url.as_ref().is_some_and(|url| !is_private(url)) {
        let cause = "TOKEN_JWKS_URL is not an https URL: anybody on the way could change what it answers";
        return Err(Problem::auth_not_configured(cause.to_owned()));
    }
    if configured.is_empty() && jwks_url.is_none() {
        let cause = "none of TOKEN_SECRETS, TOKEN_JWKS and TOKEN_JWKS_URL is set";
        return Err(Problem::auth_not_configured(cause.to_owned()));
    }

    let authorization = request.header("Authorization");
    let token = Token::in_header::<Parsed>(authorization.as_deref())?;
    let mut signed = false;
    for ring in configured {
        signed = signed || ring.has_signed(&token).await;
    }
    if !signed
        && token.has_public_algorithm()
        && let Some(url) = jwks_url
    {
        signed = jwks::fetched(&url, &token).await?.has_signed(&token).await;
    }
    if !signed {
        return Err(shared::token::Refusal::NotOurs.into());
    }

    let (audience, issuer) = (bindings.env.token_audience(), bindings.env.token_issuer());
    let claims = token.claims::<Parsed>()?;
    claims.check(Trust { audience: audience.as_deref(), issuer: issuer.as_deref() }, Date::now() / 1000.0)?;
    claims.permit(user_id, method)?;
    Ok(Identity::Token)
}

/// Whether nobody on the way can change what a URL answers.
fn is_private(url: &str) -> bool {
    let local = ["http://127.0.0.1:", "http://localhost:"];
    url.starts_with("https://") || local.iter().any(|local| url.starts_with(local))
}
