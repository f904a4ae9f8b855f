//! Wraps JSON in an ECMAScript module, as bundlers do. Cloudflare's API has no JSON modules.

use bytes::Bytes;
use serde::de::{Error, IgnoredAny};

const PREFIX: &str = "export default JSON.parse(";
const SUFFIX: &str = ");\n";

/// Returns an ECMAScript module that exports the JSON value. The module parses the text with `JSON.parse`, because some
/// JSON means something else as a JavaScript expression, such as `{"__proto__": 1}`.
pub fn wrapped(json: &[u8]) -> serde_json::Result<Bytes> {
    let text = std::str::from_utf8(json).map_err(serde_json::Error::custom)?;
    serde_json::from_str::<IgnoredAny>(text)?;
    Ok(format!("{PREFIX}{}{SUFFIX}", serde_json::to_string(text)?).into())
}

/// Returns the JSON in a module that [`wrapped`] created. Any other module is returned unchanged.
pub fn unwrapped(module: Vec<u8>) -> Vec<u8> {
    let json = || {
        let text = std::str::from_utf8(&module).ok()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        serde_json::from_str::<String>(text).ok()
    };
    json().map_or(module, String::into_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_json_is_unwrapped_unchanged() {
        for json in [r#"{"a": [1, null, "\u2028 \" \\ é"]}"#, "1", " null\n", "\"\u{2028}\"", r#"{"__proto__": 1.10}"#]
        {
            let module = wrapped(json.as_bytes()).expect(json);
            assert_eq!(unwrapped(module.to_vec()), json.as_bytes());
        }
        for invalid in ["", "{", "{} {}", "undefined", "\u{feff}{}", "// comment\n{}"] {
            assert!(wrapped(invalid.as_bytes()).is_err(), "{invalid}");
        }
        assert!(wrapped(b"\"\xff\"").is_err(), "JSON must be UTF-8");
        assert_eq!(unwrapped(b"export default 1".to_vec()), b"export default 1");
    }
}
