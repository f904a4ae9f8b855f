//! Headers that change what a request's body means. Each is obeyed by the route, or refused here: a body is never taken for
//! something else than it is.
//!
//! The others of the kind are not ours to read: `Transfer-Encoding`, `Trailer` and `Expect` are the connection's, and the
//! runtime's. `Range` means nothing with any method but `GET` (RFC 9110, 14.2), nor does `If-Range` without it. `Content-MD5`,
//! `Content-Digest` and `Repr-Digest` say nothing of what a body means, and may be ignored (RFC 9530, 2).

use super::problem::Problem;

/// Refuses a body that is only a range of something (RFC 9110, 14.5): it would be stored as if it were all of it.
pub fn require_whole(content_range: Option<&str>) -> Result<(), Problem> {
    match content_range {
        None | Some("") => Ok(()),
        Some(_) => Err(Problem::invalid_parameter(
            "the header Content-Range says that the body is a part of something, and no route takes such parts: send all of \
             it, or parts with PUT /files/uploads, without the header",
        )),
    }
}

/// Refuses a body that is compressed or otherwise encoded (RFC 9110, 8.4), where it is read as it comes.
pub fn require_identity(content_encoding: Option<&str>) -> Result<(), Problem> {
    let codings = content_encoding.unwrap_or_default().split(',').map(str::trim);
    let coding = codings.into_iter().find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    coding.map_or(Ok(()), |coding| Err(Problem::unsupported_coding(coding)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_all_of_what_is_sent() {
        assert!(require_whole(None).is_ok() && require_whole(Some("")).is_ok());
        for range in ["bytes 5-14/20", "bytes 0-19/20", "bytes */20", "x"] {
            let problem = require_whole(Some(range)).expect_err(range);
            assert_eq!(problem.code().name(), "invalid_parameter");
            assert!(problem.detail().contains("Content-Range"), "{}", problem.detail());
        }
    }

    #[test]
    fn a_coding_is_named() {
        for none in [None, Some(""), Some("identity"), Some("Identity, identity"), Some(" , ")] {
            assert!(require_identity(none).is_ok(), "{none:?}");
        }
        for (encoding, coding) in [("gzip", "gzip"), ("identity, br", "br"), ("GZIP,deflate", "GZIP"), ("x", "x")] {
            let problem = require_identity(Some(encoding)).expect_err(encoding);
            assert_eq!((problem.status(), problem.header()), (415, Some(("Accept-Encoding", "identity"))));
            assert!(problem.detail().contains(&format!("`{coding}`")), "{}", problem.detail());
        }
    }
}
