//! What part of a listing of files a client asks for.

use super::key::FileKey;
use crate::http::{Cursor, Listing, Problem, Query, limit, text};

/// The parameters of `GET /files` without a key.
#[derive(Debug, PartialEq, Eq)]
pub struct FilesPage {
    /// What keys begin with.
    pub prefix: String,
    /// Keys that have this after the prefix are listed once, up to it, among the `prefixes`.
    pub delimiter: Option<String>,
    /// How many entries at most, prefixes among them.
    pub limit: u32,
    /// Where to go on.
    pub cursor: Option<Cursor>,
    /// Whether to list each file's type as well.
    pub content_type: bool,
}

impl FilesPage {
    /// The first page, of everything.
    #[must_use]
    pub fn first() -> Self {
        Self::from_query(Query::parse("").expect("an empty query")).expect("no parameter is required")
    }

    /// What a page's listing is, for its cursor.
    #[must_use]
    pub fn listing(&self) -> Listing<'_> {
        Listing::Files(&self.prefix, self.delimiter.as_deref())
    }

    /// Parses the query.
    pub fn from_query(query: Query<'_>) -> Result<Self, Problem> {
        let include = query.get("include");
        if include.as_deref().is_some_and(|include| include != b"contentType") {
            return Err(Problem::invalid_parameter("`include` can be contentType"));
        }
        let prefix = text(query, "prefix", 0, FileKey::MAX_LEN)?.unwrap_or_default();
        let delimiter = text(query, "delimiter", 1, FileKey::MAX_LEN)?;
        let cursor = Cursor::from_query(query, Listing::Files(&prefix, delimiter.as_deref()))?;
        Ok(Self { limit: limit(query)?, cursor, content_type: include.is_some(), prefix, delimiter })
    }
}
