//! Request headers that change the meaning of the body. A route either implements such a header or rejects the request
//! with the functions here, so that a body is never misinterpreted.
//!
//! Other headers need no check. The runtime handles `Transfer-Encoding`, `Trailer` and `Expect`, which concern the
//! connection. `Range` is defined for `GET` only (RFC 9110, 14.2), and `If-Range` only together with `Range`.
//! `Content-MD5`, `Content-Digest` and `Repr-Digest` do not change the meaning of a body and may be ignored (RFC 9530,
//! 2).

use super::problem::Problem;

/// Rejects a body that is only a range of the content (RFC 9110, 14.5). It would otherwise be stored as the complete
/// content.
pub fn require_complete(content_range: Option<&str>) -> Result<(), Problem> {
    match content_range {
        None | Some("") => Ok(()),
        Some(_) => Err(Problem::invalid_parameter(
            "the header Content-Range is not supported: send the complete body, or upload parts with PUT /files/uploads, \
             without the header",
        )),
    }
}

/// Rejects a body that is compressed or otherwise encoded (RFC 9110, 8.4), for routes that do not decode it.
pub fn require_identity(content_encoding: Option<&str>) -> Result<(), Problem> {
    let codings = content_encoding.unwrap_or_default().split(',').map(str::trim);
    let coding = codings.into_iter().find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    coding.map_or(Ok(()), |coding| Err(Problem::unsupported_coding(coding)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_with_a_content_range_is_rejected() {
        assert!(require_complete(None).is_ok() && require_complete(Some("")).is_ok());
        for range in ["bytes 5-14/20", "bytes 0-19/20", "bytes */20", "x"] {
            let problem = require_complete(Some(range)).expect_err(range);
            assert_eq!(problem.code().name(), "invalid_parameter");
            assert!(problem.detail().contains("Content-Range"), "{}", problem.detail());
        }
    }

    #[test]
    fn the_problem_names_the_unsupported_coding() {
        for identity in [None, Some(""), Some("identity"), Some("Identity, identity"), Some(" , ")] {
            assert!(require_identity(identity).is_ok(), "{identity:?}");
        }
        for (encoding, coding) in [("gzip", "gzip"), ("identity, br", "br"), ("GZIP,deflate", "GZIP"), ("x", "x")] {
            let problem = require_identity(Some(encoding)).expect_err(encoding);
            assert_eq!((problem.status(), problem.header()), (415, Some(("Accept-Encoding", "identity"))));
            assert!(problem.detail().contains(&format!("`{coding}`")), "{}", problem.detail());
        }
    }
}
