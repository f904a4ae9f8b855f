//! Tokens as an identity provider, or an attacker, makes them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// The secrets of the dispatchers in `fixtures/dispatchers`, as the bytes that sign.
pub const NEW: &[u8] = b"new-new-new-new-new-new-new-new-";
/// The same, of the second.
pub const OLD: &[u8] = b"old-old-old-old-old-old-old-old-";

/// Now, in seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs()
}

/// Claims that let a customer do everything for the next hour.
#[must_use]
pub fn claims(sub: &str) -> Value {
    json!({"sub": sub, "scope": "read write", "exp": now() + 3600})
}

/// Claims with some of them changed; `null` takes one out.
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

/// The header of a token of the first secret.
#[must_use]
pub fn hs256_header() -> Value {
    json!({"alg": "HS256", "typ": "JWT", "kid": "new"})
}

/// A token signed with HMAC and SHA-256, whatever its header says.
#[must_use]
pub fn hs256(secret: &[u8], header: &Value, payload: &Value) -> String {
    hs256_of(secret, &header.to_string(), &payload.to_string())
}

/// The same, of any texts.
#[must_use]
pub fn hs256_of(secret: &[u8], header: &str, payload: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(header), part(payload));
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length").chain_update(&signed);
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// A token that everything lets through for a customer of the dispatcher `token`.
#[must_use]
pub fn good(sub: &str) -> String {
    hs256(NEW, &hs256_header(), &claims(sub))
}

/// Makes key pairs and tokens; see `fixtures/sign.js`. Answers the public keys and the tokens.
#[must_use]
pub fn sign(keys: &Value, tokens: &Value) -> (Value, Vec<String>) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new(tests.join("../node_modules/node/bin/node"));
    node.arg(tests.join("fixtures/sign.js")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = node.spawn().expect("node runs");
    let request = json!({"keys": keys, "tokens": tokens}).to_string();
    node.stdin.take().expect("a pipe").write_all(request.as_bytes()).expect("it reads");
    let output = node.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let mut answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let tokens = answer["tokens"].as_array().expect("tokens").iter();
    let tokens = tokens.map(|token| token.as_str().expect("a token").to_owned()).collect();
    (answer["jwks"].take(), tokens)
}
