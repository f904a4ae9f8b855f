//! Conditional requests (RFC 9110, 13).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A request's conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// `If-Match`.
    pub if_match: Option<EntityTags>,
    /// `If-None-Match`.
    pub if_none_match: Option<EntityTags>,
    /// `If-Modified-Since`. A malformed date counts as absent, as the RFC requires.
    pub if_modified_since: Option<HttpDate>,
    /// `If-Unmodified-Since`. A malformed date counts as absent as well.
    pub if_unmodified_since: Option<HttpDate>,
}

/// The result of evaluating preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluation {
    /// All conditions are met.
    Proceed,
    /// The client has the current version. The reply to a read is 304.
    NotModified,
    /// The stored version is not the one that the client expects. The reply is 412.
    Failed,
}

impl Preconditions {
    /// Reads the conditions of a request. `header` returns the value of a header.
    #[must_use]
    pub fn read(header: impl Fn(&str) -> Option<String>) -> Self {
        let tags = |name| header(name).map(|value| EntityTags::parse(&value));
        let date = |name| header(name).and_then(|value| HttpDate::parse(&value));
        Self {
            if_match: tags("If-Match"),
            if_none_match: tags("If-None-Match"),
            if_modified_since: date("If-Modified-Since"),
            if_unmodified_since: date("If-Unmodified-Since"),
        }
    }

    /// Returns whether there are no conditions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Evaluates the conditions for the stored version, in the order of RFC 9110, 13.2.2.
    #[must_use]
    pub fn evaluate(&self, etag: &str, modified: HttpDate) -> Evaluation {
        let unchanged = match (&self.if_match, self.if_unmodified_since) {
            (Some(tags), _) => tags.match_strongly(etag),
            (None, Some(since)) => modified <= since,
            (None, None) => true,
        };
        let changed = match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) => !tags.match_weakly(etag),
            (None, Some(since)) => modified > since,
            (None, None) => true,
        };
        match (unchanged, changed) {
            (false, _) => Evaluation::Failed,
            (true, false) => Evaluation::NotModified,
            (true, true) => Evaluation::Proceed,
        }
    }
}

/// The etags in `If-Match` and `If-None-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`, which matches any version.
    Any,
    /// A list of etags: for each, whether it is weak, and its text without quotation marks. In the header, quotation
    /// marks are optional.
    OneOf(Vec<(bool, String)>),
}

impl EntityTags {
    fn parse(header: &str) -> Self {
        let (mut tags, mut rest) = (Vec::new(), header);
        loop {
            rest = rest.trim_start_matches(|c: char| c == ',' || c.is_ascii_whitespace());
            if rest.is_empty() {
                return Self::OneOf(tags);
            }
            let (tag, after) = split_tag(rest);
            // `*` counts in a list as well, because a stray comma must not decide whether a file is overwritten.
            if tag == "*" {
                return Self::Any;
            }
            tags.push(entity_tag(tag));
            rest = after;
        }
    }

    /// Returns whether the header has no etag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::OneOf(tags) if tags.is_empty())
    }

    /// Returns the etag, if there is exactly one.
    #[must_use]
    pub fn only_one(&self) -> Option<&str> {
        match self {
            Self::OneOf(tags) if tags.len() == 1 => Some(&tags[0].1),
            _ => None,
        }
    }

    fn match_strongly(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|(weak, tag)| !weak && tag == etag),
        }
    }

    fn match_weakly(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|(_, tag)| tag == etag),
        }
    }
}

/// Splits a list of etags after its first etag, which is returned with its quotation marks. An etag may contain commas
/// between its quotation marks (RFC 9110, 8.8.3).
fn split_tag(list: &str) -> (&str, &str) {
    let quoted = list.strip_prefix("W/").unwrap_or(list).strip_prefix('"');
    let closing_quote = quoted.map_or(0, |text| list.len() - text.len() + text.find('"').unwrap_or(text.len()));
    let end = list[closing_quote..].find(',').map_or(list.len(), |at| closing_quote + at);
    (list[..end].trim_ascii_end(), &list[end..])
}

fn entity_tag(text: &str) -> (bool, String) {
    let (weak, text) = text.strip_prefix("W/").map_or((false, text), |text| (true, text));
    (weak, text.trim_matches('"').to_owned())
}

/// `If-Range`: the version of the file of which the client already has a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfRange {
    /// The version's etag. `None` if the header has a weak etag, which matches no version.
    Tag(Option<String>),
    /// The version's date.
    Date(HttpDate),
}

impl IfRange {
    /// Parses the header. A value that is neither a date nor a strong etag matches no version.
    #[must_use]
    pub fn parse(header: &str) -> Self {
        HttpDate::parse(header).map_or_else(
            || {
                let (weak, tag) = entity_tag(header.trim());
                Self::Tag((!weak).then_some(tag))
            },
            Self::Date,
        )
    }

