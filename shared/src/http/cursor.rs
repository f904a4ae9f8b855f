//! Cursors of listings.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::problem::Problem;
use super::query::Query;

/// The position in a listing at which the next page starts: a cursor of R2 or KV.
///
/// Clients receive it with a check value, so that a cursor is rejected if it is incomplete, invented, or from another
/// listing. The encoding is base64url, which needs no escaping in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

/// A listing. A cursor is valid only for the listing that returned it.
#[derive(Clone, Copy, Debug)]
pub enum Listing<'a> {
    /// `GET /files`, with prefix and delimiter.
    Files(&'a str, Option<&'a str>),
    /// `GET /data`, with prefix.
    Data(&'a str),
}

impl Cursor {
    /// Parses the query's `cursor`, if it has one.
    pub fn from_query(query: Query<'_>, listing: Listing<'_>) -> Result<Option<Self>, Problem> {
        let Some(cursor) = query.get("cursor") else { return Ok(None) };
        Self::decode(&cursor, listing).map(Some)
    }

    /// Decodes a cursor from a client.
    pub fn decode(cursor: &[u8], listing: Listing<'_>) -> Result<Self, Problem> {
        Self::decode_checked(cursor, listing).ok_or_else(Problem::invalid_cursor)
    }

    fn decode_checked(cursor: &[u8], listing: Listing<'_>) -> Option<Self> {
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (check, cursor) = decoded.split_first_chunk()?;
        let cursor = String::from_utf8(cursor.to_vec()).ok()?;
        (check_value(&cursor, listing) == *check).then_some(Self(cursor))
    }

    /// Encodes a cursor of R2 or KV for the client.
    #[must_use]
    pub fn encode(cursor: &str, listing: Listing<'_>) -> String {
        BASE64_URL_SAFE_NO_PAD.encode([&check_value(cursor, listing), cursor.as_bytes()].concat())
    }

    /// Returns the cursor for R2 or KV.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the check value: an FNV-1a hash. It detects mistakes but not forgeries: a forged cursor would grant no
/// access.
fn check_value(cursor: &str, listing: Listing<'_>) -> [u8; 4] {
    let parts = match listing {
        Listing::Files(prefix, Some(delimiter)) => ["files by", prefix, delimiter, cursor],
        Listing::Files(prefix, None) => ["files", prefix, "", cursor],
        Listing::Data(prefix) => ["data", prefix, "", cursor],
    };
    // The byte 0xff is never part of UTF-8, so it separates the parts unambiguously.
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
        Cursor::decode_checked(text.as_bytes(), FILES)
    }

    proptest! {
        #[test]
        fn cursors_are_decoded_for_their_own_listing_only(cursor in ".{0,80}") {
            let encoded = Cursor::encode(&cursor, FILES);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert_eq!(decode(&encoded), Some(Cursor(cursor)));
            for other in [Listing::Data("a"), Listing::Files("b", None), Listing::Files("a", Some("/")), Listing::Files("", None)] {
                prop_assert_eq!(Cursor::decode_checked(encoded.as_bytes(), other), None);
            }
        }

        #[test]
        fn invented_cursors_are_rejected(text in ".{0,40}|[A-Za-z0-9_-]{1,40}") {
            prop_assert_eq!(decode(&text), None);
        }
    }

    #[test]
    fn incomplete_and_changed_cursors_are_rejected() {
        let encoded = Cursor::encode("some/key", FILES);
        for end in 0..encoded.len() {
            assert_eq!(decode(&encoded[..end]), None, "{end}");
        }
        assert_eq!(decode(&encoded.replace('b', "c").replace('Y', "Z")), None);
    }
}
