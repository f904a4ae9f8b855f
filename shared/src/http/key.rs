//! What all keys have in common.

use std::borrow::Cow;

use super::problem::Problem;

/// Parses a key: 1 to `max_len` bytes of UTF-8.
pub fn parse_key(key: Cow<'_, [u8]>, max_len: usize) -> Result<String, Problem> {
    if !(1..=max_len).contains(&key.len()) {
        return Err(Problem::invalid_key_length(max_len));
    }
    String::from_utf8(key.into_owned()).map_err(|_| Problem::invalid_key_encoding())
}