    /// Returns whether the client's version is the stored version.
    #[must_use]
    pub fn matches(&self, etag: &str, modified: HttpDate) -> bool {
        match self {
            Self::Tag(tag) => tag.as_deref() == Some(etag),
            Self::Date(date) => *date == modified,
        }
    }
}

/// A date in a header, in whole seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpDate(u64);

impl HttpDate {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self(0);

    /// The latest date that storage accepts, in the year 2262. The runtime counts nanoseconds in 64 bits.
    pub const LATEST: Self = Self(i64::MAX.unsigned_abs() / 1_000_000_000 - 1);

    /// Parses a date in any of HTTP's formats (RFC 9110, 5.6.7).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let since_epoch = httpdate::parse_http_date(text.trim()).ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self(since_epoch.as_secs()))
    }

    /// Converts a time in milliseconds since 1970, rounded down to a second. Times after the year 9999, which HTTP
    /// cannot express, become the last second of that year.
    #[must_use]
    pub fn from_milliseconds(milliseconds: u64) -> Self {
        const LAST: u64 = 253_402_300_799;
        Self((milliseconds / 1000).min(LAST))
    }

    /// Returns the date in milliseconds since 1970.
    #[must_use]
    pub fn milliseconds(self) -> u64 {
        self.0 * 1000
    }
}

