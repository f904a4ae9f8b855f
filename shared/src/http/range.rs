//! The header `Range` (RFC 9110, 14), limited to one range of bytes.

/// A range of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `a-`: from this byte to the end.
    From(u64),
    /// `a-b`: from the first to the second byte, inclusive.
    Between(u64, u64),
    /// `-n`: this number of bytes at the end.
    Last(u64),
}

impl ByteRange {
    /// Parses `bytes=...`. Returns `None` if the header must be ignored, so that the whole file is sent: if it is
    /// malformed, has another unit, or has several ranges, which a server may ignore (RFC 9110, 14.2).
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, range) = header.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        match range.trim().split_once('-')? {
            ("", last) => Some(Self::Last(position(last)?)),
            (first, "") => Some(Self::From(position(first)?)),
            (first, last) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// Returns the first and the last byte of the range in a file of `size` bytes, or `None` if the range is outside
    /// the file.
    #[must_use]
    pub fn resolve(self, size: u64) -> Option<(u64, u64)> {
        let end = size.checked_sub(1)?;
        let (first, last) = match self {
            Self::From(first) => (first, end),
            Self::Between(first, last) => (first, last.min(end)),
            Self::Last(0) => return None,
            Self::Last(length) => (size.saturating_sub(length), end),
        };
        (first <= end).then_some((first, last))
    }
}

/// Parses a number of digits only. A number that is too large becomes `u64::MAX`, which is still larger than any file.
fn position(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_parsed_or_ignored() {
        use ByteRange::{Between, From, Last};
        for (header, range) in [
            ("bytes=0-0", Some(Between(0, 0))),
            ("bytes=2-5", Some(Between(2, 5))),
            ("Bytes = 2-5", Some(Between(2, 5))),
            ("bytes=7-", Some(From(7))),
            ("bytes=-3", Some(Last(3))),
            ("bytes=-0", Some(Last(0))),
            ("bytes=99999999999999999999-", Some(From(u64::MAX))),
            ("bytes=5-2", None),
            ("bytes=0-1,4-5", None),
            ("bytes=0-1, -1", None),
            ("bytes=-", None),
            ("bytes=", None),
            ("bytes", None),
            ("bytes=+1-2", None),
            ("bytes=a-b", None),
            ("bytes=1 - 2", None),
            ("items=0-1", None),
            ("", None),
        ] {
            assert_eq!(ByteRange::parse(header), range, "{header}");
        }
    }

    #[test]
    fn ranges_are_limited_to_the_file() {
        for (header, size, bytes) in [
            ("bytes=0-0", 10, Some((0, 0))),
            ("bytes=2-5", 10, Some((2, 5))),
            ("bytes=2-99", 10, Some((2, 9))),
            ("bytes=9-", 10, Some((9, 9))),
            ("bytes=10-", 10, None),
            ("bytes=10-20", 10, None),
            ("bytes=-3", 10, Some((7, 9))),
            ("bytes=-99", 10, Some((0, 9))),
            ("bytes=-0", 10, None),
            ("bytes=0-", 0, None),
            ("bytes=-1", 0, None),
            ("bytes=99999999999999999999-", 10, None),
        ] {
            assert_eq!(ByteRange::parse(header).expect(header).resolve(size), bytes, "{header} of {size}");
        }
    }

    proptest! {
        #[test]
        fn a_range_is_within_the_file(header in "(bytes=[0-9]{0,3}-[0-9]{0,3})|.{0,20}", size in 0_u64..200) {
            if let Some((first, last)) = ByteRange::parse(&header).and_then(|range| range.resolve(size)) {
                prop_assert!(first <= last && last < size);
            }
        }
    }
}
