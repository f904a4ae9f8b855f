//! The keys that verify tokens. Each key is parsed and imported only once.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use shared::auth::{InvalidKeys, Key, Token, parse_jwks, parse_secrets};
use shared::http::Problem;

use super::web_crypto::ImportedKey;
use crate::bindings::Bindings;
use crate::json::JsJson;

/// A parser for the text of keys: key sets and the platform's secrets have different formats.
type ParseKeys = fn(&str) -> Result<Vec<Key>, InvalidKeys>;

/// The last value of a variable, and the keys that were parsed from it.
type ParsedVariable = RefCell<Option<(String, Rc<KeyRing>)>>;

/// Returns the keys of `TOKEN_SECRETS`, if it is set, and of `TOKEN_JWKS`, if it is set. The parsed and imported keys
/// are cached until the variable's value changes. So a key that was removed from the variable is no longer used.
pub fn configured(bindings: &Bindings) -> Result<Vec<Rc<KeyRing>>, Problem> {
    thread_local! {
        static SECRETS: ParsedVariable = const { RefCell::new(None) };
        static JWKS: ParsedVariable = const { RefCell::new(None) };
    }
    let secrets = bindings.token_secrets();
    let secrets = secrets.map(|text| SECRETS.with(|parsed| parse_once(parsed, text, parse_secrets::<JsJson>)));
    let jwks = bindings.token_jwks();
    let jwks = jwks.map(|text| JWKS.with(|parsed| parse_once(parsed, text, parse_jwks::<JsJson>)));
    let rings: Result<Vec<_>, InvalidKeys> = secrets.into_iter().chain(jwks).collect();
    rings.map_err(|invalid| Problem::auth_not_configured(invalid.to_string()))
}

/// Parses a variable if its value has changed.
fn parse_once(parsed: &ParsedVariable, text: String, parse: ParseKeys) -> Result<Rc<KeyRing>, InvalidKeys> {
    let mut parsed = parsed.borrow_mut();
    if let Some((_, ring)) = parsed.as_ref().filter(|(parsed_text, _)| *parsed_text == text) {
        return Ok(ring.clone());
    }
    let ring = Rc::new(KeyRing::new(&text, parse)?);
    *parsed = Some((text, ring.clone()));
    Ok(ring)
}

/// The keys of one source. Each key is imported into the runtime when it is first needed.
#[derive(Default)]
pub struct KeyRing {
    keys: Vec<(Key, OnceCell<Option<ImportedKey>>)>,
}

impl KeyRing {
    /// Parses the text of keys.
    pub fn new(text: &str, parse: ParseKeys) -> Result<Self, InvalidKeys> {
        let keys = parse(text)?.into_iter().map(|key| (key, OnceCell::new())).collect();
        Ok(Self { keys })
    }

    /// Returns whether one of the keys may have signed a token.
    pub fn has_key_for(&self, token: &Token<'_>) -> bool {
        self.keys.iter().any(|(key, _)| token.may_be_signed_with(key))
    }

    /// Returns whether one of the keys has signed a token.
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

/// Imports a key unless it was imported before. An invalid key is logged and skipped, so that the others still work.
async fn import_once<'k>(key: &Key, imported: &'k OnceCell<Option<ImportedKey>>) -> Option<&'k ImportedKey> {
    if let Some(imported) = imported.get() {
        return imported.as_ref();
    }
    let result = ImportedKey::import(key).await;
    // Another request may have imported the key in the meantime.
    let imported = imported.get_or_init(|| {
        result
            .inspect_err(|thrown| {
                let kid = key.kid.as_deref().unwrap_or_default();
                edge::log_error(&format!("cannot use the key {kid:?}: {}", edge::error_message(thrown)));
            })
            .ok()
    });
    imported.as_ref()
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
        let parsed = ParsedVariable::default();
        let parse = |kid: &str| parse_once(&parsed, secrets(kid), parse_secrets::<Value>).expect("valid");
        let first = parse("a");
        assert!(Rc::ptr_eq(&first, &parse("a")));
        let second = parse("b");
        assert!(!Rc::ptr_eq(&first, &second));
        assert_eq!(second.keys[0].0.kid.as_deref(), Some("b"));
    }

    #[test]
    fn a_malformed_variable_is_refused_and_not_cached() {
        let parsed = ParsedVariable::default();
        assert!(parse_once(&parsed, "[".to_owned(), parse_secrets::<Value>).is_err());
        assert!(parsed.borrow().is_none());
    }
}
