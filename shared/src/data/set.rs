//! The body of `POST /data`.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::key::DataKey;
use crate::http::Problem;
use crate::json;

/// A value to store under a key.
#[derive(Debug)]
pub struct SetData<'body> {
    /// The key of the value.
    pub key: DataKey,
    /// The JSON text of the value, a slice of the body. It is not parsed into a tree, so it stays the same byte for
    /// byte, and 64-bit integers and long decimals are not rounded.
    pub value: &'body RawValue,
    /// The time when the value expires.
    pub expiry: Option<Expiry>,
    /// The JSON text of an object to store with the value.
    pub metadata: Option<&'body RawValue>,
}

/// The time when a value expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// A number of seconds from now.
    In(u64),
    /// A time in seconds since 1970.
    At(u64),
}

impl<'body> SetData<'body> {
    /// The maximum length of a body, in bytes. It has room for the longest value, its key, and the JSON around them.
    pub const MAX_BODY_LEN: usize = 26 * 1024 * 1024;

    /// The maximum length of a value, in bytes: KV's limit (<https://developers.cloudflare.com/kv/platform/limits/>).
    pub const MAX_VALUE_LEN: usize = 25 * 1024 * 1024;

    /// The maximum length of metadata, in bytes of JSON: KV's limit.
    pub const MAX_METADATA_LEN: usize = 1024;

    /// The shortest time before a value expires, in seconds: KV's limit.
    pub const MIN_TTL: u64 = 60;

    /// The largest `expirationTtl` and `expiration`, in seconds: the runtime's limit.
    pub const MAX_SECONDS: u64 = i32::MAX as u64;

