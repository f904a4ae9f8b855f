//! Keys of files and of values.

use std::borrow::Cow;

use proptest::prelude::*;
use shared::data::DataKey;
use shared::files::FileKey;
use shared::http::Query;

#[test]
fn keys_have_the_length_limits_of_their_stores() {
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
    // The limits are in bytes, not characters.
    assert!(DataKey::parse("é".repeat(254).as_bytes().into()).is_err());
    assert_eq!(DataKey::parse("é".repeat(253).as_bytes().into()).expect("506 bytes").kv_key().len(), 511);
}

#[test]
fn unusual_keys_are_unchanged() {
    for key in [".", "..", "../data/x", "/", "a//b", " a ", "usage/x", "data/x", "a\0b", "\u{feff}", "e\u{301}", "🦀"]
    {
        assert_eq!(FileKey::parse(key.as_bytes().into()).expect(key).as_str(), key);
        let data = DataKey::parse(key.as_bytes().into()).expect(key);
        assert_eq!((data.as_str(), data.kv_key()), (key, &*format!("data/{key}")));
    }
}

#[test]
fn missing_empty_and_malformed_keys_are_rejected() {
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
    fn any_text_of_a_valid_length_is_a_key(
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
        // The key in KV always has the prefix and is within KV's limit.
        prop_assert!(data.is_none_or(|data| data.kv_key().starts_with("data/") && data.kv_key().len() <= 512));
    }
}
