//! The runtime's cryptography (<https://developers.cloudflare.com/workers/runtime-apis/web-crypto/>), which is faster than any
//! in Wasm, and none of ours.

use edge::object;
use edge::task::settled;
use js_sys::{Array, JSON, Object, Promise, Uint8Array};
use shared::token::{Algorithm, Key, Material};
use wasm_bindgen::prelude::*;

/// A key as the runtime has it, and the algorithm that it is for.
pub struct Imported {
    key: JsValue,
    algorithm: Object,
}

impl Imported {
    /// Imports a key. It fails for one that is none: a point that is not on the curve, say.
    pub async fn import(key: &Key) -> Result<Self, JsValue> {
        let algorithm = algorithm(key.algorithm);
        let (format, data) = match &key.material {
            Material::Secret(secret) => ("raw", Uint8Array::from(&**secret).into()),
            Material::Jwk(jwk) => ("jwk", JSON::parse(jwk)?),
        };
        let key = settled(import_key(format, &data, &algorithm, false, &Array::of1(&"verify".into()))).await?;
        Ok(Self { key, algorithm })
    }

    /// Whether the key has made the signature. One that it cannot have made, being too long, say, makes the runtime throw.
    pub async fn verify(&self, signature: &[u8], signed: &[u8]) -> bool {
        let (signature, signed) = (Uint8Array::from(signature), Uint8Array::from(signed));
        settled(verify(&self.algorithm, &self.key, &signature, &signed))
            .await
            .is_ok_and(|verified| verified.is_truthy())
    }
}

/// The algorithm's parameters, both for the import and for signatures: each takes what it needs of them.
fn algorithm(algorithm: Algorithm) -> Object {
    let name = match algorithm {
        Algorithm::Hs256 => "HMAC",
        Algorithm::Rs256 => "RSASSA-PKCS1-v1_5",
        Algorithm::Es256 => "ECDSA",
        Algorithm::EdDsa => "Ed25519",
    };
    object(&[("name", name.into()), ("hash", "SHA-256".into()), ("namedCurve", "P-256".into())])
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = importKey)]
    fn import_key(
        format: &str,
        data: &JsValue,
        algorithm: &Object,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"])]
    fn verify(algorithm: &Object, key: &JsValue, signature: &Uint8Array, data: &Uint8Array)
    -> Result<Promise, JsValue>;
}
