//! JSON that somebody else parses.

use serde_json::Value;

/// A parsed JSON value. In the dispatcher the runtime's own `JSON.parse` makes it, because a parser in Wasm would double the
/// Worker's size; elsewhere `serde_json` does. Of members with the same name, both take the last.
pub trait Json: Clone {
    /// Parses a text.
    fn parse(text: &str) -> Option<Self>;

    /// A string's text.
    fn string(&self) -> Option<String>;

    /// A number; never an infinite one.
    fn number(&self) -> Option<f64>;

    /// A boolean.
    fn boolean(&self) -> Option<bool>;

    /// An array's elements.
    fn elements(&self) -> Option<Vec<Self>>;

    /// Whether it is an object.
    fn is_object(&self) -> bool;

    /// The names of an object's members.
    fn names(&self) -> Option<Vec<String>>;

    /// An object's member, if there is one that is not `null`. To be asked of objects alone.
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

    fn names(&self) -> Option<Vec<String>> {
        self.as_object().map(|object| object.keys().cloned().collect())
    }

    fn member(&self, name: &'static str) -> Option<Self> {
        self.get(name).filter(|member| !member.is_null()).cloned()
    }
}

/// The members of an object that may have these names alone.
pub struct Members<J>(J);

impl<J: Json> Members<J> {
    /// The members of an object, whatever names they have.
    pub fn of(value: J) -> Option<Self> {
        value.is_object().then_some(Self(value))
    }

    /// The members of an object that has none but these.
    pub fn among(value: J, allowed: &[&str]) -> Option<Self> {
        let names = value.names()?;
        names.iter().all(|name| allowed.contains(&&**name)).then_some(Self(value))
    }

    /// A member that may be left out; an error if it is there and is not what `read` reads.
    pub fn optional<T>(&self, name: &'static str, read: impl Fn(&J) -> Option<T>) -> Result<Option<T>, Malformed> {
        self.0.member(name).map(|member| read(&member).ok_or(Malformed)).transpose()
    }

    /// A member that must be there.
    pub fn required<T>(&self, name: &'static str, read: impl Fn(&J) -> Option<T>) -> Result<T, Malformed> {
        self.optional(name, read)?.ok_or(Malformed)
    }
}

/// The value is not of the form that it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Only an object has members; one with a name too many is none.
        #[test]
        fn members_have_the_names_that_they_may(
            names in prop::collection::btree_set("[a-d]", 0..4),
            value in "null|1|\"x\"|\\[\\]",
        ) {
            let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":{value}")).collect();
            let json = format!("{{{}}}", members.join(","));
            let among = Value::parse(&json).and_then(|json| Members::among(json, &["a", "b"]));
            prop_assert_eq!(among.is_some(), names.iter().all(|name| ["a", "b"].contains(&&**name)));
            if let Some(among) = among {
                let text = among.optional("a", Json::string);
                let expected = match (names.contains("a"), &*value) {
                    (false, _) | (true, "null") => Ok(None),
                    (true, "\"x\"") => Ok(Some("x".to_owned())),
                    (true, _) => Err(Malformed),
                };
                prop_assert_eq!(text, expected);
            }
            prop_assert!(Value::parse(&value).and_then(Members::of).is_none());
        }
    }
}
