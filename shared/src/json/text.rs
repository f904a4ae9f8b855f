//! Writing JSON.

use serde::ser::Serialize;

/// Writes a value of strings, numbers and the like, which always has a JSON.
///
/// Not with `expect`: what would print the error is larger than what writes the JSON.
pub fn to_text(value: &impl Serialize) -> String {
    match serde_json::to_string(value) {
        Ok(text) => text,
        Err(_) => unreachable!("strings and numbers always have a JSON"),
    }
}
