//! Which pages in browsers may call the platform (the CORS protocol of <https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::borrow::Cow;

/// What a page may send besides what it always may.
pub const ALLOWED_HEADERS: &str = "Authorization, Cache-Control, Content-Disposition, Content-Encoding, Content-Language, \
    Content-Type, Expires, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range, traceparent, \
    tracestate, X-Request-Id, X-User-ID";

/// The methods that a page may use.
pub const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// What a page may read of a reply besides what it always may.
pub const EXPOSED_HEADERS: &str = "Accept-Ranges, Allow, CF-Ray, Content-Disposition, Content-Encoding, Content-Length, \
    Content-Range, ETag, Retry-After, WWW-Authenticate";

/// How long a browser may remember what it was allowed, in seconds. Chromium takes no more than two hours.
pub const MAX_AGE: &str = "7200";

/// The origins whose pages may call the platform, as `ALLOWED_ORIGINS` lists them: `https://app.example`, with commas or
/// blanks between them, or `*` for any.
#[derive(Clone, Copy, Debug)]
pub struct AllowedOrigins<'a>(&'a str);

impl<'a> AllowedOrigins<'a> {
    /// The list as it is configured.
    #[must_use]
    pub fn new(list: &'a str) -> Self {
        Self(list)
    }

    /// What `Access-Control-Allow-Origin` says to a page of this origin; nothing if it is not on the list.
    #[must_use]
    pub fn allow<'o>(&self, origin: &'o str) -> Option<&'o str> {
        if self.any() {
            return Some("*");
        }
        // A page without an origin of its own, as one from a file, says `null`: that is nobody to trust.
        let listed = |entry: &str| entry.strip_suffix('/').unwrap_or(entry).eq_ignore_ascii_case(origin);
        (origin != "null" && self.entries().any(listed)).then_some(origin)
    }

    /// Whether any page may call: every reply says so then, whoever asks.
    #[must_use]
    pub fn any(&self) -> bool {
        self.entries().any(|entry| entry == "*")
    }

    fn entries(&self) -> impl Iterator<Item = &'a str> {
        entries(self.0)
    }
}

/// A list of headers, and those that the operator adds, with commas or blanks between them, as `ALLOWED_HEADERS` and
/// `EXPOSED_HEADERS` list them. `*` is any header, to browsers that send no credentials of their own.
///
/// An entry that is no header's name is an error, which says so.
pub fn with_headers(list: &'static str, added: Option<&str>) -> Result<Cow<'static, str>, String> {
    let mut headers = Cow::Borrowed(list);
    for name in entries(added.unwrap_or_default()) {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
        if name != "*" && !name.bytes().all(token) {
            return Err(format!("`{name}` is not the name of a header"));
        }
        headers.to_mut().extend([", ", name]);
    }
    Ok(headers)
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(|separator: char| separator == ',' || separator.is_ascii_whitespace()).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn listed_origins_are_allowed_and_no_others() {
        let origins = AllowedOrigins::new("https://app.example, http://localhost:3000/ https://b.example");
        for origin in ["https://app.example", "http://localhost:3000", "https://b.example"] {
            assert_eq!(origins.allow(origin), Some(origin));
        }
        for origin in [
            "",
            "null",
            "*",
            "https://app.example.evil.example",
            "https://evil.example/https://app.example",
            "http://app.example",
            "https://app.example:8443",
            "https://app.example,",
            "https://sub.app.example",
            "app.example",
        ] {
            assert_eq!(origins.allow(origin), None, "{origin}");
        }
    }

    #[test]
    fn a_star_allows_any() {
        assert_eq!(AllowedOrigins::new("*").allow("https://x.example"), Some("*"));
        assert!(!AllowedOrigins::new("https://*.example").any());
        assert_eq!(AllowedOrigins::new("").allow(""), None);
    }

    #[test]
    fn headers_are_added_to_those_that_there_are() {
        for (added, expected) in [
            (None, "A, B"),
            (Some(""), "A, B"),
            (Some(" , "), "A, B"),
            (Some("X-Requested-With"), "A, B, X-Requested-With"),
            (Some("x-a,X-B  x.c~\t"), "A, B, x-a, X-B, x.c~"),
            (Some("*"), "A, B, *"),
        ] {
            assert_eq!(with_headers("A, B", added).expect(expected), expected);
        }
        for (added, named) in [
            ("X-A: 1", "`X-A:`"),
            ("X-A; X-B", "`X-A;`"),
            ("X-A, X-*", "`X-*`"),
            ("\"X-A\"", "`\"X-A\"`"),
            ("[\"X-A\"]", "`[\"X-A\"]`"),
            ("X-Ä", "`X-Ä`"),
            ("X-\u{a0}A", "`X-\u{a0}A`"),
            ("X-A\0", "`X-A\0`"),
        ] {
            let error = with_headers("A, B", Some(added)).expect_err(added);
            assert!(error.contains(named), "{error}");
        }
    }

    proptest! {
        /// Whatever is configured, what comes of it can be a header's value.
        #[test]
        fn added_headers_can_be_sent(added in "[ -~]{0,30}|.{0,20}|[A-Za-z, -]{0,30}") {
            if let Ok(headers) = with_headers("A", Some(&added)) {
                prop_assert!(headers.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{}", headers);
                prop_assert!(headers.split(", ").all(|name| !name.is_empty()));
            }
        }

        /// An origin is allowed if it stands on the list, and nothing that only holds one or is held by one.
        #[test]
        fn an_origin_is_on_the_list_or_not(
            list in prop::collection::vec("https?://[a-c]{1,3}(\\.[a-c]{1,2})?(:[0-9]{1,2})?", 0..4),
            separator in "[, ]{1,3}",
            origin in "https?://[a-c]{1,3}(\\.[a-c]{1,2})?(:[0-9]{1,2})?|.{0,20}",
        ) {
            let text = list.join(&separator);
            let origins = AllowedOrigins::new(&text);
            let listed = list.iter().any(|entry| entry.eq_ignore_ascii_case(&origin));
            prop_assert_eq!(origins.allow(&origin), listed.then_some(&*origin));
            for entry in &list {
                prop_assert_eq!(origins.allow(entry), Some(&**entry));
                let longer = format!("{entry}{origin}");
                prop_assert_eq!(origins.allow(&longer).is_some(), list.contains(&longer));
            }
        }

        #[test]
        fn what_is_no_star_allows_no_one_by_itself(list in "[^*]{0,40}", origin in ".{0,20}") {
            let origins = AllowedOrigins::new(&list);
            let stands_there = list.to_ascii_lowercase().contains(&origin.to_ascii_lowercase());
            prop_assert!(!origins.any() && (stands_there || origins.allow(&origin).is_none()));
        }
    }
}