/// Writes the date in the format of HTTP headers.
impl std::fmt::Display for HttpDate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time: SystemTime = UNIX_EPOCH + Duration::from_secs(self.0);
        httpdate::HttpDate::from(time).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEFORE: &str = "Sat, 21 Nov 2026 20:00:00 GMT";
    const MODIFIED: &str = "Sat, 21 Nov 2026 20:00:01 GMT";
    const AFTER: &str = "Sat, 21 Nov 2026 20:00:02 GMT";

    fn evaluate(headers: &[(&str, &str)]) -> Evaluation {
        let sent = |name: &str| headers.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        Preconditions::read(sent).evaluate("abc", HttpDate::parse(MODIFIED).expect("a date"))
    }

    #[test]
    fn conditions_are_evaluated_in_the_order_of_the_rfc() {
        use Evaluation::{Failed, NotModified, Proceed};
        for (headers, expected) in [
            (&[][..], Proceed),
            (&[("If-Match", "\"abc\"")], Proceed),
            (&[("If-Match", "abc")], Proceed),
            (&[("If-Match", "\"x\", \"abc\"")], Proceed),
            (&[("If-Match", "*")], Proceed),
            (&[("If-Match", "W/\"abc\"")], Failed),
            (&[("If-Match", "\"x\"")], Failed),
            (&[("If-Match", "")], Failed),
            (&[("If-Match", "\"\"")], Failed),
            (&[("If-None-Match", "\"\"")], Proceed),
            (&[("If-None-Match", "\"abc\"")], NotModified),
            (&[("If-None-Match", "W/\"abc\"")], NotModified),
            (&[("If-None-Match", "\"x\",W/\"abc\"")], NotModified),
            (&[("If-None-Match", "*")], NotModified),
            (&[("If-None-Match", "*, *")], NotModified),
            (&[("If-None-Match", "\"x\", *")], NotModified),
            (&[("If-None-Match", "\"x\"")], Proceed),
            // A comma within quotation marks does not end a tag.
            (&[("If-Match", "\"a,abc\"")], Failed),
            (&[("If-Match", "\"abc,\"")], Failed),
            (&[("If-Match", "\"x, *\"")], Failed),
            (&[("If-Match", "\"*\"")], Failed),
            (&[("If-Match", "\"a,b\", \"abc\"")], Proceed),
            (&[("If-Match", "\"a,b\",,W/\"c,d\" , abc,")], Proceed),
            (&[("If-Match", "W/\"x,\", \"abc\"")], Proceed),
            (&[("If-None-Match", "\"x,abc\", \"y\"")], Proceed),
            (&[("If-None-Match", "W/\"x,abc\"")], Proceed),
            (&[("If-None-Match", "\"x,*,y\"")], Proceed),
            (&[("If-None-Match", "\"x,y\", *")], NotModified),
            (&[("If-None-Match", "\"x, \"abc\"")], Proceed),
            (&[("If-None-Match", "\"x,abc")], Proceed),
            (&[("If-Modified-Since", BEFORE)], Proceed),
            (&[("If-Modified-Since", MODIFIED)], NotModified),
            (&[("If-Modified-Since", AFTER)], NotModified),
            (&[("If-Modified-Since", "yesterday")], Proceed),
            (&[("If-Unmodified-Since", BEFORE)], Failed),
            (&[("If-Unmodified-Since", MODIFIED)], Proceed),
            (&[("If-Unmodified-Since", AFTER)], Proceed),
            (&[("If-Unmodified-Since", "0")], Proceed),
            // Etags take precedence over dates.
            (&[("If-None-Match", "\"x\""), ("If-Modified-Since", AFTER)], Proceed),
            (&[("If-None-Match", "\"abc\""), ("If-Modified-Since", BEFORE)], NotModified),
            (&[("If-Match", "\"abc\""), ("If-Unmodified-Since", BEFORE)], Proceed),
            (&[("If-Match", "\"x\""), ("If-Unmodified-Since", AFTER)], Failed),
            // If-Match takes precedence over If-None-Match and If-Modified-Since.
            (&[("If-Match", "\"x\""), ("If-None-Match", "\"abc\"")], Failed),
            (&[("If-Match", "\"abc\""), ("If-None-Match", "\"abc\"")], NotModified),
            (&[("If-Match", "\"abc\""), ("If-Modified-Since", AFTER)], NotModified),
        ] {
            assert_eq!(evaluate(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn if_range_matches_one_version_only() {
        let modified = HttpDate::parse(MODIFIED).expect("a date");
        for (header, matches) in [
            ("\"abc\"", true),
            ("abc", true),
            ("W/\"abc\"", false),
            ("\"x\"", false),
            ("\"a,abc\"", false),
            ("\"abc,a\"", false),
            ("\"a\", \"abc\"", false),
            (MODIFIED, true),
            (BEFORE, false),
            (AFTER, false),
            ("", false),
        ] {
            assert_eq!(IfRange::parse(header).matches("abc", modified), matches, "{header}");
        }
    }

    #[test]
    fn dates_are_whole_seconds() {
        let date = HttpDate::from_milliseconds(1_795_291_201_999);
        assert_eq!(date, HttpDate::from_milliseconds(1_795_291_201_000));
        assert_eq!(date.milliseconds(), 1_795_291_201_000);
        assert_eq!(HttpDate::from_milliseconds(u64::MAX).to_string(), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(HttpDate::parse(&date.to_string()), Some(date));
        assert_eq!(HttpDate::parse("Saturday, 21-Nov-26 20:00:01 GMT"), HttpDate::parse(MODIFIED));
    }

    proptest! {
        #[test]
        fn no_headers_panic(
            headers in prop::array::uniform4(".{0,40}|(W/)?\"?[a-c*]{0,3}\"?(, ?\"[a-c]{0,3}\"){0,3}"),
            tag in "[a-c]{1,3}",
        ) {
            let modified = HttpDate::parse(MODIFIED).expect("a date");
            let names = ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"];
            let sent = |name: &str| names.iter().zip(&headers).find(|(other, _)| **other == name).map(|(_, value)| value.clone());
            let _ = Preconditions::read(sent).evaluate(&tag, modified);
            prop_assert!(!IfRange::parse(&headers[0]).matches("not one of these", modified));
        }

        #[test]
        fn an_etag_matches_anywhere_in_a_list(
            before in "((W/)?\"[a-c,]{0,3}\" ?, ?){0,3}",
            tag in "[!#-~]{1,20}",
            after in "(,\"[a-c,]{0,3}\"){0,3}",
        ) {
            let modified = HttpDate::parse(MODIFIED).expect("a date");
            let tags = format!("{before}\"{tag}\"{after}");
            for (name, expected) in [("If-Match", Evaluation::Proceed), ("If-None-Match", Evaluation::NotModified)] {
                let sent = |header: &str| (header == name).then(|| tags.clone());
                prop_assert_eq!(Preconditions::read(sent).evaluate(&tag, modified), expected, "{}: {}", name, tags);
            }
        }

        /// The text in quotation marks is one etag, whatever it contains.
        #[test]
        fn an_etag_does_not_match_within_another(
            prefix in "[!#-~]{0,5}",
            tag in "[a-c]{1,3}",
            suffix in "[!#-~]{0,5}",
            others in "(, ?\"[d-f,*]{0,3}\"){0,3}",
        ) {
            prop_assume!(!prefix.is_empty() || !suffix.is_empty());
            let modified = HttpDate::parse(MODIFIED).expect("a date");
            let tags = format!("\"{prefix}{tag}{suffix}\"{others}");
            for (name, expected) in [("If-Match", Evaluation::Failed), ("If-None-Match", Evaluation::Proceed)] {
                let sent = |header: &str| (header == name).then(|| tags.clone());
                prop_assert_eq!(Preconditions::read(sent).evaluate(&tag, modified), expected, "{}: {}", name, tags);
            }
        }

        #[test]
        fn written_dates_are_parsed_to_the_same(seconds in 0_u64..253_402_300_800, text in ".{0,40}") {
            let date = HttpDate(seconds);
            prop_assert_eq!(HttpDate::parse(&date.to_string()), Some(date));
            prop_assert_eq!(HttpDate::from_milliseconds(date.milliseconds()), date);
            prop_assert!(HttpDate::parse(&text).is_none_or(|date| HttpDate::parse(&date.to_string()) == Some(date)));
        }
    }
}
