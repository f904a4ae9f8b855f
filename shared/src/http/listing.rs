//! The parameters that all listings have.

use super::problem::Problem;
use super::query::Query;

/// The most entries of a page, R2's and KV's limit.
pub const MAX_LIMIT: u32 = 1000;

/// The query's `limit`; the most there can be if there is none.
pub fn limit(query: Query<'_>) -> Result<u32, Problem> {
    let Some(limit) = query.get("limit") else { return Ok(MAX_LIMIT) };
    let digits = !limit.is_empty() && limit.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(&limit).ok().filter(|_| digits).and_then(|limit| limit.parse().ok());
    number
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| Problem::invalid_parameter("`limit` must be a whole number from 1 to 1000"))
}

/// A parameter of the query that is text of these lengths, in bytes.
pub fn text(query: Query<'_>, name: &str, min_len: usize, max_len: usize) -> Result<Option<String>, Problem> {
    let Some(value) = query.get(name) else { return Ok(None) };
    String::from_utf8(value.into_owned())
        .ok()
        .filter(|value| (min_len..=max_len).contains(&value.len()))
        .map(Some)
        .ok_or_else(|| Problem::invalid_parameter(&format!("`{name}` must be {min_len} to {max_len} bytes of UTF-8")))
}
