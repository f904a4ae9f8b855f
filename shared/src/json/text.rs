//! JSON serialization.

use serde::ser::Serialize;

/// Serializes a value as JSON. The value must be one that `serde_json` can always serialize, such as a struct of
/// strings and numbers.
///
/// This function does not use `expect`, because the code that prints the error would be larger than the code that
/// writes the JSON.
pub fn to_text(value: &impl Serialize) -> String {
    match serde_json::to_string(value) {
        Ok(text) => text,
        Err(_) => unreachable!("strings and numbers can always be serialized"),
    }
}
