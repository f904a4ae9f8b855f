//! What part of a listing of values a client asks for.

use super::key::DataKey;
use crate::http::{Cursor, Listing, Problem, Query, limit, text};

/// The parameters of `GET /data` without a key.
#[derive(Debug, PartialEq, Eq)]
pub struct DataPage {
    /// What keys begin with.
    pub prefix: String,
    /// How many entries at most.
    pub limit: u32,
    /// Where to go on.
    pub cursor: Option<Cursor>,
}

impl DataPage {
    /// The first page, of everything.
    #[must_use]
    pub fn first() -> Self {
        Self::from_query(Query::parse("").expect("an empty query")).expect("no parameter is required")
    }

    /// What a page's listing is, for its cursor.
    #[must_use]
    pub fn listing(&self) -> Listing<'_> {
        Listing::Data(&self.prefix)
    }

    /// Parses the query.
    pub fn from_query(query: Query<'_>) -> Result<Self, Problem> {
        let prefix = text(query, "prefix", 0, DataKey::MAX_LEN)?.unwrap_or_default();
        let cursor = Cursor::from_query(query, Listing::Data(&prefix))?;
        Ok(Self { limit: limit(query)?, cursor, prefix })
    }
}
