//! The keys that tokens are signed with, as the platform's operator configures them.

use std::fmt;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::json::{Json, Malformed, Members};

/// How a signature is made (RFC 7518, 3.1; RFC 8037).
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
    /// The name, as a token's header has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Whether a token's header, or a key's, means this by a name: Ed25519 has two (RFC 8037, RFC 9864).
    #[must_use]
    pub fn is_named(self, name: &str) -> bool {
        name == self.name() || (self == Self::EdDsa && name == "Ed25519")
    }
}

/// A key, for one algorithm alone.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// The name by which tokens call it.
    pub kid: Option<String>,
    /// The algorithm that it is for.
    pub algorithm: Algorithm,
    /// The key itself.
    pub material: Material,
}

/// A key itself. It is not shown by `Debug`.
#[derive(PartialEq, Eq)]
pub enum Material {
    /// A secret, of which signatures are made as well as verified.
    Secret(Vec<u8>),
    /// A public key, as a JSON Web Key (RFC 7517) with nothing in it but the key.
    Jwk(String),
}

impl fmt::Debug for Material {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Secret(_) => "Secret(…)",
            Self::Jwk(_) => "Jwk(…)",
        })
    }
}

/// Secrets have at least as many bits as the hash (RFC 7518, 3.2), in bytes.
const MIN_SECRET_LEN: usize = 32;

/// RSA keys have at least 2048 bits (RFC 7518, 3.3), here in the characters of base64url.
const MIN_MODULUS_LEN: usize = 342;

/// More keys than anybody needs, and few enough to try one after the other.
const MAX_KEYS: usize = 64;

