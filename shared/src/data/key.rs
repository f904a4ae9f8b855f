//! The keys that customers name their values by.

use std::borrow::Cow;

use crate::http::{Problem, Query, parse_key};

/// A value's key: 1 to 507 bytes of UTF-8, because KV's own keys end at 512
/// (<https://developers.cloudflare.com/kv/platform/limits/>) and the customer's begin with `data/` there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataKey {
    stored: String,
}

impl DataKey {
    /// The longest key, in bytes of UTF-8.
    pub const MAX_LEN: usize = 512 - Self::PREFIX.len();

    /// What every customer's key begins with in its KV namespace, apart from which the platform keeps its own there.
    pub const PREFIX: &'static str = "data/";

    /// Parses a key as it stands in a JSON body or, decoded, in a query.
    pub fn parse(key: Cow<'_, [u8]>) -> Result<Self, Problem> {
        let stored = [Self::PREFIX, &parse_key(key, Self::MAX_LEN)?].concat();
        Ok(Self { stored })
    }

    /// Takes the query's `key`, if it is there.
    pub fn in_query(query: Query<'_>) -> Result<Option<Self>, Problem> {
        query.get("key").map(Self::parse).transpose()
    }

    /// Takes the query's `key`, which must be there.
    pub fn from_query(query: Query<'_>) -> Result<Self, Problem> {
        Self::in_query(query)?.ok_or_else(Problem::missing_key)
    }

    /// The key as the customer knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.stored[Self::PREFIX.len()..]
    }

    /// The key in the customer's KV namespace.
    #[must_use]
    pub fn stored(&self) -> &str {
        &self.stored
    }
}
