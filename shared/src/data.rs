//! The body of `POST /data`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{DataKey, Problem};

/// A value to store under a key.
#[derive(Debug)]
pub struct SetData<'body> {
    /// Where to store it.
    pub key: DataKey,
    /// The value's text, a range of the body's own bytes: any JSON value, byte for byte as it came. No tree is built,
    /// so a 64-bit integer or a long decimal is not rounded.
    pub value: &'body RawValue,
}

impl<'body> SetData<'body> {
    /// The longest body, in bytes: a value at its limit, its key, and room for the JSON around them.
    pub const MAX_BODY_LEN: usize = 26 * 1024 * 1024;

    /// The longest value, in bytes: KV's limit (<https://developers.cloudflare.com/kv/platform/limits/>).
    pub const MAX_VALUE_LEN: usize = 25 * 1024 * 1024;

    /// Parses `{"key": ..., "value": ...}`.
    pub fn parse(body: &'body [u8]) -> Result<Self, Problem> {
        // serde would read a struct from an array as well.
        if body.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
            serde_json::from_slice::<&RawValue>(body).map_err(|error| invalid(&error))?;
            return Err(Problem::invalid_body("the body must be an object with `key` and `value`"));
        }
        let Body { key, value } = serde_json::from_slice(body).map_err(|error| invalid(&error))?;
        let key = DataKey::parse(match key.ok_or_else(Problem::missing_key)? {
            Cow::Borrowed(key) => key.as_bytes().into(),
            Cow::Owned(key) => key.into_bytes().into(),
        })?;
        if value.get().len() > Self::MAX_VALUE_LEN {
            return Err(Problem::too_large("a value", Self::MAX_VALUE_LEN));
        }
        Ok(Self { key, value })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'body> {
    #[serde(borrow)]
    key: Option<Cow<'body, str>>,
    #[serde(borrow)]
    value: &'body RawValue,
}

fn invalid(error: &serde_json::Error) -> Problem {
    if error.is_data() { Problem::invalid_body(&error.to_string()) } else { Problem::invalid_json(&error.to_string()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_keep_their_text() {
        for value in [
            "null",
            "true",
            "12345678901234567890",
            "1.10",
            "1e400",
            "-0",
            "\"\"",
            "\"\\ud800\"",
            "\"\\u0061\"",
            "[]",
            "{\"a\": 1,  \"a\": 2}",
            "[ 1 ,\n2 ]",
        ] {
            for body in [
                format!("{{\"key\":\"k\",\"value\":{value}}}"),
                format!(" {{ \"value\" : {value} ,\n \"key\" : \"\\u006b\" }} "),
            ] {
                let parsed = SetData::parse(body.as_bytes()).expect(&body);
                assert_eq!((parsed.key.as_str(), parsed.value.get()), ("k", value));
            }
        }
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let depth = 1_000_000;
        let body = format!("{{\"key\":\"k\",\"value\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(SetData::parse(body.as_bytes()).expect("valid JSON").value.get().len(), 2 * depth);
    }

    #[test]
    fn bad_bodies_are_refused() {
        for (body, code) in [
            ("", "invalid_json"),
            ("{", "invalid_json"),
            ("{\"key\":\"k\",\"value\":1}x", "invalid_json"),
            ("{\"key\":\"k\",\"value\":01}", "invalid_json"),
            ("{\"key\":\"k\",\"value\":NaN}", "invalid_json"),
            ("{'key':'k'}", "invalid_json"),
            ("\u{feff}{\"key\":\"k\",\"value\":1}", "invalid_json"),
            ("{\"key\":\"\\ud800\",\"value\":1}", "invalid_json"),
            ("[\"k\",1", "invalid_json"),
            ("[\"k\",1]", "invalid_body"),
            ("\"k\"", "invalid_body"),
            ("null", "invalid_body"),
            ("{\"key\":\"k\"}", "invalid_body"),
            ("{\"key\":1,\"value\":1}", "invalid_body"),
            ("{\"key\":\"k\",\"value\":1,\"valeu\":2}", "invalid_body"),
            ("{\"key\":\"k\",\"key\":\"k\",\"value\":1}", "invalid_body"),
            ("{\"value\":1}", "missing_key"),
            ("{\"key\":null,\"value\":1}", "missing_key"),
            ("{\"key\":\"\",\"value\":1}", "invalid_key"),
        ] {
            assert_eq!(SetData::parse(body.as_bytes()).expect_err(body).code().name(), code, "{body}");
        }
        assert_eq!(
            SetData::parse(b"{\"key\":\"\xff\",\"value\":1}").expect_err("not UTF-8").code().name(),
            "invalid_json"
        );
        assert_eq!(
            SetData::parse(b"{\"key\":\"k\",\"value\":\"\xff\"}").expect_err("not UTF-8").code().name(),
            "invalid_json"
        );
    }

    #[test]
    fn an_unknown_field_is_named() {
        let problem = SetData::parse(b"{\"key\":\"k\",\"value\":1,\"tll\":60}").expect_err("unknown field");
        assert!(problem.detail().contains("`tll`"), "{}", problem.detail());
    }

    #[test]
    fn values_end_at_25_mib() {
        let body = |length: usize| format!("{{\"key\":\"k\",\"value\":\"{}\"}}", "v".repeat(length - 2));
        assert!(SetData::parse(body(SetData::MAX_VALUE_LEN).as_bytes()).is_ok());
        let problem = SetData::parse(body(SetData::MAX_VALUE_LEN + 1).as_bytes()).expect_err("too large");
        assert_eq!(problem.code().name(), "too_large");
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = SetData::parse(&body);
        }

        #[test]
        fn any_key_and_value_come_back(key in "\\PC{1,40}", value in "\\PC*") {
            let value = serde_json::to_string(&value).expect("a string");
            let body = format!("{{\"key\":{},\"value\":{value}}}", serde_json::to_string(&key).expect("a string"));
            let parsed = SetData::parse(body.as_bytes()).expect("valid");
            prop_assert_eq!(parsed.key.as_str(), key);
            prop_assert_eq!(parsed.value.get(), value);
        }
    }
}
