//! Helpers for JavaScript values.

use js_sys::futures::JsFuture;
use js_sys::{Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::WorkerGlobalScope;

use crate::property;

/// Returns the global scope, which has `fetch` and `crypto`.
#[must_use]
pub fn global() -> WorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Awaits the promise that a call returned. If the call threw an exception instead, returns that exception.
pub async fn await_promise(call: Result<Promise, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(call?).await
}

/// Creates a plain object with these properties.
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

/// Converts a count to a JavaScript number. Counts above 2^53 - 1, up to which numbers are exact, become 2^53 - 1.
#[expect(clippy::cast_precision_loss, reason = "numbers are exact up to the maximum")]
#[must_use]
pub fn number(count: u64) -> f64 {
    count.min((1 << 53) - 1) as f64
}

/// Returns the message of a thrown value.
#[must_use]
pub fn error_message(thrown: &JsValue) -> String {
    property(thrown, "message").as_string().or_else(|| thrown.as_string()).unwrap_or_else(|| format!("{thrown:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_limited_to_the_largest_safe_integer() {
        for (count, expected) in [(0, 0.0), (1 << 40, 1_099_511_627_776.0), (u64::MAX, 9_007_199_254_740_991.0)] {
            assert_eq!(number(count).to_bits(), f64::to_bits(expected), "{count}");
        }
    }
}
