//! `Content-Type`, of requests and of stored files.

use crate::Problem;
use crate::file_headers::is_visible;

/// Whether a request's body is JSON: `application/json` or another type with the suffix `+json`
/// (<https://mimesniff.spec.whatwg.org/#json-mime-type>).
#[must_use]
pub fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence.eq_ignore_ascii_case("application/json")
        || essence.get(essence.len().saturating_sub(5)..).is_some_and(|end| end.eq_ignore_ascii_case("+json"))
}

/// Whether a request's body is a form that can hold files, `multipart/form-data` (RFC 7578).
#[must_use]
pub fn is_multipart_form(content_type: &str) -> bool {
    essence(content_type).eq_ignore_ascii_case("multipart/form-data")
}

fn essence(content_type: &str) -> &str {
    content_type.split_once(';').map_or(content_type, |(essence, _)| essence).trim()
}

/// A file's type, as it was sent and as it is sent back: what a header can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType(String);

impl ContentType {
    /// Parses the type that a file came with in a form; without one it is `application/octet-stream`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        if !is_visible(text) {
            return Err(Problem::invalid_form("the file's Content-Type must be at most 1024 visible ASCII characters"));
        }
        Ok(if text.is_empty() { Self::default() } else { Self(text.to_owned()) })
    }

    /// The type itself.
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
    fn request_bodies_are_told_apart() {
        for (content_type, json, form) in [
            ("application/json", true, false),
            ("Application/JSON; charset=utf-8", true, false),
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
    fn a_files_type_is_what_a_header_can_hold() {
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
        fn a_types_parameters_do_not_matter(
            essence in "[^;]{0,30}|application/(x\\+)?[jJ]son|[^;]{0,9}\\+json|multipart/form-data",
            parameters in ".{0,30}",
        ) {
            let with = format!("{essence};{parameters}");
            prop_assert_eq!(is_json(&with), is_json(&essence));
            prop_assert_eq!(is_multipart_form(&with), is_multipart_form(&essence));
            prop_assert!(!(is_json(&with) && is_multipart_form(&with)));
        }

        #[test]
        fn what_is_kept_a_header_can_hold(text in ".{0,40}|[ -~]{0,1100}") {
            if let Ok(kept) = ContentType::parse(&text) {
                prop_assert!(!kept.as_str().is_empty() && is_visible(kept.as_str()));
                prop_assert_eq!(ContentType::parse(kept.as_str()).expect("as it was kept"), kept.clone());
                prop_assert!(text.trim().is_empty() || kept.as_str() == text.trim());
            }
        }
    }
}
