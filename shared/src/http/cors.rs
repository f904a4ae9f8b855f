//! CORS: the web pages that may call the platform (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::borrow::Cow;

/// The request headers that a page may send, besides those that browsers always allow.
pub const ALLOWED_HEADERS: &str = "Authorization, Cache-Control, Content-Disposition, Content-Encoding, Content-Language, \
    Content-Type, Expires, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range, traceparent, \
    tracestate, X-Request-Id, X-User-ID";

/// The methods that a page may use.
pub const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The reply headers that a page may read, besides those that browsers always allow.
pub const EXPOSED_HEADERS: &str = "Accept-Ranges, Allow, CF-Ray, Content-Disposition, Content-Encoding, Content-Length, \
    Content-Range, ETag, Retry-After, WWW-Authenticate";

/// How long a browser may cache the reply to a preflight request, in seconds. Chromium's maximum is two hours.
pub const MAX_AGE: &str = "7200";

/// The origins whose pages may call the platform, as the variable `ALLOWED_ORIGINS` lists them: origins such as
/// `https://app.example`, separated by commas or whitespace, or `*` for any origin.
#[derive(Clone, Copy, Debug)]
pub struct AllowedOrigins<'a>(&'a str);

impl<'a> AllowedOrigins<'a> {
    /// Creates the list from the variable's text.
    #[must_use]
    pub fn new(list: &'a str) -> Self {
        Self(list)
    }

    /// Returns the value of `Access-Control-Allow-Origin` for a page of this origin, or `None` if the origin is not
    /// allowed.
    #[must_use]
    pub fn allow_origin<'o>(&self, origin: &'o str) -> Option<&'o str> {
        if self.allow_any() {
            return Some("*");
        }
        // A page without an origin, such as a local file, sends `null`. This is never allowed, because any page can
        // obtain it.
        let is_origin = |entry: &str| entry.strip_suffix('/').unwrap_or(entry).eq_ignore_ascii_case(origin);
        (origin != "null" && self.entries().any(is_origin)).then_some(origin)
    }

    /// Returns whether pages of any origin may call the platform. If so, every reply allows all origins, even if
    /// the request has no `Origin`.
    #[must_use]
    pub fn allow_any(&self) -> bool {
        self.entries().any(|entry| entry == "*")
    }

    fn entries(&self) -> impl Iterator<Item = &'a str> {
        entries(self.0)
    }
}

/// Returns whether an `Origin` is that of the host in a request's URL. The schemes are not compared, because a proxy in
/// front may terminate TLS.
#[must_use]
pub fn is_same_host(origin: &str, url: &str) -> bool {
    let host = |url| Some(str::split_once(url, "://")?.1.split('/').next()?).filter(|host| !host.is_empty());
    host(origin).zip(host(url)).is_some_and(|(origin, own)| origin.eq_ignore_ascii_case(own))
}

