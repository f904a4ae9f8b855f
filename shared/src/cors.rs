//! Which pages in browsers may call the platform (the CORS protocol of <https://fetch.spec.whatwg.org/#http-cors-protocol>).

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
        self.0
            .split(|separator: char| separator == ',' || separator.is_ascii_whitespace())
            .filter(|entry| !entry.is_empty())
    }
}

#[cfg(test)]
mod tests {
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
}
