//! Keys of values.

use std::borrow::Cow;

use crate::http::{Problem, Query, parse_key};

/// A value's key: 1 to 507 bytes of UTF-8. KV's keys have at most 512 bytes
/// (<https://developers.cloudflare.com/kv/platform/limits/>), and the platform stores the value with the prefix
/// `data/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataKey {
    kv_key: String,
}

impl DataKey {
    /// The maximum length of a key, in bytes of UTF-8.
    pub const MAX_LEN: usize = 512 - Self::PREFIX.len();

    /// The prefix of the values' keys in a customer's KV namespace. It separates them from the platform's own keys.
    pub const PREFIX: &'static str = "data/";

    /// Parses a key from a JSON body or a query. A key from a query must already be percent-decoded.
    pub fn parse(key: Cow<'_, [u8]>) -> Result<Self, Problem> {
        let kv_key = [Self::PREFIX, &parse_key(key, Self::MAX_LEN)?].concat();
        Ok(Self { kv_key })
    }

    /// Parses the query's `key`, if it has one.
    pub fn optional_from_query(query: Query<'_>) -> Result<Option<Self>, Problem> {
        query.get("key").map(Self::parse).transpose()
    }

    /// Parses the query's `key`, which is required.
    pub fn from_query(query: Query<'_>) -> Result<Self, Problem> {
        Self::optional_from_query(query)?.ok_or_else(Problem::missing_key)
    }

    /// Returns the key without the prefix, as the client sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.kv_key[Self::PREFIX.len()..]
    }

    /// Returns the key in the customer's KV namespace, with the prefix.
    #[must_use]
    pub fn kv_key(&self) -> &str {
        &self.kv_key
    }
}
