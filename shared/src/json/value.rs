//! JSON values, independent of the parser.

use serde_json::Value;

/// A parsed JSON value. The dispatcher parses with the runtime's own `JSON.parse`, because a parser in Wasm would make
/// the Worker a fifth larger; other code uses `serde_json`. If an object has several members with the same name, both
/// parsers use the last.
///
/// The conversions return `None` if the value is of another type.
pub trait Json: Clone {
    /// Parses a JSON text. Returns `None` if it is not valid JSON.
    fn parse(text: &str) -> Option<Self>;

    /// Returns the text of a string.
    fn string(&self) -> Option<String>;

    /// Returns a number. It is always finite.
    fn number(&self) -> Option<f64>;

    /// Returns a boolean.
    fn boolean(&self) -> Option<bool>;

    /// Returns the elements of an array.
    fn elements(&self) -> Option<Vec<Self>>;

    /// Returns whether the value is an object.
    fn is_object(&self) -> bool;

    /// Returns the names of an object's members.
    fn member_names(&self) -> Option<Vec<String>>;

    /// Returns an object's member, or `None` if it is absent or `null`. The value must be an object.
    fn member(&self, name: &'static str) -> Option<Self>;
}

impl Json for Value {
    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn string(&self) -> Option<String> {
        self.as_str().map(str::to_owned)
    }

    fn number(&self) -> Option<f64> {
        self.as_f64().filter(|number| number.is_finite())
    }

    fn boolean(&self) -> Option<bool> {
        self.as_bool()
    }

    fn elements(&self) -> Option<Vec<Self>> {
        self.as_array().cloned()
    }

    fn is_object(&self) -> bool {
        self.is_object()
    }

    fn member_names(&self) -> Option<Vec<String>> {
        self.as_object().map(|object| object.keys().cloned().collect())
    }

    fn member(&self, name: &'static str) -> Option<Self> {
        self.get(name).filter(|member| !member.is_null()).cloned()
    }
}

/// A JSON value that is an object.
pub struct JsonObject<J>(J);

impl<J: Json> JsonObject<J> {
    /// Returns the value as an object, or `None` if it is not one. The object may have any members.
    pub fn new(value: J) -> Option<Self> {
        value.is_object().then_some(Self(value))
    }

    /// Returns the value as an object, or `None` if it is not one or has members other than `allowed`.
    pub fn with_only(value: J, allowed: &[&str]) -> Option<Self> {
        let names = value.member_names()?;
        names.iter().all(|name| allowed.contains(&&**name)).then_some(Self(value))
    }

    /// Reads an optional member. Returns an error if it is present and `read` returns `None` for it.
    pub fn optional<T>(&self, name: &'static str, read: impl Fn(&J) -> Option<T>) -> Result<Option<T>, Malformed> {
        self.0.member(name).map(|member| read(&member).ok_or(Malformed)).transpose()
    }

    /// Reads a required member.
    pub fn required<T>(&self, name: &'static str, read: impl Fn(&J) -> Option<T>) -> Result<T, Malformed> {
        self.optional(name, read)?.ok_or(Malformed)
    }
}

/// The error for a JSON value that does not have the required form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn only_objects_with_the_allowed_members_are_accepted(
            names in prop::collection::btree_set("[a-d]", 0..4),
            value in "null|1|\"x\"|\\[\\]",
        ) {
            let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":{value}")).collect();
            let json = format!("{{{}}}", members.join(","));
            let object = Value::parse(&json).and_then(|json| JsonObject::with_only(json, &["a", "b"]));
            prop_assert_eq!(object.is_some(), names.iter().all(|name| ["a", "b"].contains(&&**name)));
            if let Some(object) = object {
                let text = object.optional("a", Json::string);
                let expected = match (names.contains("a"), &*value) {
                    (false, _) | (true, "null") => Ok(None),
                    (true, "\"x\"") => Ok(Some("x".to_owned())),
                    (true, _) => Err(Malformed),
                };
                prop_assert_eq!(text, expected);
            }
            prop_assert!(Value::parse(&value).and_then(JsonObject::new).is_none());
        }
    }
}
