//! The keys that sign and verify tokens. The operator configures them.

use std::fmt;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::json::{Json, JsonObject, Malformed};

/// A signature algorithm (RFC 7518, 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Returns the algorithm's name in a token's header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Returns whether `name` is a name of the algorithm, in the header of a token or in a key. Ed25519 has two names
    /// (RFC 8037, RFC 9864).
    #[must_use]
    pub fn has_name(self, name: &str) -> bool {
        name == self.name() || (self == Self::EdDsa && name == "Ed25519")
    }
}

/// A key for one algorithm.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// The key id, by which tokens name the key.
    pub kid: Option<String>,
    /// The only algorithm that the key may be used with.
    pub algorithm: Algorithm,
    /// The key itself.
    pub material: KeyMaterial,
}

/// The content of a key. `Debug` does not print it.
#[derive(PartialEq, Eq)]
pub enum KeyMaterial {
    /// A secret, which both signs and verifies.
    Secret(Vec<u8>),
    /// A public key: the text of a JSON Web Key (RFC 7517) with only the members that define the key.
    Jwk(String),
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Secret(_) => "Secret(…)",
            Self::Jwk(_) => "Jwk(…)",
        })
    }
}

/// The minimum length of a secret, in bytes: the length of the hash (RFC 7518, 3.2).
const MIN_SECRET_LEN: usize = 32;

/// The minimum length of an RSA key's modulus, in characters of base64url: 2048 bits (RFC 7518, 3.3).
const MIN_MODULUS_LEN: usize = 342;

/// The maximum number of keys. A token without a key id is checked against one key after another.
const MAX_KEYS: usize = 64;

