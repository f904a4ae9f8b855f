//! Parameters that several routes share.

use std::borrow::Cow;

use super::problem::Problem;
use super::query::Query;

/// The maximum number of entries of a page: the limit of R2 and KV.
pub const MAX_LIMIT: u32 = 1000;

/// Parses a key: 1 to `max_len` bytes of UTF-8.
pub fn parse_key(key: Cow<'_, [u8]>, max_len: usize) -> Result<String, Problem> {
    if !(1..=max_len).contains(&key.len()) {
        return Err(Problem::invalid_key_length(max_len));
    }
    String::from_utf8(key.into_owned()).map_err(|_| Problem::invalid_key_encoding())
}

/// Parses the query's `limit`. It is [`MAX_LIMIT`] if absent.
pub fn limit_parameter(query: Query<'_>) -> Result<u32, Problem> {
    let Some(limit) = query.get("limit") else { return Ok(MAX_LIMIT) };
    let is_digits = !limit.is_empty() && limit.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(&limit).ok().filter(|_| is_digits).and_then(|limit| limit.parse().ok());
    number
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| Problem::invalid_parameter("`limit` must be a whole number from 1 to 1000"))
}

/// Parses a parameter of the query that is text of `min_len` to `max_len` bytes. Returns `None` if it is absent.
pub fn text_parameter(query: Query<'_>, name: &str, min_len: usize, max_len: usize) -> Result<Option<String>, Problem> {
    let Some(value) = query.get(name) else { return Ok(None) };
    String::from_utf8(value.into_owned())
        .ok()
        .filter(|value| (min_len..=max_len).contains(&value.len()))
        .map(Some)
        .ok_or_else(|| Problem::invalid_parameter(&format!("`{name}` must be {min_len} to {max_len} bytes of UTF-8")))
}
