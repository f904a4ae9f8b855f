//! User ids.

use std::fmt;

use serde::Serialize;

use crate::http::Problem;

/// A customer's id: 1 to 48 characters from `a-z`, `0-9` and `-`, starting and ending with a letter or digit.
///
/// The names of the customer's resources are derived from the id, and each name contains the complete id. The limits
/// follow from R2's bucket names, which are the most restricted: 3 to 63 lower-case letters, digits and hyphens,
/// not starting or ending with a hyphen (<https://developers.cloudflare.com/r2/buckets/create-buckets/>).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct UserId(String);

impl UserId {
    /// The maximum length of an id, in characters.
    pub const MAX_LEN: usize = 48;

    /// Parses an id from a header or a command line.
    pub fn parse(text: impl AsRef<str> + Into<String>) -> Result<Self, InvalidUserId> {
        let bytes = text.as_ref().as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return Err(InvalidUserId);
        };
        let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        if bytes.len() > Self::MAX_LEN || !bytes.iter().all(inner) || *first == b'-' || *last == b'-' {
            return Err(InvalidUserId);
        }
        Ok(Self(text.into()))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `customer-<id>`: the name of the customer's R2 bucket and D1 database, the title of its KV namespace,
    /// and its Worker's name in the local runtime.
    #[must_use]
    pub fn resource_name(&self) -> String {
        format!("customer-{}", self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::str::FromStr for UserId {
    type Err = InvalidUserId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// The error for a text that is not a valid [`UserId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUserId;

impl fmt::Display for InvalidUserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a user id is 1 to 48 of a-z, 0-9 and -, starting and ending with a letter or digit")
    }
}

impl std::error::Error for InvalidUserId {}

impl From<InvalidUserId> for Problem {
    fn from(_: InvalidUserId) -> Self {
        Problem::invalid_user_id()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn well_formed_ids_are_accepted() {
        for id in ["a", "0", "user1", "user-1", "a--b", "123", &"x".repeat(48)] {
            assert_eq!(UserId::parse(id).expect(id).as_str(), id);
        }
    }

    #[test]
    fn malformed_ids_are_rejected() {
        let too_long = "x".repeat(49);
        for id in [
            "",
            "-",
            "-a",
            "a-",
            &too_long,
            "User1",
            "a_b",
            "../x",
            "a b",
            "a.b",
            "a/b",
            " a",
            "a ",
            "a\0",
            "a\n",
            "usér",
            "ａ",
            "user1,user2",
            "user1, user1",
        ] {
            assert_eq!(UserId::parse(id), Err(InvalidUserId), "{id:?}");
        }
    }

    proptest! {
        #[test]
        fn every_accepted_id_gives_a_valid_bucket_name(text in ".{0,60}|[a-z0-9-]{0,60}") {
            if let Ok(id) = UserId::parse(&text) {
                let name = id.resource_name();
                prop_assert!((3..=63).contains(&name.len()));
                prop_assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')));
                prop_assert!(!name.starts_with('-') && !name.ends_with('-'));
                prop_assert_eq!(id.as_str(), text);
            }
        }
    }
}
