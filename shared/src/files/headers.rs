//! The headers that are stored with a file and sent back with it.

use crate::http::{ContentType, HttpDate, MAX_HEADER_LEN, Problem, is_visible};

/// The values of `Expires` that clients send for content that has already expired (RFC 9111, 5.3).
const EXPIRED: [&str; 2] = ["0", "-1"];

/// The headers of an upload that are stored with the file and sent back with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileHeaders {
    /// `Content-Type`.
    pub content_type: ContentType,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`. The bytes are stored and sent back without being decoded.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Expires`.
    pub expires: Option<HttpDate>,
}

impl FileHeaders {
    /// Reads the headers of an upload. `header` returns the value of a header. An empty header counts as absent.
    pub fn read(header: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let visible = |name: &str| match header(name) {
            Some(value) if !is_visible(&value) => Err(Problem::invalid_parameter(&format!(
                "the header {name} must be at most {MAX_HEADER_LEN} visible ASCII characters"
            ))),
            value => Ok(value.filter(|value| !value.is_empty())),
        };
        let [content_type, cache_control, content_disposition, content_encoding, content_language, expires] = [
            visible("Content-Type")?,
            visible("Cache-Control")?,
            visible("Content-Disposition")?,
            visible("Content-Encoding")?,
            visible("Content-Language")?,
            visible("Expires")?,
        ];
        let date = |value: String| {
            let date = if EXPIRED.contains(&value.trim()) { Some(HttpDate::EPOCH) } else { HttpDate::parse(&value) };
            date.filter(|date| *date <= HttpDate::LATEST).ok_or_else(|| {
                Problem::invalid_parameter(
                    "the header Expires must be an HTTP date from 1970 to 2261, or 0 for a date in the past",
                )
            })
        };
        Ok(Self {
            content_type: content_type.as_deref().map(ContentType::parse).transpose()?.unwrap_or_default(),
            cache_control,
            content_disposition,
            content_encoding,
            content_language,
            expires: expires.map(date).transpose()?,
        })
    }

    /// Converts the metadata of a stored file. Another program may have stored the file, so values that a header cannot
    /// contain are omitted.
    #[must_use]
    pub fn from_metadata(metadata: StoredMetadata) -> Self {
        let visible = |value: Option<String>| value.filter(|value| is_visible(value));
        Self {
            content_type: visible(metadata.content_type)
                .and_then(|text| ContentType::parse(&text).ok())
                .unwrap_or_default(),
            cache_control: visible(metadata.cache_control),
            content_disposition: visible(metadata.content_disposition),
            content_encoding: visible(metadata.content_encoding),
            content_language: visible(metadata.content_language),
            expires: metadata.expires,
        }
    }

    /// Creates headers with only a content type. A file in a form has no other headers.
    #[must_use]
    pub fn with_content_type(content_type: ContentType) -> Self {
        Self { content_type, ..Self::default() }
    }
}

/// A file's HTTP metadata in R2. The values may be any text.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the header of that name")]
pub struct StoredMetadata {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub expires: Option<HttpDate>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(headers: &[(&str, &str)]) -> Result<FileHeaders, Problem> {
        FileHeaders::read(|name| headers.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn headers_are_stored_unchanged() {
        assert_eq!(read(&[]).expect("none"), FileHeaders::default());
        let headers = read(&[
            ("Content-Type", "text/css"),
            ("Cache-Control", "public, max-age=60"),
            ("Content-Disposition", "attachment; filename=\"a.css\""),
            ("Content-Encoding", "gzip"),
            ("Content-Language", "en"),
            ("Expires", "Sat, 21 Nov 2026 20:00:00 GMT"),
            ("X-Other", "no"),
        ])
        .expect("valid");
        assert_eq!(headers.content_type.as_str(), "text/css");
        assert_eq!(headers.cache_control.as_deref(), Some("public, max-age=60"));
        assert_eq!(headers.content_disposition.as_deref(), Some("attachment; filename=\"a.css\""));
        assert_eq!(headers.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(headers.content_language.as_deref(), Some("en"));
        assert_eq!(headers.expires.expect("a date").to_string(), "Sat, 21 Nov 2026 20:00:00 GMT");
    }

    #[test]
    fn expired_content_has_a_date_in_the_past() {
        for value in ["0", "-1", " 0 ", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            let expires = read(&[("Expires", value)]).expect(value).expires.expect("a date");
            assert_eq!(expires.to_string(), "Thu, 01 Jan 1970 00:00:00 GMT", "{value}");
        }
        assert_eq!(read(&[("Expires", "")]).expect("none").expires, None);
    }

    #[test]
    fn headers_that_cannot_be_sent_back_are_rejected() {
        let too_long = "x".repeat(1025);
        for (name, value) in [
            ("Cache-Control", &*too_long),
            ("Content-Disposition", "filename=ü"),
            ("Expires", "1"),
            ("Expires", "-2"),
            ("Expires", "tomorrow"),
            ("Expires", "Wed, 01 Jan 2270 00:00:00 GMT"),
            ("Content-Type", "ü"),
        ] {
            assert_eq!(read(&[(name, value)]).expect_err(name).code().name(), "invalid_parameter", "{name}");
        }
    }

    proptest! {
        /// Accepted headers are stored unchanged, and stored headers can be sent back.
        #[test]
        fn headers_are_sent_back_unchanged_or_rejected(
            values in prop::array::uniform5("[ -~\t]{0,60}|.{0,20}|[ -~]{1020,1030}"),
        ) {
            let names =
                ["Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language"];
            let sent: Vec<(&str, &str)> = names.into_iter().zip(values.iter().map(String::as_str)).collect();
            let visible = values.iter().all(|value| is_visible(value));
            let result = read(&sent);
            prop_assert_eq!(result.is_ok(), visible);
            let Ok(headers) = result else { return Ok(()) };
            let stored = [
                &headers.cache_control,
                &headers.content_disposition,
                &headers.content_encoding,
                &headers.content_language,
            ];
            for (value, stored) in values[1..].iter().zip(stored) {
                prop_assert_eq!(Some(value).filter(|value| !value.is_empty()), stored.as_ref());
            }
            let metadata = StoredMetadata {
                content_type: Some(headers.content_type.as_str().to_owned()),
                cache_control: headers.cache_control.clone(),
                content_disposition: headers.content_disposition.clone(),
                content_encoding: headers.content_encoding.clone(),
                content_language: headers.content_language.clone(),
                expires: headers.expires,
            };
            prop_assert_eq!(FileHeaders::from_metadata(metadata), headers.clone());
        }
    }
}