/// base64url, with its padding or without.
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The configured keys are not as they must be. It says what is wrong and shows none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKeys(&'static str);

impl fmt::Display for InvalidKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for InvalidKeys {}

/// Parses `TOKEN_SECRETS`: `[{"kid","secret"}]`, each secret base64url and at least 32 bytes long. The first signs, all
/// verify.
pub fn parse_secrets<J: Json>(json: &str) -> Result<Vec<Key>, InvalidKeys> {
    const SHAPE: InvalidKeys = InvalidKeys(r#"TOKEN_SECRETS is not a list [{"kid","secret"}]"#);
    let secrets = J::parse(json).and_then(|secrets| secrets.elements()).ok_or(SHAPE)?;
    check_number(secrets.len())?;
    let mut keys: Vec<Key> = Vec::new();
    for secret in secrets {
        let secret = Members::among(secret, &["kid", "secret"]).ok_or(SHAPE)?;
        let kid = secret.required("kid", J::string).map_err(|Malformed| SHAPE)?;
        if keys.iter().any(|other| other.kid.as_ref() == Some(&kid)) {
            return Err(InvalidKeys("two of TOKEN_SECRETS have the same kid"));
        }
        let secret = secret.required("secret", J::string).map_err(|Malformed| SHAPE)?;
        let secret =
            BASE64_URL.decode(secret).map_err(|_| InvalidKeys("a secret of TOKEN_SECRETS is not base64url"))?;
        if secret.len() < MIN_SECRET_LEN {
            return Err(InvalidKeys("a secret of TOKEN_SECRETS has less than 32 bytes"));
        }
        keys.push(Key { kid: Some(kid), algorithm: Algorithm::Hs256, material: Material::Secret(secret) });
    }
    Ok(keys)
}

/// Parses a JSON Web Key Set (RFC 7517, 5). Keys that no token of ours is signed with are left out: of other kinds, for
/// other uses, too weak, malformed; and secrets, which have no place in a set that is public.
pub fn parse_jwks<J: Json>(json: &str) -> Result<Vec<Key>, InvalidKeys> {
    const SHAPE: InvalidKeys = InvalidKeys(r#"the key set is not a JSON Web Key Set {"keys":[...]}"#);
    let set = J::parse(json).and_then(Members::of).ok_or(SHAPE)?;
    let keys = set.required("keys", J::elements).map_err(|Malformed| SHAPE)?;
    let keys: Vec<Key> = keys.into_iter().filter_map(|jwk| public_key(&Members::of(jwk)?)).collect();
    check_number(keys.len())?;
    Ok(keys)
}

fn check_number(keys: usize) -> Result<(), InvalidKeys> {
    match keys {
        0 => Err(InvalidKeys("there is no key to check tokens with among the configured ones")),
        1..=MAX_KEYS => Ok(()),
        _ => Err(InvalidKeys("more than 64 keys to check tokens with are configured")),
    }
}

/// A JSON Web Key, if it is one to verify with.
fn public_key<J: Json>(jwk: &Members<J>) -> Option<Key> {
    let text = |name| jwk.optional(name, J::string).ok();
    let needed = |name| text(name)?.filter(|value| is_base64_url(value));
    let operations = jwk.optional("key_ops", |ops| ops.elements()?.iter().map(J::string).collect::<Option<Vec<_>>>());
    let verifies = text("use")?.is_none_or(|usage| usage == "sig")
        && operations.ok()?.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !verifies {
        return None;
    }
    let (algorithm, material) = match (&*text("kty")??, text("crv")?.as_deref()) {
        ("RSA", _) => {
            let (n, e) = (needed("n").filter(|n| n.len() >= MIN_MODULUS_LEN)?, needed("e")?);
            (Algorithm::Rs256, format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#))
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (needed("x")?, needed("y")?);
            (Algorithm::Es256, format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#))
        }
        ("OKP", Some("Ed25519")) => {
            let x = needed("x")?;
            (Algorithm::EdDsa, format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#))
        }
        _ => return None,
    };
    let for_us = text("alg")?.is_none_or(|alg| algorithm.is_named(&alg));
    for_us.then_some(Key { kid: text("kid")?, algorithm, material: Material::Jwk(material) })
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
    fn secrets_are_parsed_in_order_and_not_shown() {
        let keys = parse_secrets::<Value>(&format!(
            r#"[{{"kid":"new","secret":"{}"}},{{"kid":"old","secret":"{}="}}]"#,
            "-_".repeat(32),
            "E".repeat(43)
        ))
        .expect("two secrets");
        assert_eq!(keys.iter().map(|key| key.kid.as_deref()).collect::<Vec<_>>(), [Some("new"), Some("old")]);
        assert!(matches!(&keys[0].material, Material::Secret(secret) if secret.len() == 48));
        assert!(matches!(&keys[1].material, Material::Secret(secret) if secret.len() == 32));
        assert!(!format!("{keys:?}").contains("16"), "{keys:?}");
    }

    #[test]
    fn secrets_that_are_not_secret_are_refused() {
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
    fn a_key_set_gives_the_keys_that_are_for_us() {
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
            Material::Jwk(jwk) => jwk.clone(),
            Material::Secret(_) => panic!("a secret"),
        };
        assert_eq!(
            keys.iter().map(|key| (key.kid.as_deref(), key.algorithm, jwk(key))).collect::<Vec<_>>(),
            [
                (Some("r"), Algorithm::Rs256, format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#)),
                (Some("e"), Algorithm::Es256, r#"{"kty":"EC","crv":"P-256","x":"x","y":"y"}"#.to_owned()),
                (None, Algorithm::EdDsa, r#"{"kty":"OKP","crv":"Ed25519","x":"x"}"#.to_owned()),
            ]
        );
        for broken in ["", "[]", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"A"}]}"#, r#"{"keys":[1]}"#] {
            assert!(parse_jwks::<Value>(broken).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn secrets_come_back(
            secrets in prop::collection::btree_map(any::<String>(), prop::collection::vec(any::<u8>(), 30..40), 0..5),
        ) {
            let list: Vec<Value> = secrets
                .iter()
                .map(|(kid, secret)| serde_json::json!({"kid": kid, "secret": BASE64_URL.encode(secret)}))
                .collect();
            let keys = parse_secrets::<Value>(&Value::from(list).to_string());
            prop_assert_eq!(keys.is_ok(), !secrets.is_empty() && secrets.values().all(|secret| secret.len() >= 32));
            for (key, (kid, secret)) in keys.into_iter().flatten().zip(secrets) {
                prop_assert_eq!((key.kid, key.material), (Some(kid), Material::Secret(secret)));
            }
        }

        /// What is handed on of a public key says what the set says, and nothing that was hidden in it.
        #[test]
        fn a_public_key_is_its_numbers(
            x in ".{0,20}|[A-Za-z0-9_-]{1,43}",
            y in ".{0,20}|[A-Za-z0-9_-]{1,43}",
            kid in any::<String>(),
        ) {
            let jwk = serde_json::json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "d": "secret"});
            let keys = parse_jwks::<Value>(&serde_json::json!({ "keys": [jwk] }).to_string());
            prop_assert_eq!(keys.is_ok(), is_base64_url(&x) && is_base64_url(&y));
            for key in keys.into_iter().flatten() {
                let Material::Jwk(json) = key.material else { panic!("a public key") };
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
