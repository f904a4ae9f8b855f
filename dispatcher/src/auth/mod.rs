//! Authentication: decides whether a request may be made for a customer.

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
use crate::json::JsJson;
use crate::request::RequestContext;

/// Checks that a request may be made for a customer. The variable `AUTH` selects how:
///
/// - `token`, the default: the request must carry a token of that customer, in `Authorization` or in `offered_token`.
/// - `trusted-header`: `X-User-ID` is trusted, because a proxy in front of the dispatcher has authenticated the client.
///
/// Every request is refused if `AUTH` has another value, or if it is `token` and the keys are missing or malformed.
pub async fn check(
    bindings: &Bindings,
    request: &RequestContext,
    offered_token: Option<&str>,
    user_id: &UserId,
    ctx: &Context,
) -> Result<Caller, Problem> {
    match bindings.auth().as_deref() {
        Some("trusted-header") => Ok(Caller::Trusted),
        // Boxed as a trait object, so that its code stays a separate function, which V8 compiles only when it is
        // called.
        None | Some("" | "token") => check_token(bindings, request, offered_token, user_id, ctx).boxed_local().await,
        Some(value) => {
            Err(Problem::auth_not_configured(format!("AUTH must be token or trusted-header, not {value:?}")))
        }
    }
}

async fn check_token(
    bindings: &Bindings,
    request: &RequestContext,
    offered_token: Option<&str>,
    user_id: &UserId,
    ctx: &Context,
) -> Result<Caller, Problem> {
    let rings = key_ring::configured(bindings)?;
    let jwks_url = bindings.token_jwks_url();
    if jwks_url.as_ref().is_some_and(|url| !is_tamper_proof(url)) {
        let cause = "TOKEN_JWKS_URL must be an https URL: with http, the keys can be replaced";
        return Err(Problem::auth_not_configured(cause.to_owned()));
    }
    if rings.is_empty() && jwks_url.is_none() {
        let cause = "none of TOKEN_SECRETS, TOKEN_JWKS and TOKEN_JWKS_URL is set";
        return Err(Problem::auth_not_configured(cause.to_owned()));
    }

    let offered = offered_token.map(|token| ["Bearer ", token].concat());
    let authorization = offered.or_else(|| request.header("Authorization"));
    let token = Token::from_header::<JsJson>(authorization.as_deref())?;
    let mut signed = false;
    for ring in rings {
        signed = signed || ring.has_signed(&token).await;
    }
    if !signed
        && token.uses_public_key()
        && let Some(url) = jwks_url
    {
        signed = jwks::key_ring(&url, &token, ctx).await?.has_signed(&token).await;
    }
    if !signed {
        return Err(TokenError::Unverifiable.into());
    }

    let (audience, issuer) = (bindings.token_audience(), bindings.token_issuer());
    let claims = token.claims::<JsJson>()?;
    claims.check(Trust { audience: audience.as_deref(), issuer: issuer.as_deref() }, Date::now() / 1000.0)?;
    claims.permit(user_id, request.method())?;
    Ok(Caller::TokenHolder)
}

/// Returns whether nobody can change a URL's reply in transit: whether it is an https URL or a loopback URL.
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
