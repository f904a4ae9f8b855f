//! Keys of files.

use std::borrow::Cow;

use crate::http::{Problem, Query, parse_key};

/// A file's key: 1 to 1024 bytes of UTF-8, which is R2's limit
/// (<https://developers.cloudflare.com/r2/platform/limits/>). The R2 object has the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileKey(String);

impl FileKey {
    /// The maximum length of a key, in bytes of UTF-8.
    pub const MAX_LEN: usize = 1024;

    /// Parses a key from a form field or a query. A key from a query must already be percent-decoded.
    pub fn parse(key: Cow<'_, [u8]>) -> Result<Self, Problem> {
        parse_key(key, Self::MAX_LEN).map(Self)
    }

    /// Parses the query's `key`, if it has one.
    pub fn optional_from_query(query: Query<'_>) -> Result<Option<Self>, Problem> {
        query.get("key").map(Self::parse).transpose()
    }

    /// Parses the query's `key`, which is required.
    pub fn from_query(query: Query<'_>) -> Result<Self, Problem> {
        Self::optional_from_query(query)?.ok_or_else(Problem::missing_key)
    }

    /// Returns the key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
