//! Query parameters for listing files.

use super::key::FileKey;
use crate::http::{Cursor, Listing, Problem, Query, limit_parameter, text_parameter};

/// The parameters of `GET /files` without a key.
#[derive(Debug, PartialEq, Eq)]
pub struct FilesPage {
    /// The prefix of the keys to list.
    pub prefix: String,
    /// Keys that contain the delimiter after the prefix are grouped: the beginning that they share, up to and including
    /// the delimiter, is listed once, in `prefixes`.
    pub delimiter: Option<String>,
    /// The maximum number of entries, including prefixes.
    pub limit: u32,
    /// The position at which the page starts.
    pub cursor: Option<Cursor>,
    /// Whether to list each file's content type.
    pub content_type: bool,
}

impl FilesPage {
    /// Returns the parameters for the first page of all files.
    #[must_use]
    pub fn first() -> Self {
        Self::from_query(Query::parse("").expect("an empty query")).expect("no parameter is required")
    }

    /// Returns the listing that the page and its cursor belong to.
    #[must_use]
    pub fn listing(&self) -> Listing<'_> {
        Listing::Files(&self.prefix, self.delimiter.as_deref())
    }

    /// Parses the query.
    pub fn from_query(query: Query<'_>) -> Result<Self, Problem> {
        let include = query.get("include");
        if include.as_deref().is_some_and(|include| include != b"contentType") {
            return Err(Problem::invalid_parameter("`include` must be contentType"));
        }
        let prefix = text_parameter(query, "prefix", 0, FileKey::MAX_LEN)?.unwrap_or_default();
        let delimiter = text_parameter(query, "delimiter", 1, FileKey::MAX_LEN)?;
        let cursor = Cursor::from_query(query, Listing::Files(&prefix, delimiter.as_deref()))?;
        Ok(Self { limit: limit_parameter(query)?, cursor, content_type: include.is_some(), prefix, delimiter })
    }
}
