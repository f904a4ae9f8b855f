//! Parsing of bearer tokens.

use std::cell::RefCell;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::claims::Claims;
use super::keys::{Algorithm, Key};
use super::token_error::TokenError;
use crate::http::Problem;
use crate::json::{Json, JsonObject, Malformed};

/// A well-formed token. Its content cannot be trusted before its signature has been verified.
#[derive(Debug)]
pub struct Token<'a> {
    /// The signed text: the token's first two parts, with the dot between them.
    pub signed: &'a str,
    /// The signature.
    pub signature: Vec<u8>,
    header: Header,
    payload: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Header {
    alg: String,
    kid: Option<String>,
}

thread_local! {
    /// The last header, encoded and parsed. The tokens of one issuer usually have the same header.
    static LAST_HEADER: RefCell<Option<(String, Header)>> = const { RefCell::new(None) };
}

impl Header {
    fn decode<J: Json>(encoded: &str) -> Result<Self, TokenError> {
        LAST_HEADER.with_borrow_mut(|last| {
            if let Some((_, header)) = last.as_ref().filter(|(last_encoded, _)| last_encoded == encoded) {
                return Ok(header.clone());
            }
            let header = Self::from_json::<J>(&decode(encoded)?).map_err(|Malformed| TokenError::Unverifiable)?;
            *last = Some((encoded.to_owned(), header.clone()));
            Ok(header)
        })
    }

    fn from_json<J: Json>(json: &[u8]) -> Result<Self, Malformed> {
        let header = parse_object::<J>(json)?;
        // `crit` lists extensions that must be understood (RFC 7515, 4.1.11). None is supported.
        if header.optional("crit", |_| Some(()))?.is_some() {
            return Err(Malformed);
        }
        Ok(Self { alg: header.required("alg", J::string)?, kid: header.optional("kid", J::string)? })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Unverifiable)
}

fn parse_object<J: Json>(json: &[u8]) -> Result<JsonObject<J>, Malformed> {
    let text = str::from_utf8(json).map_err(|_| Malformed)?;
    J::parse(text).and_then(JsonObject::new).ok_or(Malformed)
}

