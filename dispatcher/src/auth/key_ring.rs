//! The keys of one source, parsed and imported once.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use js_sys::JsString;
use shared::Problem;
use shared::token::{InvalidKeys, Key, Token, parse_jwks, parse_secrets};

use super::web_crypto::Imported;
use crate::bindings::{Bindings, Variable, text};
use crate::json::Parsed;
use crate::telemetry;

/// The keys that a text holds, each imported into the runtime when it is first needed.
#[derive(Default)]
pub struct KeyRing {
    keys: Vec<(Key, OnceCell<Option<Imported>>)>,
}

impl KeyRing {
    /// Parses a text.
    pub fn new(text: &str, parse: fn(&str) -> Result<Vec<Key>, InvalidKeys>) -> Result<Self, InvalidKeys> {
        let keys = parse(text)?.into_iter().map(|key| (key, OnceCell::new())).collect();
        Ok(Self { keys })
    }

    /// Whether a key is here that may have signed a token.
    pub fn has_key_for(&self, token: &Token<'_>) -> bool {
        self.keys.iter().any(|(key, _)| token.may_be_signed_with(key))
    }

    /// Whether one of the keys has signed a token.
    pub async fn has_signed(&self, token: &Token<'_>) -> bool {
        for (key, imported) in self.keys.iter().filter(|(key, _)| token.may_be_signed_with(key)) {
            if let Some(key) = key_of_runtime(key, imported).await
                && key.verify(&token.signature, token.signed.as_bytes()).await
            {
                return true;
            }
        }
        false
    }
}

/// The key as the runtime has it. One that is none, being a point that is not on the curve, say, is left out, as those are
/// that the platform has no use for: the others are still good.
async fn key_of_runtime<'k>(key: &Key, imported: &'k OnceCell<Option<Imported>>) -> Option<&'k Imported> {
    if let Some(imported) = imported.get() {
        return imported.as_ref();
    }
    let new = Imported::import(key).await;
    // Another request may have done the same meanwhile.
    let imported = imported.get_or_init(|| {
        new.inspect_err(|thrown| {
            let kid = key.kid.as_deref().unwrap_or_default();
            telemetry::log_failure(&format!("the key {kid:?} cannot be used: {}", edge::thrown_message(thrown)));
        })
        .ok()
    });
    imported.as_ref()
}

/// A variable's text, and the ring that was made of it.
type Kept = Option<(JsString, Rc<KeyRing>)>;

/// The rings of `TOKEN_SECRETS` and `TOKEN_JWKS`, as far as they are set. What was parsed and imported is kept for as long as
/// the texts are the same: a key that is taken out is used no more.
pub fn configured(bindings: &Bindings<'_>) -> Result<Vec<Rc<KeyRing>>, Problem> {
    thread_local! {
        static SECRETS: RefCell<Kept> = const { RefCell::new(None) };
        static JWKS: RefCell<Kept> = const { RefCell::new(None) };
    }
    let secrets =
        bindings.env.token_secrets().map(|variable| SECRETS.with(|kept| ring(kept, variable, parse_secrets::<Parsed>)));
    let jwks = bindings.env.token_jwks().map(|variable| JWKS.with(|kept| ring(kept, variable, parse_jwks::<Parsed>)));
    let rings: Result<Vec<_>, InvalidKeys> = secrets.into_iter().chain(jwks).collect();
    rings.map_err(|invalid| Problem::auth_not_configured(invalid.to_string()))
}

fn ring(
    kept: &RefCell<Kept>,
    variable: Variable,
    parse: fn(&str) -> Result<Vec<Key>, InvalidKeys>,
) -> Result<Rc<KeyRing>, InvalidKeys> {
    let text = text(variable);
    let mut kept = kept.borrow_mut();
    // Compared outside Wasm, where it is mostly the very same.
    if let Some((_, ring)) = kept.as_ref().filter(|(known, _)| *known == text) {
        return Ok(ring.clone());
    }
    let ring = Rc::new(KeyRing::new(&String::from(&text), parse)?);
    *kept = Some((text, ring.clone()));
    Ok(ring)
}
