//! The keys that customers name their files by.

use std::borrow::Cow;

use crate::http::{Problem, Query, parse_key};

/// A file's key, which is the R2 object's key as it is: 1 to 1024 bytes of UTF-8
/// (<https://developers.cloudflare.com/r2/platform/limits/>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileKey(String);

impl FileKey {
    /// The longest key, in bytes of UTF-8.
    pub const MAX_LEN: usize = 1024;

    /// Parses a key as it stands in a form field or, decoded, in a query.
    pub fn parse(key: Cow<'_, [u8]>) -> Result<Self, Problem> {
        parse_key(key, Self::MAX_LEN).map(Self)
    }

    /// Takes the query's `key`, if it is there.
    pub fn in_query(query: Query<'_>) -> Result<Option<Self>, Problem> {
        query.get("key").map(Self::parse).transpose()
    }

    /// Takes the query's `key`, which must be there.
    pub fn from_query(query: Query<'_>) -> Result<Self, Problem> {
        Self::in_query(query)?.ok_or_else(Problem::missing_key)
    }

    /// The key itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
