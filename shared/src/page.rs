//! What part of a listing a client asks for.

use crate::cursor::Listing;
use crate::{Cursor, DataKey, FileKey, Problem, Query};

/// The most entries of a page, R2's and KV's limit.
pub const MAX_LIMIT: u32 = 1000;

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

fn limit(query: Query<'_>) -> Result<u32, Problem> {
    let Some(limit) = query.get("limit") else { return Ok(MAX_LIMIT) };
    let digits = !limit.is_empty() && limit.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(&limit).ok().filter(|_| digits).and_then(|limit| limit.parse().ok());
    number
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| Problem::invalid_parameter("`limit` must be a whole number from 1 to 1000"))
}

fn text(query: Query<'_>, name: &str, min_len: usize, max_len: usize) -> Result<Option<String>, Problem> {
    let Some(value) = query.get(name) else { return Ok(None) };
    String::from_utf8(value.into_owned())
        .ok()
        .filter(|value| (min_len..=max_len).contains(&value.len()))
        .map(Some)
        .ok_or_else(|| Problem::invalid_parameter(&format!("`{name}` must be {min_len} to {max_len} bytes of UTF-8")))
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_have_defaults() {
        let page = FilesPage { prefix: String::new(), delimiter: None, limit: 1000, cursor: None, content_type: false };
        assert_eq!(FilesPage::from_query(Query::parse("").expect("valid")).expect("defaults"), page);
        let page = DataPage { prefix: String::new(), limit: 1000, cursor: None };
        assert_eq!(DataPage::from_query(Query::parse("").expect("valid")).expect("defaults"), page);
    }

    #[test]
    fn parameters_are_parsed() {
        let cursor = Cursor::encode("after", Listing::Files("a/b", Some("/")));
        let query = format!("prefix=a%2Fb&delimiter=/&limit=7&include=contentType&cursor={cursor}");
        let page = FilesPage::from_query(Query::parse(&query).expect("valid")).expect("valid");
        assert_eq!(
            (&*page.prefix, page.delimiter.as_deref(), page.limit, page.content_type),
            ("a/b", Some("/"), 7, true)
        );
        assert_eq!(page.cursor.expect("a cursor").as_str(), "after");
    }

    #[test]
    fn bad_parameters_are_refused() {
        let too_long = format!("prefix={}", "a".repeat(1025));
        for (query, code) in [
            ("limit=0", "invalid_parameter"),
            ("limit=1001", "invalid_parameter"),
            ("limit=", "invalid_parameter"),
            ("limit=+1", "invalid_parameter"),
            ("limit=-1", "invalid_parameter"),
            ("limit=1e2", "invalid_parameter"),
            ("limit=99999999999", "invalid_parameter"),
            ("prefix=%ff", "invalid_parameter"),
            (&too_long, "invalid_parameter"),
            ("cursor=", "invalid_cursor"),
            ("cursor=abc", "invalid_cursor"),
            ("cursor=%ff", "invalid_cursor"),
        ] {
            assert_eq!(
                FilesPage::from_query(Query::parse(query).expect(query)).expect_err(query).code().name(),
                code,
                "{query}"
            );
            assert_eq!(
                DataPage::from_query(Query::parse(query).expect(query)).expect_err(query).code().name(),
                code,
                "{query}"
            );
        }
        let too_long = format!("prefix={}", "a".repeat(508));
        assert_eq!(DataPage::from_query(Query::parse(&too_long).expect("valid")).expect_err("long").status(), 400);
        assert!(FilesPage::from_query(Query::parse(&too_long).expect("valid")).is_ok());
        for query in ["delimiter=", "delimiter=%ff", "include=x", "include=", "include=contentType,x"] {
            assert_eq!(
                FilesPage::from_query(Query::parse(query).expect(query)).expect_err(query).code().name(),
                "invalid_parameter"
            );
        }
    }

    proptest! {
        #[test]
        fn any_parameters_come_back(
            prefix in ".{0,40}",
            delimiter in proptest::option::of(".{1,9}"),
            limit in 0_u32..1100,
            position in proptest::option::of(".{1,40}"),
        ) {
            let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let listing = Listing::Files(&prefix, delimiter.as_deref());
            let mut query = format!("limit={limit}&prefix={}", escape(&prefix));
            if let Some(delimiter) = &delimiter {
                query.extend(["&delimiter=", &escape(delimiter)]);
            }
            if let Some(position) = &position {
                query.extend(["&cursor=", &Cursor::encode(position, listing)]);
            }
            let page = FilesPage::from_query(Query::parse(&query).expect("each once"));
            prop_assert_eq!(page.is_ok(), (1..=1000).contains(&limit));
            if let Ok(page) = page {
                prop_assert_eq!((&page.prefix, &page.delimiter, page.limit), (&prefix, &delimiter, limit));
                prop_assert_eq!(page.cursor.as_ref().map(Cursor::as_str), position.as_deref());
            }
        }

        #[test]
        fn no_parameters_panic(query in "((prefix|delimiter|limit|cursor|include)=[^&]{0,9}&?){0,5}|.{0,60}") {
            if let Ok(query) = Query::parse(&query) {
                let _ = DataPage::from_query(query);
                let limit = FilesPage::from_query(query).ok().map(|page| page.limit);
                prop_assert!(limit.is_none_or(|limit| (1..=MAX_LIMIT).contains(&limit)));
            }
        }
    }
}