impl<'a> Token<'a> {
    /// The maximum length of a token, in bytes. Tokens usually have less than 2 KB.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Parses the value of an `Authorization` header. The runtime joins two such headers with a comma, which no token
    /// can contain, so they are rejected.
    pub fn from_header<J: Json>(authorization: Option<&'a str>) -> Result<Self, Problem> {
        let value = authorization.ok_or_else(Problem::missing_token)?;
        let (scheme, token) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return Err(Problem::missing_token());
        }
        Ok(Self::parse::<J>(token.trim_start())?)
    }

    /// Parses a token in its compact form (RFC 7515, 7.1).
    pub fn parse<J: Json>(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > Self::MAX_LEN {
            return Err(TokenError::Unverifiable);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Unverifiable)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Unverifiable)?;
        let header = Header::decode::<J>(header)?;
        Ok(Self { signed, signature: decode(signature)?, header, payload: decode(payload)? })
    }

    /// Returns whether the token may be signed with a key. The key must be for the algorithm that the token names, and
    /// if the token has a key id, the key must have the same id. So a key is never used with an algorithm other than
    /// its own (RFC 8725, 3.1).
    #[must_use]
    pub fn may_be_signed_with(&self, key: &Key) -> bool {
        key.algorithm.has_name(&self.header.alg)
            && self.header.kid.as_ref().is_none_or(|kid| key.kid.as_ref() == Some(kid))
    }

    /// Returns whether the token has a key id. A token without one may be signed with any key of its algorithm.
    #[must_use]
    pub fn has_key_id(&self) -> bool {
        self.header.kid.is_some()
    }

    /// Returns whether the token's algorithm uses public keys, which a key set can contain.
    #[must_use]
    pub fn uses_public_key(&self) -> bool {
        [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]
            .iter()
            .any(|algorithm| algorithm.has_name(&self.header.alg))
    }

    /// Returns the decoded payload: the JSON text of the claims, which is not parsed yet.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Parses the claims. Call this only after the signature has been verified.
    pub fn claims<J: Json>(&self) -> Result<Claims, TokenError> {
        parse_object::<J>(&self.payload)
            .and_then(|claims| Claims::from_json(&claims))
            .map_err(|Malformed| TokenError::InvalidClaims)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::auth::parse_secrets;

    fn token(header: &str, payload: &str) -> String {
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part(payload), part("signature"))
    }

    fn secret(kid: &str) -> Key {
        let secrets = format!(r#"[{{"kid":"{kid}","secret":"{}"}}]"#, "A".repeat(43));
        parse_secrets::<Value>(&secrets).expect("a secret").remove(0)
    }

    #[test]
    fn the_cached_header_is_used_for_the_same_header_only() {
        let with_kid = |kid: &str| token(&format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#), r#"{"sub":"user1","exp":1}"#);
        let malformed = token(r#"{"alg":1}"#, "{}");
        for kid in ["a", "a", "b", "a"] {
            assert!(Token::parse::<Value>(&malformed).is_err());
            let text = with_kid(kid);
            let parsed = Token::parse::<Value>(&text).expect("a token");
            assert!(parsed.may_be_signed_with(&secret(kid)));
            assert!(!parsed.may_be_signed_with(&secret("c")));
        }
    }

    #[test]
    fn tokens_are_parsed() {
        let text = token(r#"{"alg":"HS256","kid":"a","typ":"JWT"}"#, r#"{"sub":"user1","exp":1}"#);
        for header in [format!("Bearer {text}"), format!("bearer  {text} "), format!("BEARER {text}")] {
            let token = Token::from_header::<Value>(Some(&header)).expect("a token");
            assert_eq!((token.signed, &*token.signature), (text.rsplit_once('.').expect("dots").0, &b"signature"[..]));
            assert!(token.may_be_signed_with(&secret("a")) && !token.may_be_signed_with(&secret("b")));
            assert_eq!(token.claims::<Value>().expect("claims").sub, "user1");
        }
    }

    #[test]
    fn a_key_is_used_with_its_own_algorithm_only() {
        for (header, expected) in [
            (r#"{"alg":"HS256"}"#, true),
            (r#"{"alg":"HS256","kid":null}"#, true),
            (r#"{"alg":"hs256"}"#, false),
            (r#"{"alg":"none"}"#, false),
            (r#"{"alg":""}"#, false),
            (r#"{"alg":"RS256"}"#, false),
            (r#"{"alg":"HS512"}"#, false),
        ] {
            let text = token(header, "{}");
            let token = Token::parse::<Value>(&text).expect(header);
            assert_eq!(token.may_be_signed_with(&secret("a")), expected, "{header}");
        }
    }

    #[test]
    fn absent_tokens_are_missing_and_malformed_tokens_are_invalid() {
        for header in [None, Some(""), Some("Basic dXNlcjpwYXNz"), Some("Bearerx"), Some("x")] {
            assert_eq!(
                Token::from_header::<Value>(header).expect_err("none").code(),
                crate::http::ProblemCode::MissingToken,
                "{header:?}"
            );
        }
        let good = token(r#"{"alg":"HS256"}"#, "{}");
        let unsigned = good.rsplit_once('.').expect("dots").0;
        for text in [
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            "null",
            unsigned,
            &format!("{good}.x"),
            &format!("{good}="),
            &format!("{good}, Bearer {good}"),
            &format!("{good} {good}"),
            &token("[]", "{}"),
            &token(r#"["HS256","a",null]"#, "{}"),
            &token("{}", "{}"),
            &token(r#"{"alg":1}"#, "{}"),
            &token(r#"{"alg":null}"#, "{}"),
            &token(r#"{"alg":"HS256","kid":{}}"#, "{}"),
            &token(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, "{}"),
            &token(&"[".repeat(10_000), "{}"),
            &"a".repeat(100_000),
        ] {
            let problem = Token::from_header::<Value>(Some(&format!("Bearer {text}"))).expect_err(text);
            assert_eq!(problem.code(), crate::http::ProblemCode::InvalidToken, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(text in ".{0,200}|[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
            if let Ok(token) = Token::from_header::<Value>(Some(&text)) {
                let _ = token.claims::<Value>();
            }
        }
    }
}
