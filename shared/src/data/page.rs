//! Query parameters for listing values.

use super::key::DataKey;
use crate::http::{Cursor, Listing, Problem, Query, limit_parameter, text_parameter};

/// The parameters of `GET /data` without a key.
#[derive(Debug, PartialEq, Eq)]
pub struct DataPage {
    /// The prefix of the keys to list.
    pub prefix: String,
    /// The maximum number of entries.
    pub limit: u32,
    /// The position at which the page starts.
    pub cursor: Option<Cursor>,
}

impl DataPage {
    /// Returns the parameters for the first page of all values.
    #[must_use]
    pub fn first() -> Self {
        Self::from_query(Query::parse("").expect("an empty query")).expect("no parameter is required")
    }

    /// Returns the listing that the page and its cursor belong to.
    #[must_use]
    pub fn listing(&self) -> Listing<'_> {
        Listing::Data(&self.prefix)
    }

    /// Parses the query.
    pub fn from_query(query: Query<'_>) -> Result<Self, Problem> {
        let prefix = text_parameter(query, "prefix", 0, DataKey::MAX_LEN)?.unwrap_or_default();
        let cursor = Cursor::from_query(query, Listing::Data(&prefix))?;
        Ok(Self { limit: limit_parameter(query)?, cursor, prefix })
    }
}
