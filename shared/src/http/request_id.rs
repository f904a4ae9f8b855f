//! Request ids.

use std::fmt;

/// The id of a request. A problem in the reply and the log lines of all Workers that handle the request contain it. It
/// is Cloudflare's `CF-Ray`, else the client's `X-Request-Id`, else a new UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The maximum length of an id, in characters.
    pub const MAX_LEN: usize = 128;

    /// Parses an id from a header: 1 to 128 ASCII letters, digits and characters from `-_.:=+/@`. This allows UUIDs,
    /// ULIDs, base64 and the ids of other clouds, but no character that could break a log line.
    #[must_use]
    pub fn parse(text: impl AsRef<str> + Into<String>) -> Option<Self> {
        let id = text.as_ref();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=+/@".contains(&byte);
        let well_formed = (1..=Self::MAX_LEN).contains(&id.len()) && id.bytes().all(allowed);
        well_formed.then(|| Self(text.into()))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_in_common_formats_are_accepted() {
        let longest = "x".repeat(128);
        for id in [
            "8a9b0c1d2e3f4a5b-AMS",
            "0191b0d5-7b8a-7c3e-9f00-000000000001",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "Root=1-67891233-abcdef012345678912345678",
            "aGVsbG8+d29ybGQ/Cg==",
            &longest,
        ] {
            assert_eq!(RequestId::parse(id).expect(id).as_str(), id);
        }
    }

    #[test]
    fn malformed_ids_are_rejected() {
        for id in ["", " ", "a b", "a\"b", "a\nb", "a,b", "é", "{}", &"x".repeat(129)] {
            assert_eq!(RequestId::parse(id), None, "{id:?}");
        }
    }

    proptest! {
        /// An accepted id needs no escaping in JSON, in a header or in a URL's path.
        #[test]
        fn an_accepted_id_needs_no_escaping(text in ".{0,140}|[A-Za-z0-9_.:=+/@-]{0,140}") {
            if let Some(id) = RequestId::parse(&text) {
                prop_assert_eq!(id.as_str(), &*text);
                prop_assert_eq!(serde_json::to_string(&text).expect("JSON"), format!("\"{id}\""));
                prop_assert!((1..=128).contains(&text.len()) && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)));
            }
        }
    }
}
