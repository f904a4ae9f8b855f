//! The keys that customers name their files and values by.

use std::borrow::Cow;

use crate::{Problem, Query};

/// A file's key, which is the R2 object's key as it is: 1 to 1024 bytes of UTF-8
/// (<https://developers.cloudflare.com/r2/platform/limits/>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileKey(String);

impl FileKey {
    /// The longest key, in bytes of UTF-8.
    pub const MAX_LEN: usize = 1024;

    /// Parses a key as it stands in a form field or, decoded, in a query.
    pub fn parse(key: Cow<'_, [u8]>) -> Result<Self, Problem> {
        parse(key, Self::MAX_LEN).map(Self)
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
        let stored = [Self::PREFIX, &parse(key, Self::MAX_LEN)?].concat();
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

fn parse(key: Cow<'_, [u8]>, max_len: usize) -> Result<String, Problem> {
    if !(1..=max_len).contains(&key.len()) {
        return Err(Problem::invalid_key_length(max_len));
    }
    String::from_utf8(key.into_owned()).map_err(|_| Problem::invalid_key_encoding())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_end_at_their_stores_limits() {
        for (length, file, data) in [
            (0, false, false),
            (1, true, true),
            (507, true, true),
            (508, true, false),
            (1024, true, false),
            (1025, false, false),
        ] {
            let key = "k".repeat(length);
            assert_eq!(FileKey::parse(key.as_bytes().into()).is_ok(), file, "file key of {length}");
            assert_eq!(DataKey::parse(key.as_bytes().into()).is_ok(), data, "data key of {length}");
        }
        // Bytes count, not characters.
        assert!(DataKey::parse("é".repeat(254).as_bytes().into()).is_err());
        assert_eq!(DataKey::parse("é".repeat(253).as_bytes().into()).expect("506 bytes").stored().len(), 511);
    }

    #[test]
    fn awkward_keys_stay_as_they_are() {
        for key in
            [".", "..", "../data/x", "/", "a//b", " a ", "usage/x", "data/x", "a\0b", "\u{feff}", "e\u{301}", "🦀"]
        {
            assert_eq!(FileKey::parse(key.as_bytes().into()).expect(key).as_str(), key);
            let data = DataKey::parse(key.as_bytes().into()).expect(key);
            assert_eq!((data.as_str(), data.stored()), (key, &*format!("data/{key}")));
        }
    }

    #[test]
    fn what_is_missing_or_not_text_is_refused() {
        for (query, code) in
            [("", "missing_key"), ("key=", "invalid_key"), ("key=%ff", "invalid_key"), ("key=%ed%a0%80", "invalid_key")]
        {
            assert_eq!(
                FileKey::from_query(Query::parse(query).expect(query)).expect_err(query).code().name(),
                code,
                "{query}"
            );
            assert_eq!(
                DataKey::from_query(Query::parse(query).expect(query)).expect_err(query).code().name(),
                code,
                "{query}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_key_of_the_right_length_is_itself(
            key in prop_oneof![
                any::<String>().prop_map(String::into_bytes),
                "[ -~é]{500,520}|[ -~]{1010,1040}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..40),
            ],
        ) {
            let text = std::str::from_utf8(&key).ok().filter(|text| !text.is_empty());
            let file = FileKey::parse(Cow::Borrowed(&*key)).ok();
            prop_assert_eq!(file.as_ref().map(FileKey::as_str), text.filter(|text| text.len() <= 1024));
            let data = DataKey::parse(Cow::Borrowed(&*key)).ok();
            prop_assert_eq!(data.as_ref().map(DataKey::as_str), text.filter(|text| text.len() <= 507));
            // Whatever it is, it is among the customer's, and no key of KV's own is longer than it may be.
            prop_assert!(data.is_none_or(|data| data.stored().starts_with("data/") && data.stored().len() <= 512));
        }
    }
}
