//! The keys of one source, parsed and imported once.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use shared::auth::{InvalidKeys, Key, Token, parse_jwks, parse_secrets};
use shared::http::Problem;

use super::web_crypto::ImportedKey;
use crate::bindings::Bindings;
use crate::json::Parsed;

/// Parses a text that holds keys.
type Parse = fn(&str) -> Result<Vec<Key>, InvalidKeys>;

/// The keys of one text. Each is imported into the runtime when it is first needed.
#[derive(Default)]
pub struct KeyRing {
    keys: Vec<(Key, OnceCell<Option<ImportedKey>>)>,
}

impl KeyRing {
    /// Parses a text.
    pub fn new(text: &str, parse: Parse) -> Result<Self, InvalidKeys> {
        let keys = parse(text)?.into_iter().map(|key| (key, OnceCell::new())).collect();
        Ok(Self { keys })
    }

    /// Whether it has a key that may have signed a token.
    pub fn has_key_for(&self, token: &Token<'_>) -> bool {
        self.keys.iter().any(|(key, _)| token.may_be_signed_with(key))
    }

    /// Whether one of the keys signed a token.
    pub async fn has_signed(&self, token: &Token<'_>) -> bool {
        for (key, imported) in self.keys.iter().filter(|(key, _)| token.may_be_signed_with(key)) {
            if let Some(key) = import_once(key, imported).await
                && key.verify(&token.signature, token.signed.as_bytes()).await
            {
                return true;
            }
        }
        false
    }
}

/// Imports a key if it was not imported before. An invalid key is skipped and logged: the others still work.
async fn import_once<'k>(key: &Key, imported: &'k OnceCell<Option<ImportedKey>>) -> Option<&'k ImportedKey> {
    if let Some(imported) = imported.get() {
        return imported.as_ref();
    }
    let new = ImportedKey::import(key).await;
    // Another request may have imported it meanwhile.
    let imported = imported.get_or_init(|| {
        new.inspect_err(|thrown| {
            let kid = key.kid.as_deref().unwrap_or_default();
            edge::log_error(&format!("the key {kid:?} cannot be used: {}", edge::error_message(thrown)));
        })
        .ok()
    });
    imported.as_ref()
}

/// The keys of the latest value of a variable.
type Latest = RefCell<Option<(String, Rc<KeyRing>)>>;

/// The keys of `TOKEN_SECRETS` and `TOKEN_JWKS`, as far as they are set. Parsed and imported keys are kept for as long as
/// the variable has the same value: a key that is removed is no longer used.
pub fn configured(bindings: &Bindings) -> Result<Vec<Rc<KeyRing>>, Problem> {
    thread_local! {
        static SECRETS: Latest = const { RefCell::new(None) };
        static JWKS: Latest = const { RefCell::new(None) };
    }
    let secrets = bindings.token_secrets();
    let secrets = secrets.map(|text| SECRETS.with(|latest| parse_once(latest, text, parse_secrets::<Parsed>)));
    let jwks = bindings.token_jwks();
    let jwks = jwks.map(|text| JWKS.with(|latest| parse_once(latest, text, parse_jwks::<Parsed>)));
    let rings: Result<Vec<_>, InvalidKeys> = secrets.into_iter().chain(jwks).collect();
    rings.map_err(|invalid| Problem::auth_not_configured(invalid.to_string()))
}

fn parse_once(latest: &Latest, text: String, parse: Parse) -> Result<Rc<KeyRing>, InvalidKeys> {
    let mut latest = latest.borrow_mut();
    if let Some((_, ring)) = latest.as_ref().filter(|(known, _)| *known == text) {
        return Ok(ring.clone());
    }
    let ring = Rc::new(KeyRing::new(&text, parse)?);
    *latest = Some((text, ring.clone()));
    Ok(ring)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn secrets(kid: &str) -> String {
        format!(r#"[{{"kid":"{kid}","secret":"b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xkLW9sZC0"}}]"#)
    }

    #[test]
    fn keys_are_parsed_again_when_the_variable_changes() {
        let latest = Latest::default();
        let parse = |kid: &str| parse_once(&latest, secrets(kid), parse_secrets::<Value>).expect("valid");
        let first = parse("a");
        assert!(Rc::ptr_eq(&first, &parse("a")));
        let second = parse("b");
        assert!(!Rc::ptr_eq(&first, &second));
        assert_eq!(second.keys[0].0.kid.as_deref(), Some("b"));
    }

    #[test]
    fn a_malformed_variable_is_refused_and_not_remembered() {
        let latest = Latest::default();
        assert!(parse_once(&latest, "[".to_owned(), parse_secrets::<Value>).is_err());
        assert!(latest.borrow().is_none());
    }
}
