//! A bearer token.

use std::cell::RefCell;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::claims::Claims;
use super::keys::{Algorithm, Key};
use super::token_error::TokenError;
use crate::http::Problem;
use crate::json::{Json, Malformed, Members};

/// A token as it came: well-formed, and nothing more. Nothing that it says counts before its signature was verified.
#[derive(Debug)]
pub struct Token<'a> {
    /// What the signature is of: the first two parts with the dot between them.
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
    /// A header as it was sent, and as it was read: all tokens of one issuer have the same.
    static LAST_HEADER: RefCell<Option<(String, Header)>> = const { RefCell::new(None) };
}

impl Header {
    fn decode<J: Json>(encoded: &str) -> Result<Self, TokenError> {
        LAST_HEADER.with_borrow_mut(|last| {
            if let Some((_, header)) = last.as_ref().filter(|(known, _)| known == encoded) {
                return Ok(header.clone());
            }
            let header = Self::from_json::<J>(&decode(encoded)?).map_err(|Malformed| TokenError::NotOurs)?;
            *last = Some((encoded.to_owned(), header.clone()));
            Ok(header)
        })
    }

    fn from_json<J: Json>(json: &[u8]) -> Result<Self, Malformed> {
        let header = parse_object::<J>(json)?;
        // An extension that must be understood (RFC 7515, 4.1.11): none is.
        if header.optional("crit", |_| Some(()))?.is_some() {
            return Err(Malformed);
        }
        Ok(Self { alg: header.required("alg", J::string)?, kid: header.optional("kid", J::string)? })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::NotOurs)
}

fn parse_object<J: Json>(json: &[u8]) -> Result<Members<J>, Malformed> {
    let text = str::from_utf8(json).map_err(|_| Malformed)?;
    J::parse(text).and_then(Members::of).ok_or(Malformed)
}

impl<'a> Token<'a> {
    /// The longest token, in bytes. The usual ones have less than 2 KB.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Takes the token out of the value of an `Authorization` header. Two such headers reach this as one, with a comma in
    /// it, which no token has.
    pub fn in_header<J: Json>(authorization: Option<&'a str>) -> Result<Self, Problem> {
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
            return Err(TokenError::NotOurs);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::NotOurs)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::NotOurs)?;
        let header = Header::decode::<J>(header)?;
        Ok(Self { signed, signature: decode(signature)?, header, payload: decode(payload)? })
    }

    /// Whether a key may be tried: it is of the algorithm that the token names, and is the one that the token names, if it
    /// names one. The key decides the algorithm; a token that names another is not tried at all (RFC 8725, 3.1).
    #[must_use]
    pub fn may_be_signed_with(&self, key: &Key) -> bool {
        key.algorithm.is_named(&self.header.alg)
            && self.header.kid.as_ref().is_none_or(|kid| key.kid.as_ref() == Some(kid))
    }

    /// Whether it names a key. One that does not is tried with all keys of its algorithm.
    #[must_use]
    pub fn names_a_key(&self) -> bool {
        self.header.kid.is_some()
    }

    /// Whether its algorithm is one of public keys, such as a key set on the network has.
    #[must_use]
    pub fn has_public_algorithm(&self) -> bool {
        [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]
            .iter()
            .any(|algorithm| algorithm.is_named(&self.header.alg))
    }

    /// The JSON that the token holds.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What the token says. To be asked for once its signature is verified, and not before.
    pub fn claims<J: Json>(&self) -> Result<Claims, TokenError> {
        parse_object::<J>(&self.payload)
            .and_then(|claims| Claims::from_json(&claims))
            .map_err(|Malformed| TokenError::Claims)
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
    fn a_header_that_was_read_before_is_not_taken_for_another() {
        let kid = |kid: &str| token(&format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#), r#"{"sub":"user1","exp":1}"#);
        let broken = token(r#"{"alg":1}"#, "{}");
        for name in ["a", "a", "b", "a"] {
            assert!(Token::parse::<Value>(&broken).is_err());
            let text = kid(name);
            let parsed = Token::parse::<Value>(&text).expect("a token");
            assert!(parsed.may_be_signed_with(&secret(name)));
            assert!(!parsed.may_be_signed_with(&secret("c")));
        }
    }

    #[test]
    fn a_token_is_taken_apart() {
        let text = token(r#"{"alg":"HS256","kid":"a","typ":"JWT"}"#, r#"{"sub":"user1","exp":1}"#);
        for header in [format!("Bearer {text}"), format!("bearer  {text} "), format!("BEARER {text}")] {
            let token = Token::in_header::<Value>(Some(&header)).expect("a token");
            assert_eq!((token.signed, &*token.signature), (text.rsplit_once('.').expect("dots").0, &b"signature"[..]));
            assert!(token.may_be_signed_with(&secret("a")) && !token.may_be_signed_with(&secret("b")));
            assert_eq!(token.claims::<Value>().expect("claims").sub, "user1");
        }
    }

    #[test]
    fn a_key_is_tried_for_its_own_algorithm_alone() {
        for (header, tried) in [
            (r#"{"alg":"HS256"}"#, true),
            (r#"{"alg":"HS256","kid":null}"#, true),
            (r#"{"alg":"hs256"}"#, false),
            (r#"{"alg":"none"}"#, false),
            (r#"{"alg":""}"#, false),
            (r#"{"alg":"RS256"}"#, false),
            (r#"{"alg":"HS512"}"#, false),
        ] {
            let text = token(header, "{}");
            assert_eq!(Token::parse::<Value>(&text).expect(header).may_be_signed_with(&secret("a")), tried, "{header}");
        }
    }

    #[test]
    fn no_token_is_missing_and_a_malformed_one_is_invalid() {
        for header in [None, Some(""), Some("Basic dXNlcjpwYXNz"), Some("Bearerx"), Some("x")] {
            assert_eq!(
                Token::in_header::<Value>(header).expect_err("none").code(),
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
            let problem = Token::in_header::<Value>(Some(&format!("Bearer {text}"))).expect_err(text);
            assert_eq!(problem.code(), crate::http::ProblemCode::InvalidToken, "{text}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_taken_or_refused(text in ".{0,200}|[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
            if let Ok(token) = Token::in_header::<Value>(Some(&text)) {
                let _ = token.claims::<Value>();
            }
        }
    }
}
