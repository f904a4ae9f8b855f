//! Verifies signatures with the runtime's Web Crypto
//! (<https://developers.cloudflare.com/workers/runtime-apis/web-crypto/>). It is faster than cryptography in Wasm, and
//! adds nothing to the Worker's size.

use js_sys::{Array, JSON, Object, Uint8Array};
use shared::auth::{Algorithm, Key, KeyMaterial};
use wasm_bindgen::prelude::*;
use web_sys::{CryptoKey, SubtleCrypto};

/// A key that was imported into the runtime, with its algorithm.
pub struct ImportedKey {
    key: CryptoKey,
    algorithm: Object,
}

impl ImportedKey {
    /// Imports a key. Fails if the key is invalid: for example, if its point is not on the curve.
    pub async fn import(key: &Key) -> Result<Self, JsValue> {
        let algorithm = parameters(key.algorithm);
        let (format, data): (_, Object) = match &key.material {
            KeyMaterial::Secret(secret) => ("raw", Uint8Array::from(&**secret).into()),
            KeyMaterial::Jwk(jwk) => ("jwk", JSON::parse(jwk)?.unchecked_into()),
        };
        let usages = Array::of1(&"verify".into());
        let key = subtle().import_key_with_object(format, &data, &algorithm, false, &usages);
        Ok(Self { key: edge::await_promise(key).await?.unchecked_into(), algorithm })
    }

    /// Returns whether `signature` is this key's signature of `signed`. For some invalid signatures, such as those that
    /// are too long, the runtime throws an exception; this returns `false` for them as well.
    pub async fn verify(&self, signature: &[u8], signed: &[u8]) -> bool {
        let [signature, signed] = [signature, signed].map(Uint8Array::from);
        let verified = subtle().verify_with_object_and_js_u8_array_and_js_u8_array(
            &self.algorithm,
            &self.key,
            &signature,
            &signed,
        );
        edge::await_promise(verified).await.is_ok_and(|verified| verified.is_truthy())
    }
}

fn subtle() -> SubtleCrypto {
    edge::global().crypto().expect("every Worker has crypto").subtle()
}

/// Returns the parameters for `importKey` and `verify`. Web Crypto ignores those that the algorithm does not need.
fn parameters(algorithm: Algorithm) -> Object {
    let name = match algorithm {
        Algorithm::Hs256 => "HMAC",
        Algorithm::Rs256 => "RSASSA-PKCS1-v1_5",
        Algorithm::Es256 => "ECDSA",
        Algorithm::EdDsa => "Ed25519",
    };
    edge::object(&[("name", name.into()), ("hash", "SHA-256".into()), ("namedCurve", "P-256".into())])
}
