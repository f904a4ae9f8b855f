//! Where a listing goes on.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::{Problem, Query};

/// A position in a listing, as its store gave it. Clients get it with a check value and in letters that need no escaping
/// in a URL, so that one that is cut short, made up, or from the other listing is refused instead of guessed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

/// What is listed.
#[derive(Clone, Copy, Debug)]
pub enum Listing {
    /// `GET /files`.
    Files = 1,
    /// `GET /data`.
    Data = 2,
}

impl Cursor {
    /// Takes the query's `cursor`, if there is one.
    pub fn from_query(query: Query<'_>, listing: Listing) -> Result<Option<Self>, Problem> {
        let Some(cursor) = query.get("cursor")? else { return Ok(None) };
        Self::decode(&cursor, listing).map(Some).ok_or_else(Problem::invalid_cursor)
    }

    fn decode(cursor: &[u8], listing: Listing) -> Option<Self> {
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (check, cursor) = decoded.split_first_chunk()?;
        let cursor = String::from_utf8(cursor.to_vec()).ok()?;
        (check_value(&cursor, listing) == *check).then_some(Self(cursor))
    }

    /// For the client: what the store answered.
    #[must_use]
    pub fn encode(cursor: &str, listing: Listing) -> String {
        BASE64_URL_SAFE_NO_PAD.encode([&check_value(cursor, listing), cursor.as_bytes()].concat())
    }

    /// For the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// FNV-1a: against mistakes, not against malice. A cursor gives access to nothing.
fn check_value(cursor: &str, listing: Listing) -> [u8; 4] {
    let hash = [listing as u8]
        .iter()
        .chain(cursor.as_bytes())
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(text: &str) -> Option<Cursor> {
        Cursor::decode(text.as_bytes(), Listing::Files)
    }

    proptest! {
        #[test]
        fn cursors_come_back(cursor in ".{0,80}") {
            let encoded = Cursor::encode(&cursor, Listing::Files);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert_eq!(Cursor::decode(encoded.as_bytes(), Listing::Files), Some(Cursor(cursor)));
            prop_assert_eq!(Cursor::decode(encoded.as_bytes(), Listing::Data), None);
        }

        #[test]
        fn what_is_not_ours_is_refused(text in ".{0,40}|[A-Za-z0-9_-]{1,40}") {
            prop_assert_eq!(decode(&text), None);
        }
    }

    #[test]
    fn a_cursor_cut_short_or_changed_is_refused() {
        let encoded = Cursor::encode("some/key", Listing::Files);
        for end in 0..encoded.len() {
            assert_eq!(decode(&encoded[..end]), None, "{end}");
        }
        assert_eq!(decode(&encoded.replace('b', "c").replace('Y', "Z")), None);
    }
}
