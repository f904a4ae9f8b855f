//! Reading bindings and variables from `env`.

use js_sys::{JSON, Reflect};
use wasm_bindgen::{JsCast, JsValue};

/// Why a binding cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum BindingError {
    /// Nothing is bound under that name, or `null`.
    NotBound,
    /// A variable has that name. The text says so, for the log.
    PlainValue(String),
    /// What is bound is of another type. The text names the binding, for the log.
    WrongType(String),
}

/// Takes what `env` has under a name for a binding. Its type is recognized by a member that only that type has.
///
/// Not with `Env::bucket` and the like: those compare class names, which differ for stand-ins and for bindings of the
/// local runtime, and they throw an exception that ends the instance if the binding is `null`.
pub fn binding<T: JsCast>(value: JsValue, name: &str, member: &str) -> Result<T, BindingError> {
    if value.is_undefined() || value.is_null() {
        return Err(BindingError::NotBound);
    }
    if !value.is_object() {
        return Err(BindingError::PlainValue(format!("{name} is a variable, not a binding")));
    }
    if property(&value, member).is_undefined() {
        return Err(BindingError::WrongType(format!("{name} is bound to something that has no `{member}`")));
    }
    Ok(value.unchecked_into())
}

/// The text of a variable or secret. Of one that is not a string, which wrangler allows, it is the JSON, and empty if there
/// is none. `None` if it is absent or `null`. (`Env::var` refuses everything but strings.)
#[must_use]
pub fn variable(value: &JsValue) -> Option<String> {
    if value.is_undefined() || value.is_null() {
        return None;
    }
    let json = || JSON::stringify(value).ok().and_then(|json| json.as_string()).unwrap_or_default();
    Some(value.as_string().unwrap_or_else(json))
}

/// A property of an object, such as a name in `env`; `undefined` if it cannot be read.
#[must_use]
pub fn property(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}