    /// Parses `{"key": ..., "value": ...}`, with `expirationTtl` or `expiration`, and `metadata`. `now` is in seconds
    /// since 1970.
    pub fn parse(body: &'body [u8], now: u64) -> Result<Self, Problem> {
        let SetDataBody { key, value, expiration_ttl, expiration, metadata } = json::parse_object(body)?;
        let key = DataKey::parse(match key.ok_or_else(Problem::missing_key)? {
            Cow::Borrowed(key) => key.as_bytes().into(),
            Cow::Owned(key) => key.into_bytes().into(),
        })?;
        let value = value.ok_or_else(|| Problem::invalid_body("a `value` is required"))?;
        if value.get().len() > Self::MAX_VALUE_LEN {
            return Err(Problem::too_large("a value", Self::MAX_VALUE_LEN as u64));
        }
        let expiry = match (expiration_ttl, expiration) {
            (None, None) => None,
            (Some(ttl), None) if (Self::MIN_TTL..=Self::MAX_SECONDS).contains(&ttl) => Some(Expiry::In(ttl)),
            (None, Some(at)) if (now + Self::MIN_TTL..=Self::MAX_SECONDS).contains(&at) => Some(Expiry::At(at)),
            (Some(_), Some(_)) => return Err(Problem::invalid_body("send `expirationTtl` or `expiration`, not both")),
            _ => {
                return Err(Problem::invalid_body(
                    "`expirationTtl` must be 60 to 2147483647 seconds; `expiration` must be in seconds since 1970, at \
                     least 60 seconds from now and at most 2147483647",
                ));
            }
        };
        if let Some(metadata) = metadata {
            if !metadata.get().starts_with('{') {
                return Err(Problem::invalid_body("`metadata` must be an object"));
            }
            if has_infinity(metadata.get()) {
                return Err(Problem::invalid_body("`metadata` has a number that is too large"));
            }
            if metadata.get().len() > Self::MAX_METADATA_LEN {
                return Err(Problem::invalid_body("`metadata` may have at most 1024 bytes"));
            }
        }
        Ok(Self { key, value, expiry, metadata })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SetDataBody<'body> {
    #[serde(borrow)]
    key: Option<Cow<'body, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'body RawValue>,
    #[serde(default, deserialize_with = "json::whole_number_or_null")]
    expiration_ttl: Option<u64>,
    #[serde(default, deserialize_with = "json::whole_number_or_null")]
    expiration: Option<u64>,
    #[serde(borrow)]
    metadata: Option<&'body RawValue>,
}

/// Deserializes a `null` as a value. By default, serde treats it like an absent member.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Returns whether JSON text has a number that JavaScript would parse as `Infinity` and serialize as `null`.
fn has_infinity(json: &str) -> bool {
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        rest = &rest[at..];
        let end = if let Some(text) = rest.strip_prefix('"') {
            let mut escaped = false;
            let quote = text.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            quote.map_or(rest.len(), |quote| quote + 2)
        } else {
            let end = rest.find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c)).unwrap_or(rest.len());
            if serde_json::from_str::<f64>(&rest[..end]).is_err() {
                return true;
            }
            end
        };
        rest = &rest[end..];
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_795_000_000;

    fn parse(body: &[u8]) -> Result<SetData<'_>, Problem> {
        SetData::parse(body, NOW)
    }

    #[test]
    fn values_may_expire_and_have_metadata() {
        for (fields, expiry, metadata) in [
            ("", None, None),
            (",\"expirationTtl\":60", Some(Expiry::In(60)), None),
            (",\"expiration\":1795000060", Some(Expiry::At(NOW + 60)), None),
            (",\"expirationTtl\":60.0", Some(Expiry::In(60)), None),
            (",\"expiration\":1.79500006e9", Some(Expiry::At(NOW + 60)), None),
            (",\"expirationTtl\":null,\"metadata\":null", None, None),
            (",\"metadata\":{\"a\":1}", None, Some("{\"a\":1}")),
            (
                ",\"metadata\":{\"1e400\":\"\\\"1e400\",\"b\":-1.5e308}",
                None,
                Some("{\"1e400\":\"\\\"1e400\",\"b\":-1.5e308}"),
            ),
        ] {
            let body = format!("{{\"key\":\"k\",\"value\":1{fields}}}");
            let parsed = parse(body.as_bytes()).expect(&body);
            assert_eq!((parsed.expiry, parsed.metadata.map(RawValue::get)), (expiry, metadata), "{body}");
        }
        let too_long = format!(",\"metadata\":{{\"a\":\"{}\"}}", "x".repeat(1017));
        for fields in [
            ",\"expirationTtl\":59",
            ",\"expirationTtl\":-1",
            ",\"expirationTtl\":60.5",
            ",\"expirationTtl\":\"60\"",
            ",\"expiration\":1795000059",
            ",\"expiration\":0",
            ",\"expirationTtl\":2147483648",
            ",\"expiration\":1795000060000",
            ",\"expirationTtl\":18446744073709551615",
            ",\"expirationTtl\":1e300",
            ",\"expirationTtl\":-0.5",
            ",\"expirationTtl\":60,\"expiration\":1795000060",
            ",\"metadata\":[]",
            ",\"metadata\":{\"a\":1e400}",
            ",\"metadata\":{\"a\\\"\":[\"\\\\\",-2E+309]}",
            ",\"metadata\":\"x\"",
            ",\"metadata\":1",
            &too_long,
        ] {
            let body = format!("{{\"key\":\"k\",\"value\":1{fields}}}");
            assert_eq!(parse(body.as_bytes()).expect_err(&body).code().name(), "invalid_body", "{body}");
        }
    }

    #[test]
    fn values_keep_their_json_text() {
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
                let parsed = parse(body.as_bytes()).expect(&body);
                assert_eq!((parsed.key.as_str(), parsed.value.get()), ("k", value));
            }
        }
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let depth = 1_000_000;
        let body = format!("{{\"key\":\"k\",\"value\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(parse(body.as_bytes()).expect("valid JSON").value.get().len(), 2 * depth);
    }

    #[test]
    fn invalid_bodies_are_rejected() {
        for (body, code) in [
            ("", "invalid_json"),
            ("{", "invalid_json"),
            ("{\"key\":\"k\",\"value\":1}x", "invalid_json"),
            ("{\"key\":\"k\",\"value\":01}", "invalid_json"),
            ("{\"key\":\"k\",\"value\":NaN}", "invalid_json"),
            ("{'key':'k'}", "invalid_json"),
            ("\u{feff}{\"key\":\"k\",\"value\":1}", "invalid_json"),
            ("{\"key\":\"\\ud800\",\"value\":1}", "invalid_json"),
            ("[\"k\",1]", "invalid_body"),
            ("\"k\"", "invalid_body"),
            ("null", "invalid_body"),
            ("{\"key\":\"k\"}", "invalid_body"),
            ("{\"key\":1,\"value\":1}", "invalid_body"),
            ("{\"key\":\"k\",\"value\":1,\"valeu\":2}", "invalid_body"),
            ("{\"key\":\"k\",\"key\":\"k\",\"value\":1}", "invalid_body"),
            ("{}", "missing_key"),
            ("{\"value\":1}", "missing_key"),
            ("{\"key\":null,\"value\":1}", "missing_key"),
            ("{\"key\":\"\",\"value\":1}", "invalid_key"),
        ] {
            assert_eq!(parse(body.as_bytes()).expect_err(body).code().name(), code, "{body}");
        }
        assert_eq!(parse(b"{\"key\":\"\xff\",\"value\":1}").expect_err("not UTF-8").code().name(), "invalid_json");
        assert_eq!(parse(b"{\"key\":\"k\",\"value\":\"\xff\"}").expect_err("not UTF-8").code().name(), "invalid_json");
    }

    #[test]
    fn the_problem_names_an_unknown_member() {
        let problem = parse(b"{\"key\":\"k\",\"value\":1,\"tll\":60}").expect_err("unknown field");
        assert!(problem.detail().contains("`tll`"), "{}", problem.detail());
    }

    #[test]
    fn values_may_have_25_mib() {
        let body = |length: usize| format!("{{\"key\":\"k\",\"value\":\"{}\"}}", "v".repeat(length - 2));
        assert!(parse(body(SetData::MAX_VALUE_LEN).as_bytes()).is_ok());
        let problem = parse(body(SetData::MAX_VALUE_LEN + 1).as_bytes()).expect_err("too large");
        assert_eq!(problem.code().name(), "too_large");
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }

        #[test]
        fn any_key_and_value_are_parsed(key in "\\PC{1,40}", value in "\\PC*") {
            let value = serde_json::to_string(&value).expect("a string");
            let body = format!("{{\"key\":{},\"value\":{value}}}", serde_json::to_string(&key).expect("a string"));
            let parsed = parse(body.as_bytes()).expect("valid");
            prop_assert_eq!(parsed.key.as_str(), key);
            prop_assert_eq!(parsed.value.get(), value);
        }
    }
}
