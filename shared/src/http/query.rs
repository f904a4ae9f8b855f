//! The query of a request's URL.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::problem::Problem;

/// A query in the format of HTML forms (<https://url.spec.whatwg.org/#application/x-www-form-urlencoded>): `name=value`
/// pairs separated by `&`, percent-encoded, with `+` for a space.
#[derive(Clone, Copy, Debug)]
pub struct Query<'url>(&'url str);

impl<'url> Query<'url> {
    /// Parses the text after the `?`. Repeated parameters are rejected, because programs disagree on which of them
    /// counts.
    pub fn parse(text: &'url str) -> Result<Self, Problem> {
        let query = Self(text);
        for (at, (name, _)) in query.pairs().enumerate() {
            let name = decode(name);
            if query.pairs().skip(at + 1).any(|(other, _)| decode(other) == name) {
                return Err(Problem::repeated_parameter(&String::from_utf8_lossy(&name)));
            }
        }
        Ok(query)
    }

    /// Returns the decoded bytes of a parameter, or `None` if it is absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'url, [u8]>> {
        self.pairs().find(|(other, _)| *decode(other) == *name.as_bytes()).map(|(_, value)| decode(value))
    }

    /// Returns the pairs, still encoded. This searches byte by byte, because the standard library's text search is
    /// optimized for longer texts.
    fn pairs(self) -> impl Iterator<Item = (&'url [u8], &'url [u8])> {
        let pairs = self.0.as_bytes().split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=');
            equals.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]))
        })
    }
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn get(query: &str, name: &str) -> Option<Vec<u8>> {
        Query::parse(query).expect("no repetition").get(name).map(Cow::into_owned)
    }

    #[test]
    fn parameters_are_found_and_decoded() {
        for (query, value) in [
            ("key=a", Some("a")),
            ("a=b&key=c&d=e", Some("c")),
            ("key=a+b", Some("a b")),
            ("key=a%2Bb", Some("a+b")),
            ("key=%E2%82%AC", Some("€")),
            ("k%65y=a", Some("a")),
            ("key=a=b", Some("a=b")),
            ("key=", Some("")),
            ("key", Some("")),
            ("key=%zz%", Some("%zz%")),
            ("", None),
            ("&&", None),
            ("keys=a&Key=b", None),
        ] {
            assert_eq!(get(query, "key"), value.map(|text| text.as_bytes().to_vec()), "{query}");
        }
        assert_eq!(get("key=%ff", "key"), Some(vec![0xff]));
    }

    #[test]
    fn repeated_parameters_are_rejected() {
        for query in ["key=a&key=b", "key=a&key=a", "key=&x=1&k%65y", "x=1&key=a&x=1", "a&a"] {
            assert_eq!(Query::parse(query).expect_err(query).code().name(), "invalid_parameter");
        }
    }

    proptest! {
        #[test]
        fn any_encoded_text_is_decoded(text in ".*") {
            let query = format!("a=b&key={}&c=d", utf8_percent_encode(&text, NON_ALPHANUMERIC));
            prop_assert_eq!(get(&query, "key"), Some(text.into_bytes()));
        }

        #[test]
        fn no_query_panics(query in ".*") {
            let _ = Query::parse(&query).map(|query| query.get("key").is_some());
        }
    }
}
