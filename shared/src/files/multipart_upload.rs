//! Query parameters and bodies of multipart uploads.

use serde::Deserialize;

use super::reply::UploadedPart;
use crate::http::{Problem, Query};
use crate::json::{self, StrictObject};

/// The maximum number of parts: R2's limit (<https://developers.cloudflare.com/r2/platform/limits/>).
pub const MAX_PARTS: u16 = 10_000;

/// Parses the query's `partNumber`, which is required.
pub fn part_number(query: Query<'_>) -> Result<u16, Problem> {
    let number = query.get("partNumber");
    let digits = number.filter(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit));
    let number = digits.and_then(|number| std::str::from_utf8(&number).ok()?.parse().ok());
    number
        .filter(|number| (1..=MAX_PARTS).contains(number))
        .ok_or_else(|| Problem::invalid_parameter("`partNumber` must be a whole number from 1 to 10000"))
}

/// Parses the query's `uploadId`, which is required.
pub fn upload_id(query: Query<'_>) -> Result<String, Problem> {
    let id = query.get("uploadId").and_then(|id| String::from_utf8(id.into_owned()).ok());
    id.filter(|id| (1..=4096).contains(&id.len()))
        .ok_or_else(|| Problem::invalid_parameter("`uploadId` must be the one that POST /files/uploads returned"))
}

/// The maximum length of a body for [`parse_parts`], in bytes. It has ample room for 10,000 parts.
pub const MAX_PARTS_LEN: usize = 4 * 1024 * 1024;

/// Parses `{"parts": [{"partNumber": ..., "etag": ...}]}`.
pub fn parse_parts(body: &[u8]) -> Result<Vec<UploadedPart>, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct CompleteUploadBody {
        parts: Vec<StrictObject<UploadedPart>>,
    }
    let CompleteUploadBody { parts } = json::parse_object(body)?;
    // An etag from a header has quotation marks.
    let unquoted = |part: UploadedPart| UploadedPart { etag: part.etag.trim_matches('"').to_owned(), ..part };
    let parts: Vec<UploadedPart> = parts.into_iter().map(|StrictObject(part)| unquoted(part)).collect();
    if parts.is_empty() {
        return Err(Problem::invalid_body("`parts` must have at least one part"));
    }
    if parts.iter().any(|part| !(1..=MAX_PARTS).contains(&part.part_number)) {
        return Err(Problem::invalid_part("a part number is out of range"));
    }
    if !parts.is_sorted_by(|part, next| part.part_number < next.part_number) {
        return Err(Problem::invalid_part("`parts` must be in ascending order of `partNumber`, without repetition"));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn part_numbers_and_upload_ids_are_parsed() {
        for (query, number) in [
            ("partNumber=1", Some(1)),
            ("partNumber=10000", Some(10_000)),
            ("partNumber=0", None),
            ("partNumber=10001", None),
            ("partNumber=", None),
            ("partNumber=+1", None),
            ("partNumber=1.0", None),
            ("", None),
        ] {
            assert_eq!(part_number(Query::parse(query).expect(query)).ok(), number, "{query}");
        }
        assert_eq!(upload_id(Query::parse("uploadId=a%2Bb").expect("valid")).expect("an id"), "a+b");
        for query in ["", "uploadId=", "uploadId=%ff"] {
            assert_eq!(
                upload_id(Query::parse(query).expect(query)).expect_err(query).code().name(),
                "invalid_parameter"
            );
        }
    }

    #[test]
    fn parts_are_parsed() {
        let parts = parse_parts(br#"{"parts":[{"partNumber":2,"etag":"a"},{"etag":"\"b\"","partNumber":7.0}]}"#)
            .expect("valid");
        let part = |part_number, etag: &str| UploadedPart { part_number, etag: etag.to_owned() };
        assert_eq!(parts, [part(2, "a"), part(7, "b")]);
        for (body, code) in [
            ("", "invalid_json"),
            ("[]", "invalid_body"),
            ("{}", "invalid_body"),
            (r#"{"parts":[]}"#, "invalid_body"),
            (r#"{"parts":[[1,"a"]]}"#, "invalid_body"),
            (r#"{"parts":[{"partNumber":1}]}"#, "invalid_body"),
            (r#"{"parts":[{"partNumber":"1","etag":"a"}]}"#, "invalid_body"),
            (r#"{"parts":[{"partNumber":1,"etag":"a","x":1}]}"#, "invalid_body"),
            (r#"{"parts":[{"partNumber":70000,"etag":"a"}]}"#, "invalid_body"),
            (r#"{"parts":[{"partNumber":1.5,"etag":"a"}]}"#, "invalid_body"),
            (r#"{"parts":[{"partNumber":0,"etag":"a"}]}"#, "invalid_part"),
            (r#"{"parts":[{"partNumber":10001,"etag":"a"}]}"#, "invalid_part"),
            (r#"{"parts":[{"partNumber":2,"etag":"a"},{"partNumber":1,"etag":"b"}]}"#, "invalid_part"),
            (r#"{"parts":[{"partNumber":1,"etag":"a"},{"partNumber":1,"etag":"a"}]}"#, "invalid_part"),
        ] {
            assert_eq!(parse_parts(body.as_bytes()).expect_err(body).code().name(), code, "{body}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_accepted_in_ascending_order_only(
            parts in prop::collection::vec((prop_oneof![4 => 1_u16..50, 1 => any::<u16>()], "[!#-~]{0,40}"), 0..6),
        ) {
            let body: Vec<serde_json::Value> = parts
                .iter()
                .map(|(number, etag)| serde_json::json!({"etag": etag, "partNumber": number}))
                .collect();
            let parsed = parse_parts(serde_json::json!({ "parts": body }).to_string().as_bytes());
            let in_order = parts.windows(2).all(|pair| pair[0].0 < pair[1].0);
            let in_range = parts.iter().all(|(number, _)| (1..=MAX_PARTS).contains(number));
            prop_assert_eq!(parsed.is_ok(), in_order && in_range && !parts.is_empty());
            if let Ok(parsed) = parsed {
                let parsed: Vec<(u16, String)> = parsed.into_iter().map(|part| (part.part_number, part.etag)).collect();
                prop_assert_eq!(parsed, parts);
            }
        }

        #[test]
        fn only_valid_part_numbers_and_upload_ids_are_accepted(number in ".{0,8}|[0-9]{1,6}", id in ".{0,60}") {
            let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let query = format!("partNumber={}&uploadId={}", escape(&number), escape(&id));
            let query = Query::parse(&query).expect("each once");
            let digits = number.bytes().all(|byte| byte.is_ascii_digit());
            let expected = number.parse().ok().filter(|number| digits && (1..=MAX_PARTS).contains(number));
            prop_assert_eq!(part_number(query).ok(), expected);
            prop_assert_eq!(upload_id(query).ok(), Some(id).filter(|id| !id.is_empty()));
        }

        #[test]
        fn no_parts_panic(body in prop::collection::vec(any::<u8>(), 0..100), text in "[\\[\\]{}\":,a0-9]{0,60}") {
            let _ = (parse_parts(&body), parse_parts(text.as_bytes()));
        }
    }
}
