//! Where a listing goes on.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::problem::Problem;
use super::query::Query;

/// A position in a listing, as its store gave it. Clients get it with a check value and in letters that need no escaping
/// in a URL, so that one that is cut short, made up, or from another listing is refused instead of guessed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

/// What is listed: a cursor goes on with the same and nothing else.
#[derive(Clone, Copy, Debug)]
pub enum Listing<'a> {
    /// `GET /files`, with its prefix and its delimiter.
    Files(&'a str, Option<&'a str>),
    /// `GET /data`, with its prefix.
    Data(&'a str),
}

impl Cursor {
    /// Takes the query's `cursor`, if there is one.
    pub fn from_query(query: Query<'_>, listing: Listing<'_>) -> Result<Option<Self>, Problem> {
        let Some(cursor) = query.get("cursor") else { return Ok(None) };
        Self::decode(&cursor, listing).map(Some)
    }

    /// Takes what a client was given.
    pub fn decode(cursor: &[u8], listing: Listing<'_>) -> Result<Self, Problem> {
        Self::checked(cursor, listing).ok_or_else(Problem::invalid_cursor)
    }

    fn checked(cursor: &[u8], listing: Listing<'_>) -> Option<Self> {
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (check, cursor) = decoded.split_first_chunk()?;
        let cursor = String::from_utf8(cursor.to_vec()).ok()?;
        (check_value(&cursor, listing) == *check).then_some(Self(cursor))
    }

    /// For the client: what the store answered.
    #[must_use]
    pub fn encode(cursor: &str, listing: Listing<'_>) -> String {
        BASE64_URL_SAFE_NO_PAD.encode([&check_value(cursor, listing), cursor.as_bytes()].concat())
    }

    /// For the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// FNV-1a: against mistakes, not against malice. A cursor gives access to nothing.
fn check_value(cursor: &str, listing: Listing<'_>) -> [u8; 4] {
    let parts = match listing {
        Listing::Files(prefix, Some(delimiter)) => ["files by", prefix, delimiter, cursor],
        Listing::Files(prefix, None) => ["files", prefix, "", cursor],
        Listing::Data(prefix) => ["data", prefix, "", cursor],
    };
    // No text has this byte, so that none runs over into the next.
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILES: Listing<'_> = Listing::Files("a", None);

    fn decode(text: &str) -> Option<Cursor> {
        Cursor::checked(text.as_bytes(), FILES)
    }

    proptest! {
        #[test]
        fn cursors_come_back(cursor in ".{0,80}") {
            let encoded = Cursor::encode(&cursor, FILES);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert_eq!(decode(&encoded), Some(Cursor(cursor)));
            for other in [Listing::Data("a"), Listing::Files("b", None), Listing::Files("a", Some("/")), Listing::Files("", None)] {
                prop_assert_eq!(Cursor::checked(encoded.as_bytes(), other), None);
            }
        }

        #[test]
        fn what_is_not_ours_is_refused(text in ".{0,40}|[A-Za-z0-9_-]{1,40}") {
            prop_assert_eq!(decode(&text), None);
        }
    }

    #[test]
    fn a_cursor_cut_short_or_changed_is_refused() {
        let encoded = Cursor::encode("some/key", FILES);
        for end in 0..encoded.len() {
            assert_eq!(decode(&encoded[..end]), None, "{end}");
        }
        assert_eq!(decode(&encoded.replace('b', "c").replace('Y', "Z")), None);
    }
}
