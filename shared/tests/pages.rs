//! Query parameters for listing files and values.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use shared::data::DataPage;
use shared::files::FilesPage;
use shared::http::{Cursor, Listing, MAX_LIMIT, Query};

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
    assert_eq!((&*page.prefix, page.delimiter.as_deref(), page.limit, page.content_type), ("a/b", Some("/"), 7, true));
    assert_eq!(page.cursor.expect("a cursor").as_str(), "after");
}

#[test]
fn invalid_parameters_are_rejected() {
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
    fn any_encoded_parameters_are_parsed(
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
