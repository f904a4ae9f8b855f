//! JSON as a module. Cloudflare's API knows no such type, and what bundles a script makes it an ECMAScript module; so does this.

use bytes::Bytes;
use serde::de::{Error, IgnoredAny};

const BEFORE: &str = "export default JSON.parse(";
const AFTER: &str = ");\n";

/// An ECMAScript module that exports what the JSON says. The text is parsed when it runs: as an expression of JavaScript it
/// would not always mean the same.
pub fn wrapped(json: &[u8]) -> serde_json::Result<Bytes> {
    let text = std::str::from_utf8(json).map_err(serde_json::Error::custom)?;
    serde_json::from_str::<IgnoredAny>(text)?;
    Ok(format!("{BEFORE}{}{AFTER}", serde_json::to_string(text)?).into())
}

/// The JSON that such a module was made of; what is none, as it is.
pub fn unwrapped(module: Vec<u8>) -> Vec<u8> {
    let json = || {
        let text = std::str::from_utf8(&module).ok()?.strip_prefix(BEFORE)?.strip_suffix(AFTER)?;
        serde_json::from_str::<String>(text).ok()
    };
    json().map_or(module, String::into_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_back_as_it_was() {
        for json in [r#"{"a": [1, null, "\u2028 \" \\ é"]}"#, "1", " null\n", "\"\u{2028}\"", r#"{"__proto__": 1.10}"#]
        {
            let module = wrapped(json.as_bytes()).expect(json);
            assert_eq!(unwrapped(module.to_vec()), json.as_bytes());
        }
        for other in ["", "{", "{} {}", "undefined", "\u{feff}{}", "// comment\n{}"] {
            assert!(wrapped(other.as_bytes()).is_err(), "{other}");
        }
        assert!(wrapped(b"\"\xff\"").is_err(), "it is UTF-8");
        assert_eq!(unwrapped(b"export default 1".to_vec()), b"export default 1");
    }
}
