//! `Content-Type` of requests and of stored files.

use super::header_parameters::Parameters;
use super::header_text::is_visible;
use super::problem::Problem;

/// Returns whether a type is JSON: `application/json` or a type with the suffix `+json`
/// (<https://mimesniff.spec.whatwg.org/#json-mime-type>). JSON is always UTF-8 (RFC 8259, 8.1), so a type with another
/// charset does not count.
#[must_use]
pub fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || essence.get(essence.len().saturating_sub(5)..).is_some_and(|end| end.eq_ignore_ascii_case("+json"));
    is_json && is_utf8(content_type)
}

/// Returns whether text of a type is UTF-8: the type has no charset, or one that is compatible with UTF-8.
pub(crate) fn is_utf8(content_type: &str) -> bool {
    let charsets = Parameters(content_type).filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
    let utf8 = ["", "utf-8", "utf8", "us-ascii"];
    charsets.map(|(_, charset)| charset).all(|charset| utf8.iter().any(|utf8| charset.eq_ignore_ascii_case(utf8)))
}

/// Returns whether a type is `multipart/form-data` (RFC 7578), a form that can contain files.
#[must_use]
pub fn is_multipart_form(content_type: &str) -> bool {
    essence(content_type).eq_ignore_ascii_case("multipart/form-data")
}

fn essence(content_type: &str) -> &str {
    content_type.split_once(';').map_or(content_type, |(essence, _)| essence).trim()
}

/// A file's content type. Its text is always valid in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType(String);

impl ContentType {
    /// Parses the content type of a file. An empty text becomes `application/octet-stream`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        if !is_visible(text) {
            return Err(Problem::invalid_form("the file's Content-Type must be at most 1024 visible ASCII characters"));
        }
        Ok(if text.is_empty() { Self::default() } else { Self(text.to_owned()) })
    }

    /// Returns the content type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ContentType {
    fn default() -> Self {
        Self("application/octet-stream".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_and_forms_are_recognized() {
        for (content_type, json, form) in [
            ("application/json", true, false),
            ("Application/JSON; charset=utf-8", true, false),
            ("application/json;Charset=\"UTF-8\"; x", true, false),
            ("application/json; charset=US-ASCII", true, false),
            ("application/json; charset=iso-8859-1", false, false),
            ("application/ld+json; charset=utf-16", false, false),
            ("application/json; charset=utf-8; charset=latin1", false, false),
            ("application/ld+json", true, false),
            ("multipart/form-data; boundary=x", false, true),
            ("Multipart/Form-Data ;boundary=x", false, true),
            ("application/x-www-form-urlencoded", false, false),
            ("text/plain", false, false),
            ("application/jsonp", false, false),
            ("ü+jso", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_json(content_type), is_multipart_form(content_type)), (json, form), "{content_type}");
        }
    }

    #[test]
    fn content_types_that_a_header_cannot_contain_are_rejected() {
        assert_eq!(ContentType::parse("image/png").expect("a type").as_str(), "image/png");
        assert_eq!(ContentType::parse("").expect("none").as_str(), "application/octet-stream");
        assert_eq!(
            ContentType::parse(" text/plain; charset=utf-8 ").expect("a type").as_str(),
            "text/plain; charset=utf-8"
        );
        for text in ["text/pläin", "a\r\nb: c", "a\0", &"x".repeat(1025)] {
            assert_eq!(ContentType::parse(text).expect_err(text).code().name(), "invalid_form");
        }
    }

    proptest! {
        #[test]
        fn parameters_other_than_charset_do_not_matter(
            essence in "[^;]{0,30}|application/(x\\+)?[jJ]son|[^;]{0,9}\\+json|multipart/form-data",
            parameters in ".{0,30}",
        ) {
            prop_assume!(!parameters.to_ascii_lowercase().contains("charset"));
            let content_type = format!("{essence};{parameters}");
            prop_assert_eq!(is_json(&content_type), is_json(&essence));
            prop_assert_eq!(is_multipart_form(&content_type), is_multipart_form(&essence));
            prop_assert!(!(is_json(&content_type) && is_multipart_form(&content_type)));
        }

        #[test]
        fn a_header_can_contain_every_accepted_type(text in ".{0,40}|[ -~]{0,1100}") {
            if let Ok(content_type) = ContentType::parse(&text) {
                prop_assert!(!content_type.as_str().is_empty() && is_visible(content_type.as_str()));
                prop_assert_eq!(ContentType::parse(content_type.as_str()).expect("valid"), content_type.clone());
                prop_assert!(text.trim().is_empty() || content_type.as_str() == text.trim());
            }
        }
    }
}