/// base64url, with or without padding.
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The error for keys that are malformed or cannot be used. Its message does not contain any key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKeys(&'static str);

impl fmt::Display for InvalidKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for InvalidKeys {}

/// Parses `TOKEN_SECRETS`: `[{"kid","secret"}]`, where each secret has at least 32 bytes, in base64url. The first
/// secret signs tokens. All of the secrets verify tokens.
pub fn parse_secrets<J: Json>(json: &str) -> Result<Vec<Key>, InvalidKeys> {
    const SHAPE: InvalidKeys = InvalidKeys(r#"TOKEN_SECRETS is not a list [{"kid","secret"}]"#);
    let secrets = J::parse(json).and_then(|secrets| secrets.elements()).ok_or(SHAPE)?;
    check_number(secrets.len())?;
    let mut keys: Vec<Key> = Vec::new();
    for secret in secrets {
        let secret = JsonObject::with_only(secret, &["kid", "secret"]).ok_or(SHAPE)?;
        let kid = secret.required("kid", J::string).map_err(|Malformed| SHAPE)?;
        if keys.iter().any(|other| other.kid.as_ref() == Some(&kid)) {
            return Err(InvalidKeys("two secrets in TOKEN_SECRETS have the same kid"));
        }
        let secret = secret.required("secret", J::string).map_err(|Malformed| SHAPE)?;
        let secret =
            BASE64_URL.decode(secret).map_err(|_| InvalidKeys("a secret in TOKEN_SECRETS is not base64url"))?;
        if secret.len() < MIN_SECRET_LEN {
            return Err(InvalidKeys("a secret in TOKEN_SECRETS has fewer than 32 bytes"));
        }
        keys.push(Key { kid: Some(kid), algorithm: Algorithm::Hs256, material: KeyMaterial::Secret(secret) });
    }
    Ok(keys)
}

/// Parses a JSON Web Key Set (RFC 7517, 5). It ignores keys that cannot verify a token: those of other types or for
/// other uses, weak keys and malformed keys. It also ignores secrets, because a key set is public.
pub fn parse_jwks<J: Json>(json: &str) -> Result<Vec<Key>, InvalidKeys> {
    const SHAPE: InvalidKeys = InvalidKeys(r#"the key set is not a JSON Web Key Set {"keys":[...]}"#);
    let set = J::parse(json).and_then(JsonObject::new).ok_or(SHAPE)?;
    let keys = set.required("keys", J::elements).map_err(|Malformed| SHAPE)?;
    let keys: Vec<Key> = keys.into_iter().filter_map(|jwk| public_key(&JsonObject::new(jwk)?)).collect();
    check_number(keys.len())?;
    Ok(keys)
}

fn check_number(keys: usize) -> Result<(), InvalidKeys> {
    match keys {
        0 => Err(InvalidKeys("none of the configured keys can verify tokens")),
        1..=MAX_KEYS => Ok(()),
        _ => Err(InvalidKeys("more than 64 keys are configured to verify tokens")),
    }
}

/// Converts a JSON Web Key to a [`Key`]. Returns `None` if it cannot verify tokens.
fn public_key<J: Json>(jwk: &JsonObject<J>) -> Option<Key> {
    let text = |name| jwk.optional(name, J::string).ok();
    let number = |name| text(name)?.filter(|value| is_base64_url(value));
    let operations = jwk.optional("key_ops", |ops| ops.elements()?.iter().map(J::string).collect::<Option<Vec<_>>>());
    let verifies = text("use")?.is_none_or(|usage| usage == "sig")
        && operations.ok()?.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !verifies {
        return None;
    }
    let (algorithm, material) = match (&*text("kty")??, text("crv")?.as_deref()) {
        ("RSA", _) => {
            let (n, e) = (number("n").filter(|n| n.len() >= MIN_MODULUS_LEN)?, number("e")?);
            (Algorithm::Rs256, format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#))
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (number("x")?, number("y")?);
            (Algorithm::Es256, format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#))
        }
        ("OKP", Some("Ed25519")) => {
            let x = number("x")?;
            (Algorithm::EdDsa, format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#))
        }
        _ => return None,
    };
    let allowed = text("alg")?.is_none_or(|alg| algorithm.has_name(&alg));
    allowed.then_some(Key { kid: text("kid")?, algorithm, material: KeyMaterial::Jwk(material) })
}

fn is_base64_url(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn secrets_are_parsed_in_order_and_not_printed() {
        let keys = parse_secrets::<Value>(&format!(
            r#"[{{"kid":"new","secret":"{}"}},{{"kid":"old","secret":"{}="}}]"#,
            "-_".repeat(32),
            "E".repeat(43)
        ))
        .expect("two secrets");
        assert_eq!(keys.iter().map(|key| key.kid.as_deref()).collect::<Vec<_>>(), [Some("new"), Some("old")]);
        assert!(matches!(&keys[0].material, KeyMaterial::Secret(secret) if secret.len() == 48));
        assert!(matches!(&keys[1].material, KeyMaterial::Secret(secret) if secret.len() == 32));
        assert!(!format!("{keys:?}").contains("16"), "{keys:?}");
    }

    #[test]
    fn weak_or_malformed_secrets_are_rejected() {
        let good = "A".repeat(43);
        for json in [
            "",
            "[]",
            "{}",
            "secret",
            &format!(r#"{{"kid":"a","secret":"{good}"}}"#),
            &format!(r#"[{{"secret":"{good}"}}]"#),
            &format!(r#"[{{"kid":"a","secret":"{}"}}]"#, "A".repeat(42)),
            &format!(r#"[{{"kid":"a","secret":"{}+"}}]"#, "A".repeat(42)),
            &format!(r#"[{{"kid":"a","secret":"{good}"}},{{"kid":"a","secret":"{good}"}}]"#),
            &format!(r#"[{{"kid":"a","secret":"{good}","alg":"none"}}]"#),
        ] {
            assert!(parse_secrets::<Value>(json).is_err(), "{json}");
        }
        let many: Vec<String> = (0..65).map(|kid| format!(r#"{{"kid":"{kid}","secret":"{good}"}}"#)).collect();
        assert!(parse_secrets::<Value>(&format!("[{}]", many.join(","))).is_err());
    }

    #[test]
    fn keys_that_cannot_verify_tokens_are_ignored() {
        let n = "n".repeat(342);
        let set = format!(
            r#"{{"keys":[
                {{"kty":"RSA","kid":"r","n":"{n}","e":"AQAB","d":"private","use":"sig","alg":"RS256","x5c":["y"]}},
                {{"kty":"EC","kid":"e","crv":"P-256","x":"x","y":"y","key_ops":["verify"]}},
                {{"kty":"OKP","crv":"Ed25519","x":"x","alg":"Ed25519"}},
                {{"kty":"RSA","kid":"weak","n":"abc","e":"AQAB"}},
                {{"kty":"RSA","kid":"pss","n":"{n}","e":"AQAB","alg":"PS256"}},
                {{"kty":"RSA","kid":"enc","n":"{n}","e":"AQAB","use":"enc"}},
                {{"kty":"RSA","kid":"no-e","n":"{n}"}},
                {{"kty":"EC","kid":"p384","crv":"P-384","x":"x","y":"y"}},
                {{"kty":"EC","kid":"quote","crv":"P-256","x":"x\"","y":"y"}},
                {{"kty":"EC","kid":"empty","crv":"P-256","x":"","y":"y"}},
                {{"kty":"OKP","kid":"x25519","crv":"X25519","x":"x"}},
                {{"kty":"oct","kid":"secret","k":"AAAA"}}
            ]}}"#
        );
        let keys = parse_jwks::<Value>(&set).expect("keys");
        let jwk = |key: &Key| match &key.material {
            KeyMaterial::Jwk(jwk) => jwk.clone(),
            KeyMaterial::Secret(_) => panic!("a secret"),
        };
        assert_eq!(
            keys.iter().map(|key| (key.kid.as_deref(), key.algorithm, jwk(key))).collect::<Vec<_>>(),
            [
                (Some("r"), Algorithm::Rs256, format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#)),
                (Some("e"), Algorithm::Es256, r#"{"kty":"EC","crv":"P-256","x":"x","y":"y"}"#.to_owned()),
                (None, Algorithm::EdDsa, r#"{"kty":"OKP","crv":"Ed25519","x":"x"}"#.to_owned()),
            ]
        );
        for json in ["", "[]", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"A"}]}"#, r#"{"keys":[1]}"#] {
            assert!(parse_jwks::<Value>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn serialized_secrets_are_parsed_to_the_same(
            secrets in prop::collection::btree_map(any::<String>(), prop::collection::vec(any::<u8>(), 30..40), 0..5),
        ) {
            let list: Vec<Value> = secrets
                .iter()
                .map(|(kid, secret)| serde_json::json!({"kid": kid, "secret": BASE64_URL.encode(secret)}))
                .collect();
            let keys = parse_secrets::<Value>(&Value::from(list).to_string());
            prop_assert_eq!(keys.is_ok(), !secrets.is_empty() && secrets.values().all(|secret| secret.len() >= 32));
            for (key, (kid, secret)) in keys.into_iter().flatten().zip(secrets) {
                prop_assert_eq!((key.kid, key.material), (Some(kid), KeyMaterial::Secret(secret)));
            }
        }

        /// A parsed public key has the numbers of the key set and no other members, such as the private `d`.
        #[test]
        fn a_public_key_has_only_its_public_numbers(
            x in ".{0,20}|[A-Za-z0-9_-]{1,43}",
            y in ".{0,20}|[A-Za-z0-9_-]{1,43}",
            kid in any::<String>(),
        ) {
            let jwk = serde_json::json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "d": "secret"});
            let keys = parse_jwks::<Value>(&serde_json::json!({ "keys": [jwk] }).to_string());
            prop_assert_eq!(keys.is_ok(), is_base64_url(&x) && is_base64_url(&y));
            for key in keys.into_iter().flatten() {
                let KeyMaterial::Jwk(json) = key.material else { panic!("a public key") };
                let expected = serde_json::json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
                prop_assert_eq!(json.parse::<Value>().expect("JSON"), expected);
            }
        }

        #[test]
        fn no_keys_panic(
            json in ".{0,60}|(\\[|\\{\"keys\":\\[)\\{(\"(kid|secret|kty|crv|x|n|e|use)\":[a-zA-Z0-9\"{}-]{0,6},?){0,5}\\}\\]\\}?",
        ) {
            let _ = (parse_secrets::<Value>(&json), parse_jwks::<Value>(&json));
        }
    }
}
