//! JSON, parsed by the runtime.

use js_sys::{Array, JSON, Object, Reflect};
use shared::Json;
use wasm_bindgen::{JsCast, JsValue};

/// A value that the runtime's `JSON.parse` has made.
#[derive(Clone)]
pub struct Parsed(JsValue);

impl Json for Parsed {
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

    fn names(&self) -> Option<Vec<String>> {
        if Array::is_array(&self.0) {
            return None;
        }
        let object = self.0.dyn_ref::<Object>()?;
        Some(Object::keys(object).iter().filter_map(|name| name.as_string()).collect())
    }

    fn member(&self, name: &str) -> Option<Self> {
        let member = Reflect::get(&self.0, &name.into()).ok()?;
        (!member.is_undefined() && !member.is_null()).then_some(Self(member))
    }
}
