//! What a request is about.

/// The path and the query of a request's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'url> {
    /// The path, still percent-encoded, starting with `/`.
    pub path: &'url str,
    /// What follows the `?`, still percent-encoded; empty where there is none.
    pub query: &'url str,
}

impl<'url> Target<'url> {
    /// Splits an absolute URL as the runtime gives it: parsed and written out again after the WHATWG URL standard, so
    /// that `.` and `..` are resolved and the path is never empty. Parsing it a second time would cost more than the
    /// rest of a small request.
    #[must_use]
    pub fn of(url: &'url str) -> Self {
        // Letter by letter, as all that follows: what else searches texts is made for longer ones.
        let find = |text: &str, letter| text.bytes().position(|byte| byte == letter);
        let after_scheme = find(url, b':').and_then(|colon| url[colon + 1..].strip_prefix("//")).unwrap_or(url);
        let end = find(after_scheme, b'#').unwrap_or(after_scheme.len());
        let after_scheme = &after_scheme[..end];
        let (before, query) =
            find(after_scheme, b'?').map_or((after_scheme, ""), |at| (&after_scheme[..at], &after_scheme[at + 1..]));
        let path = find(before, b'/').map_or("/", |at| &before[at..]);
        Self { path, query }
    }

    /// The route, for logs and figures: one of the platform's own paths, or `other`, because any other path may hold what
    /// is the customer's own.
    #[must_use]
    pub fn route(&self) -> &'static str {
        ROUTES.into_iter().find(|route| *route == self.path).unwrap_or("other")
    }
}

/// Every path that the platform has.
pub const ROUTES: [&str; 10] = [
    "/",
    "/data",
    "/db/batch",
    "/db/query",
    "/files",
    "/files/uploads",
    "/files/uploads/complete",
    "/healthz",
    "/openapi.json",
    "/stats",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_is_split_into_path_and_query() {
        for (url, path, query) in [
            ("http://localhost/", "/", ""),
            ("http://localhost", "/", ""),
            ("https://a.example:8787/files", "/files", ""),
            ("https://a.example/files?key=a/b?c", "/files", "key=a/b?c"),
            ("https://a.example?key=x/y", "/", "key=x/y"),
            ("https://a.example/data?key=a#b?c", "/data", "key=a"),
            ("https://user:pass@a.example/files/x?k", "/files/x", "k"),
            ("http://[::1]:8787/stats?", "/stats", ""),
            ("http://a/x?u=http://b/y", "/x", "u=http://b/y"),
        ] {
            assert_eq!(Target::of(url), Target { path, query }, "{url}");
        }
    }

    #[test]
    fn a_route_is_one_of_the_platforms_or_nothing() {
        for (path, route) in [("/files", "/files"), ("/", "/"), ("/db/query", "/db/query"), ("/secret", "other")] {
            assert_eq!(Target::of(&format!("http://a{path}?key=secret")).route(), route);
        }
    }

    proptest! {
        #[test]
        fn path_and_query_come_back(
            host in "[a-z0-9.:@\\[\\]-]{1,20}",
            path in "(/[^?#]{0,20}){0,4}",
            query in proptest::option::of("[^#]{0,40}"),
            fragment in proptest::option::of(".{0,20}"),
        ) {
            let asked = query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
            let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
            let url = format!("https://{host}{path}{asked}{fragment}");
            let expected = if path.is_empty() { "/" } else { &*path };
            prop_assert_eq!(Target::of(&url), Target { path: expected, query: query.as_deref().unwrap_or_default() });
        }

        #[test]
        fn any_text_has_a_path(text in ".*") {
            prop_assert!(Target::of(&text).path.starts_with('/'));
        }
    }
}
