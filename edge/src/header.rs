//! Headers of requests and replies.

use js_sys::{Array, JsString};
use shared::lines;
use wasm_bindgen::prelude::*;
use web_sys::Request;

use crate::name;

/// A header's value; several of one name are one, with commas between them.
#[must_use]
pub fn get(headers: &web_sys::Headers, name: &'static str) -> Option<String> {
    Headers::of(headers).get(name::of(name))
}

/// Headers of a request that are read together: a call for each from Wasm to JavaScript costs more than to read them.
pub struct Several<const N: usize>(Option<String>);

impl<const N: usize> Several<N> {
    /// Reads these headers.
    #[must_use]
    pub fn read(request: &Request, names: &'static [&'static str; N]) -> Self {
        Self(several(request, name::all(names)))
    }

    /// Their values; several of one name are one, with commas between them.
    #[must_use]
    pub fn values(&self) -> [Option<&str>; N] {
        self.0.as_ref().map_or([None; N], |text| lines(text))
    }
}

#[wasm_bindgen(module = "/src/header.js")]
extern "C" {
    fn several(request: &Request, names: &Array) -> Option<String>;
}

/// Sets a header to a value that is valid in one.
pub fn set(headers: &web_sys::Headers, name: &'static str, value: &JsValue) {
    Headers::of(headers).set(name::of(name), value);
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
    fn set(this: &Headers, name: &JsString, value: &JsValue);
}

impl Headers {
    fn of(headers: &web_sys::Headers) -> &Self {
        headers.unchecked_ref()
    }
}
