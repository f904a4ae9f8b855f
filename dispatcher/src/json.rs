//! JSON that the runtime parses. A JSON parser in Wasm would make the dispatcher a fifth larger.

use js_sys::{Array, JSON, Object, Reflect};
use shared::json::Json;
use wasm_bindgen::prelude::*;

/// A JSON value that the runtime's `JSON.parse` returned.
#[derive(Clone)]
pub struct JsJson(JsValue);

impl Json for JsJson {
    fn parse(text: &str) -> Option<Self> {
        JSON::parse(text).ok().map(Self)
    }

    fn string(&self) -> Option<String> {
        self.0.as_string()
    }

    fn number(&self) -> Option<f64> {
        self.0.as_f64().filter(|number| number.is_finite())
    }

    fn boolean(&self) -> Option<bool> {
        self.0.as_bool()
    }

    fn elements(&self) -> Option<Vec<Self>> {
        self.0.dyn_ref::<Array>().map(|array| array.iter().map(Self).collect())
    }

    fn is_object(&self) -> bool {
        self.0.is_object() && !Array::is_array(&self.0)
    }

    fn member_names(&self) -> Option<Vec<String>> {
        let object: &Object = self.is_object().then(|| self.0.unchecked_ref())?;
        Some(Object::keys(object).iter().filter_map(|name| name.as_string()).collect())
    }

    fn member(&self, name: &'static str) -> Option<Self> {
        let member = Reflect::get(&self.0, &name.into()).ok()?;
        (!member.is_undefined() && !member.is_null()).then_some(Self(member))
    }
}
