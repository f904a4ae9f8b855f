//! The headers that are kept with a file, and sent back with it.

use crate::preconditions::HttpDate;
use crate::{ContentType, Problem};

/// The headers of an upload that come back with the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileHeaders {
    /// `Content-Type`.
    pub content_type: ContentType,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`: the bytes are stored, and sent back, as they came.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Expires`.
    pub expires: Option<HttpDate>,
}

impl FileHeaders {
    /// The longest header, in bytes. R2 keeps all of a file's metadata in 8 KiB
    /// (<https://developers.cloudflare.com/r2/platform/limits/>).
    pub const MAX_LEN: usize = 1024;

    /// The headers, in the order in which they are read.
    pub const HEADERS: [&str; 6] =
        ["Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires"];

    /// Reads the values of [`Self::HEADERS`].
    pub fn read(values: [Option<&str>; 6]) -> Result<Self, Problem> {
        for (name, value) in Self::HEADERS.into_iter().zip(values) {
            if value.is_some_and(|value| !is_visible(value)) {
                return Err(Problem::invalid_parameter(&format!(
                    "the header {name} must be at most {} visible ASCII characters",
                    Self::MAX_LEN
                )));
            }
        }
        let expires = |value| {
            HttpDate::parse(value).filter(|date| *date <= HttpDate::LATEST).ok_or_else(|| {
                Problem::invalid_parameter("the header Expires must be a date as HTTP has it, before 2262")
            })
        };
        let [content_type, cache_control, content_disposition, content_encoding, content_language, date] =
            values.map(|value| value.filter(|value| !value.is_empty()));
        Ok(Self {
            content_type: content_type.map(ContentType::parse).transpose()?.unwrap_or_default(),
            cache_control: cache_control.map(str::to_owned),
            content_disposition: content_disposition.map(str::to_owned),
            content_encoding: content_encoding.map(str::to_owned),
            content_language: content_language.map(str::to_owned),
            expires: date.map(expires).transpose()?,
        })
    }

    /// Those of a file as it is stored, by whomever: what no header can hold is left out.
    #[must_use]
    pub fn stored(values: [Option<&str>; 6]) -> Self {
        let [content_type, cache_control, content_disposition, content_encoding, content_language, date] =
            values.map(|value| value.filter(|value| is_visible(value)));
        Self {
            content_type: content_type.and_then(|text| ContentType::parse(text).ok()).unwrap_or_default(),
            cache_control: cache_control.map(str::to_owned),
            content_disposition: content_disposition.map(str::to_owned),
            content_encoding: content_encoding.map(str::to_owned),
            content_language: content_language.map(str::to_owned),
            expires: date.and_then(HttpDate::parse),
        }
    }

    /// Those of a file that comes in a form, which has a type alone.
    #[must_use]
    pub fn of_type(content_type: ContentType) -> Self {
        Self { content_type, ..Self::default() }
    }
}

/// Whether a header can hold it, and is not too long.
pub(crate) fn is_visible(value: &str) -> bool {
    value.len() <= FileHeaders::MAX_LEN && value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(headers: &[(&str, &str)]) -> Result<FileHeaders, Problem> {
        let sent = |name| headers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        FileHeaders::read(FileHeaders::HEADERS.map(sent))
    }

    #[test]
    fn headers_are_kept_as_they_are() {
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
    fn headers_that_cannot_be_sent_back_are_refused() {
        let too_long = "x".repeat(1025);
        for (name, value) in [
            ("Cache-Control", &*too_long),
            ("Content-Disposition", "filename=ü"),
            ("Expires", "0"),
            ("Expires", "Wed, 01 Jan 2270 00:00:00 GMT"),
            ("Content-Type", "ü"),
        ] {
            assert_eq!(read(&[(name, value)]).expect_err(name).code().name(), "invalid_parameter", "{name}");
        }
    }

    proptest! {
        /// What is taken is kept as it was sent, and what is kept can be sent.
        #[test]
        fn headers_come_back_or_are_refused(
            values in prop::array::uniform5("[ -~\t]{0,60}|.{0,20}|[ -~]{1020,1030}"),
        ) {
            let [a, b, c, d, e] = values.each_ref().map(|value| Some(value.as_str()));
            let sent = [a, b, c, d, e, None];
            let visible = values.iter().all(|value| is_visible(value));
            let kept = FileHeaders::read(sent);
            prop_assert_eq!(kept.is_ok(), visible);
            let Ok(kept) = kept else { return Ok(()) };
            let found = [&kept.cache_control, &kept.content_disposition, &kept.content_encoding, &kept.content_language];
            for (value, found) in values[1..].iter().zip(found) {
                prop_assert_eq!(Some(value).filter(|value| !value.is_empty()), found.as_ref());
            }
            let mut stored = sent.map(|value| value.filter(|value| !value.is_empty()));
            stored[0] = Some(kept.content_type.as_str());
            prop_assert_eq!(FileHeaders::stored(stored), kept.clone());
        }
    }
}
