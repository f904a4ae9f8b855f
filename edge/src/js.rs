//! Small helpers for JavaScript values.

use js_sys::futures::JsFuture;
use js_sys::{Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::WorkerGlobalScope;

use crate::property;

/// The global scope: `fetch`, `crypto`.
#[must_use]
pub fn global() -> WorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Waits for the promise that a call returned. A call that throws instead fails the same way.
pub async fn await_promise(call: Result<Promise, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(call?).await
}

/// A plain object with these properties.
#[must_use]
pub fn object(properties: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in properties {
        set(&object, name, value);
    }
    object
}

/// Sets a property of a plain object.
pub fn set(object: &Object, name: &str, value: &JsValue) {
    Reflect::set(object, &name.into(), value).expect("a plain object takes any property");
}

/// A count as a JavaScript number. Larger counts than 2^53 - 1 become 2^53 - 1.
#[expect(clippy::cast_precision_loss, reason = "the maximum is exact")]
#[must_use]
pub fn number(count: u64) -> f64 {
    count.min((1 << 53) - 1) as f64
}

/// The message of a thrown value.
#[must_use]
pub fn error_message(thrown: &JsValue) -> String {
    property(thrown, "message").as_string().or_else(|| thrown.as_string()).unwrap_or_else(|| format!("{thrown:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_end_where_doubles_are_exact() {
        for (count, expected) in [(0, 0.0), (1 << 40, 1_099_511_627_776.0), (u64::MAX, 9_007_199_254_740_991.0)] {
            assert_eq!(number(count).to_bits(), f64::to_bits(expected), "{count}");
        }
    }
}
