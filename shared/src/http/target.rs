//! The target of a request: path and query of its URL.

/// The path and the query of a request's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'url> {
    /// The path, percent-encoded, starting with `/`.
    pub path: &'url str,
    /// The text after the `?`, percent-encoded. It is empty if the URL has no query.
    pub query: &'url str,
}

impl<'url> Target<'url> {
    /// Splits an absolute URL from the runtime. The runtime has parsed and serialized it (WHATWG URL Standard), so `.`
    /// and `..` are resolved and the path is not empty.
    #[must_use]
    pub fn parse(url: &'url str) -> Self {
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let without_fragment = after_scheme.split_once('#').map_or(after_scheme, |(before, _)| before);
        let (before, query) = without_fragment.split_once('?').unwrap_or((without_fragment, ""));
        let path = before.find('/').map_or("/", |at| &before[at..]);
        Self { path, query }
    }
}

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
            assert_eq!(Target::parse(url), Target { path, query }, "{url}");
        }
    }

    proptest! {
        #[test]
        fn a_url_is_split_into_its_path_and_query(
            host in "[a-z0-9.:@\\[\\]-]{1,20}",
            path in "(/[^?#]{0,20}){0,4}",
            query in proptest::option::of("[^#]{0,40}"),
            fragment in proptest::option::of(".{0,20}"),
        ) {
            let search = query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
            let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
            let url = format!("https://{host}{path}{search}{fragment}");
            let expected = if path.is_empty() { "/" } else { &*path };
            prop_assert_eq!(Target::parse(&url), Target { path: expected, query: query.as_deref().unwrap_or_default() });
        }

        #[test]
        fn any_text_has_a_path(text in ".*") {
            prop_assert!(Target::parse(&text).path.starts_with('/'));
        }
    }
}
