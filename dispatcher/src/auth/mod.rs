//! Who may ask.

mod jwks;
mod key_ring;
mod web_crypto;

use futures::FutureExt;
use js_sys::Date;
use shared::auth::{Token, TokenError, Trust};
use shared::customer::UserId;
use shared::http::Problem;
use worker::Context;

use crate::bindings::Bindings;
use crate::caller::Caller;
use crate::json::Parsed;
use crate::request::RequestContext;

/// Checks that a request may be made for a customer, as the variable `AUTH` says:
///
/// - `token`, the default: it carries a token of that customer.
/// - `trusted-header`: something in front of the dispatcher has authenticated the client.
///
/// Without a key, or with malformed keys or an unknown `AUTH`, nobody is let in.
pub async fn check(
    bindings: &Bindings,
    request: &RequestContext,
    user_id: &UserId,
    ctx: &Context,
) -> Result<Caller, Problem> {
    match bindings.auth().as_deref() {
        Some("trusted-header") => Ok(Caller::Trusted),
        // As a trait object, its code stays a function of its own, which V8 does not compile before it is called.
        None | Some("" | "token") => check_token(bindings, request, user_id, ctx).boxed_local().await,
        Some(other) => {
            Err(Problem::auth_not_configured(format!("AUTH is {other:?}, neither token nor trusted-header")))
        }
    }
}

async fn check_token(
    bindings: &Bindings,
    request: &RequestContext,
    user_id: &UserId,
    ctx: &Context,
) -> Result<Caller, Problem> {
    let rings = key_ring::configured(bindings)?;
    let jwks_url = bindings.token_jwks_url();
    if jwks_url.as_ref().is_some_and(|url| !is_tamper_proof(url)) {
        let cause = "TOKEN_JWKS_URL is not an https URL: anybody on the way could change the keys";
        return Err(Problem::auth_not_configured(cause.to_owned()));
    }
    if rings.is_empty() && jwks_url.is_none() {
        let cause = "none of TOKEN_SECRETS, TOKEN_JWKS and TOKEN_JWKS_URL is set";
        return Err(Problem::auth_not_configured(cause.to_owned()));
    }

    let authorization = request.header("Authorization");
    let token = Token::from_header::<Parsed>(authorization.as_deref())?;
    let mut signed = false;
    for ring in rings {
        signed = signed || ring.has_signed(&token).await;
    }
    if !signed
        && token.uses_public_key()
        && let Some(url) = jwks_url
    {
        signed = jwks::fetched(&url, &token, ctx).await?.has_signed(&token).await;
    }
    if !signed {
        return Err(TokenError::Unverifiable.into());
    }

    let (audience, issuer) = (bindings.token_audience(), bindings.token_issuer());
    let claims = token.claims::<Parsed>()?;
    claims.check(Trust { audience: audience.as_deref(), issuer: issuer.as_deref() }, Date::now() / 1000.0)?;
    claims.permit(user_id, request.method())?;
    Ok(Caller::TokenHolder)
}

/// Whether nobody on the way can change what a URL returns.
fn is_tamper_proof(url: &str) -> bool {
    ["https://", "http://127.0.0.1:", "http://localhost:"].iter().any(|prefix| url.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fetched_over_https_or_from_this_machine() {
        for url in ["https://idp.example/jwks.json", "http://127.0.0.1:8080/", "http://localhost:8080/"] {
            assert!(is_tamper_proof(url), "{url}");
        }
        for url in
            ["", "http://idp.example/", "http://127.0.0.1.evil.example/", "http://localhost.example:1/", "ftp://a/"]
        {
            assert!(!is_tamper_proof(url), "{url}");
        }
    }
}
