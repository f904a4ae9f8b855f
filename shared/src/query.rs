//! The query of a request's URL.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::Problem;

/// A query as HTML forms write it (<https://url.spec.whatwg.org/#application/x-www-form-urlencoded>): `name=value`
/// pairs between `&`, percent-encoded, with `+` for a space.
#[derive(Clone, Copy, Debug)]
pub struct Query<'url>(&'url str);

impl<'url> Query<'url> {
    /// Takes the text after the `?`.
    #[must_use]
    pub fn new(text: &'url str) -> Self {
        Self(text)
    }

    /// The decoded bytes of a parameter, or `None` where it is absent. A parameter that is there twice is refused,
    /// because two readers would not agree on which of them counts.
    pub fn get(&self, name: &str) -> Result<Option<Cow<'url, [u8]>>, Problem> {
        let mut found = None;
        for pair in self.0.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if *decode(key) == *name.as_bytes() && found.replace(value).is_some() {
                return Err(Problem::repeated_parameter(name));
            }
        }
        Ok(found.map(decode))
    }
}

fn decode(text: &str) -> Cow<'_, [u8]> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        Cow::Owned(percent_decode(spaced.as_bytes()).collect())
    } else {
        percent_decode(text.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn get(query: &str, name: &str) -> Option<Vec<u8>> {
        Query::new(query).get(name).expect("no repetition").map(Cow::into_owned)
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
    fn a_parameter_given_twice_is_refused() {
        for query in ["key=a&key=b", "key=a&key=a", "key=&x=1&k%65y"] {
            let problem = Query::new(query).get("key").expect_err(query);
            assert_eq!(problem.code().name(), "invalid_parameter");
        }
        assert_eq!(get("x=1&x=2&key=a", "key"), Some(b"a".to_vec()));
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in ".*") {
            let query = format!("a=b&key={}&c=d", utf8_percent_encode(&text, NON_ALPHANUMERIC));
            prop_assert_eq!(get(&query, "key"), Some(text.into_bytes()));
        }

        #[test]
        fn no_query_panics(query in ".*") {
            let _ = Query::new(&query).get("key");
        }
    }
}
