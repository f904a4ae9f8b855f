//! Tokens as an identity provider issues them or an attacker forges them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// The first secret of the dispatchers in `fixtures/dispatchers/`, decoded.
pub const NEW_SECRET: &[u8] = b"new-new-new-new-new-new-new-new-";
/// The second secret of the dispatchers in `fixtures/dispatchers/`, decoded.
pub const OLD_SECRET: &[u8] = b"old-old-old-old-old-old-old-old-";

/// Returns the current time in seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

/// Returns claims that allow a customer to read and write for the next hour.
#[must_use]
pub fn claims(sub: &str) -> Value {
    json!({"sub": sub, "scope": "read write", "exp": now() + 3600})
}

/// Returns [`claims`] with changes. `null` removes a claim.
#[must_use]
pub fn claims_with(sub: &str, changes: Value) -> Value {
    let mut claims = claims(sub);
    let all = claims.as_object_mut().expect("an object");
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (name, value) in changes {
        if value.is_null() {
            all.remove(&name)
        } else {
            all.insert(name, value)
        };
    }
    claims
}

/// Returns the header of a token that is signed with [`NEW_SECRET`].
#[must_use]
pub fn hs256_header() -> Value {
    json!({"alg": "HS256", "typ": "JWT", "kid": "new"})
}

/// Signs a token with HMAC-SHA256, whatever algorithm its header has.
#[must_use]
pub fn hs256(secret: &[u8], header: &Value, payload: &Value) -> String {
    hs256_from_text(secret, &header.to_string(), &payload.to_string())
}

/// Like [`hs256`], with any text as header and payload.
#[must_use]
pub fn hs256_from_text(secret: &[u8], header: &str, payload: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(header), part(payload));
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC accepts any key length").chain_update(&signed);
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Returns a token that the dispatcher `token` accepts for a customer.
#[must_use]
pub fn valid_token(sub: &str) -> String {
    hs256(NEW_SECRET, &hs256_header(), &claims(sub))
}

/// Generates key pairs and signs tokens with `fixtures/sign.js`, which describes both arguments. Returns the key set of
/// the public keys, and the tokens.
#[must_use]
pub fn generate_keys_and_sign(keys: &Value, tokens: &Value) -> (Value, Vec<String>) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new(tests.join("../node_modules/node/bin/node"));
    node.arg(tests.join("fixtures/sign.js")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = node.spawn().expect("node runs");
    let request = json!({"keys": keys, "tokens": tokens}).to_string();
    node.stdin.take().expect("a pipe").write_all(request.as_bytes()).expect("node reads it");
    let output = node.wait_with_output().expect("node ends");
    assert!(output.status.success());
    let mut signed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let tokens = signed["tokens"].as_array().expect("tokens").iter();
    let tokens = tokens.map(|token| token.as_str().expect("a token").to_owned()).collect();
    (signed["jwks"].take(), tokens)
}