/// Appends the operator's headers to a list of headers. `added` is the variable `ALLOWED_HEADERS` or `EXPOSED_HEADERS`,
/// with names separated by commas or whitespace. `*` stands for any header, in requests without credentials.
///
/// Returns an error message if an entry is not a valid header name.
pub fn add_headers(list: &'static str, added: Option<&str>) -> Result<Cow<'static, str>, String> {
    let mut headers = Cow::Borrowed(list);
    for name in entries(added.unwrap_or_default()) {
        let is_token_character = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
        if name != "*" && !name.bytes().all(is_token_character) {
            return Err(format!("`{name}` is not a header name"));
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
            assert_eq!(origins.allow_origin(origin), Some(origin));
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
            assert_eq!(origins.allow_origin(origin), None, "{origin}");
        }
    }

    #[test]
    fn a_star_allows_any_origin() {
        assert_eq!(AllowedOrigins::new("*").allow_origin("https://x.example"), Some("*"));
        assert!(!AllowedOrigins::new("https://*.example").allow_any());
        assert_eq!(AllowedOrigins::new("").allow_origin(""), None);
    }

    #[test]
    fn the_own_host_is_an_origin_and_no_other() {
        let url = "http://127.0.0.1:8787/rooms/1?x=http://evil.example/";
        for origin in ["http://127.0.0.1:8787", "https://127.0.0.1:8787"] {
            assert!(is_same_host(origin, url), "{origin}");
        }
        assert!(is_same_host("https://App.example", "https://app.example/"));
        for origin in [
            "",
            "null",
            "127.0.0.1:8787",
            "http://",
            "http://127.0.0.1",
            "http://127.0.0.1:8788",
            "http://127.0.0.1:8787.evil.example",
            "http://evil.example",
            "http://user@127.0.0.1:8787",
        ] {
            assert!(!is_same_host(origin, url), "{origin}");
        }
        assert!(!is_same_host("", ""));
    }

    #[test]
    fn headers_are_added_to_the_list() {
        for (added, expected) in [
            (None, "A, B"),
            (Some(""), "A, B"),
            (Some(" , "), "A, B"),
            (Some("X-Requested-With"), "A, B, X-Requested-With"),
            (Some("x-a,X-B  x.c~\t"), "A, B, x-a, X-B, x.c~"),
            (Some("*"), "A, B, *"),
        ] {
            assert_eq!(add_headers("A, B", added).expect(expected), expected);
        }
        for (added, invalid) in [
            ("X-A: 1", "`X-A:`"),
            ("X-A; X-B", "`X-A;`"),
            ("X-A, X-*", "`X-*`"),
            ("\"X-A\"", "`\"X-A\"`"),
            ("[\"X-A\"]", "`[\"X-A\"]`"),
            ("X-Ä", "`X-Ä`"),
            ("X-\u{a0}A", "`X-\u{a0}A`"),
            ("X-A\0", "`X-A\0`"),
        ] {
            let error = add_headers("A, B", Some(added)).expect_err(added);
            assert!(error.contains(invalid), "{error}");
        }
    }

    proptest! {
        /// Whatever the variable contains, the result is a valid header value.
        #[test]
        fn the_extended_list_can_be_sent(added in "[ -~]{0,30}|.{0,20}|[A-Za-z, -]{0,30}") {
            if let Ok(headers) = add_headers("A", Some(&added)) {
                prop_assert!(headers.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{}", headers);
                prop_assert!(headers.split(", ").all(|name| !name.is_empty()));
            }
        }

        /// An origin is allowed if it is on the list, but not if it only contains a listed origin or is a part of one.
        #[test]
        fn only_listed_origins_are_allowed(
            list in prop::collection::vec("https?://[a-c]{1,3}(\\.[a-c]{1,2})?(:[0-9]{1,2})?", 0..4),
            separator in "[, ]{1,3}",
            origin in "https?://[a-c]{1,3}(\\.[a-c]{1,2})?(:[0-9]{1,2})?|.{0,20}",
        ) {
            let text = list.join(&separator);
            let origins = AllowedOrigins::new(&text);
            let listed = list.iter().any(|entry| entry.eq_ignore_ascii_case(&origin));
            prop_assert_eq!(origins.allow_origin(&origin), listed.then_some(&*origin));
            for entry in &list {
                prop_assert_eq!(origins.allow_origin(entry), Some(&**entry));
                let longer = format!("{entry}{origin}");
                prop_assert_eq!(origins.allow_origin(&longer).is_some(), list.contains(&longer));
            }
        }

        #[test]
        fn a_list_without_a_star_allows_no_other_origins(list in "[^*]{0,40}", origin in ".{0,20}") {
            let origins = AllowedOrigins::new(&list);
            let contained = list.to_ascii_lowercase().contains(&origin.to_ascii_lowercase());
            prop_assert!(!origins.allow_any() && (contained || origins.allow_origin(&origin).is_none()));
        }
    }
}
