//! Headers of requests and replies.

use js_sys::JsString;
use wasm_bindgen::prelude::*;

use crate::name;

/// A header's value; several of one name are one, with commas between them.
#[must_use]
pub fn get(headers: &web_sys::Headers, name: &'static str) -> Option<String> {
    name::with(name, |name| Headers::of(headers).get(name))
}

/// Whether there is such a header.
#[must_use]
pub fn has(headers: &web_sys::Headers, name: &'static str) -> bool {
    name::with(name, |name| Headers::of(headers).has(name))
}

/// Sets a header to a value that is valid in one.
pub fn set(headers: &web_sys::Headers, name: &'static str, value: &JsValue) {
    name::with(name, |name| Headers::of(headers).set(name, value));
}

/// Headers of these names and values, which are valid.
pub fn all(pairs: impl IntoIterator<Item = (&'static str, &'static str)>) -> web_sys::Headers {
    let headers = web_sys::Headers::new().expect("empty headers");
    for (name, value) in pairs {
        set(&headers, name, &value.into());
    }
    headers
}

#[wasm_bindgen]
extern "C" {
    /// `web_sys` takes names and values as texts of Rust's.
    type Headers;

    #[wasm_bindgen(method)]
    fn get(this: &Headers, name: &JsString) -> Option<String>;

    #[wasm_bindgen(method)]
    fn has(this: &Headers, name: &JsString) -> bool;

    #[wasm_bindgen(method)]
    fn set(this: &Headers, name: &JsString, value: &JsValue);
}

impl Headers {
    fn of(headers: &web_sys::Headers) -> &Self {
        headers.unchecked_ref()
    }
}
