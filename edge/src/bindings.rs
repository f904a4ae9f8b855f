//! Access to bindings and variables in `env`.

use js_sys::{JSON, Reflect};
use wasm_bindgen::{JsCast, JsValue};

/// The reason why a binding cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum BindingError {
    /// `env` has no binding with this name, or the binding is `null`.
    NotBound,
    /// The name is that of a variable, not of a binding. Contains a message for the log.
    PlainValue(String),
    /// The binding has another type. Contains a message for the log.
    WrongType(String),
}

/// Converts a value from `env` to a binding. `name` is the binding's name, and `member` is a member that only bindings
/// of the required type have.
///
/// This function does not use `Env::bucket` and similar functions. They compare class names, which are different for
/// test doubles and for bindings of the local runtime. If the binding is `null`, they throw an exception that ends the
/// Wasm instance.
pub fn binding<T: JsCast>(value: JsValue, name: &str, member: &str) -> Result<T, BindingError> {
    if value.is_undefined() || value.is_null() {
        return Err(BindingError::NotBound);
    }
    if !value.is_object() {
        return Err(BindingError::PlainValue(format!("{name} is a variable, not a binding")));
    }
    if property(&value, member).is_undefined() {
        return Err(BindingError::WrongType(format!("{name} is a binding of another type: it has no `{member}`")));
    }
    Ok(value.unchecked_into())
}

/// Returns the text of a variable or secret, or `None` if it is absent or `null`. Wrangler allows values that are not
/// strings; this function returns their JSON, or an empty text for a value that JSON cannot represent. `Env::var`
/// accepts only strings.
#[must_use]
pub fn variable(value: &JsValue) -> Option<String> {
    if value.is_undefined() || value.is_null() {
        return None;
    }
    let json = || JSON::stringify(value).ok().and_then(|json| json.as_string()).unwrap_or_default();
    Some(value.as_string().unwrap_or_else(json))
}

/// Returns a property of an object, for example a binding in `env`. Returns `undefined` if it cannot be read.
#[must_use]
pub fn property(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}
