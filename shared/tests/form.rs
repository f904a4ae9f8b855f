//! Parsing of forms in the formats that clients send, in segments of any length.

#[path = "fuzz/bodies.rs"]
#[expect(dead_code, reason = "only `parse_form` is used here")]
mod bodies;

use std::iter::repeat;

use bodies::parse_form;
use proptest::prelude::*;
use shared::http::PartHeaders;

fn part(name: &str, is_file: bool, content_type: Option<&str>, content: &[u8]) -> (PartHeaders, Vec<u8>) {
    let content_type = content_type.map(str::to_owned);
    (PartHeaders { name: name.to_owned(), is_file, content_type, ..PartHeaders::default() }, content.to_vec())
}

#[test]
fn forms_of_browsers_and_curl_are_parsed() {
    let form = b"--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\na/b\r\n\
        --x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a;\\\"b\\\".png\"\r\nContent-Type: image/png\r\n\r\n\
        \r\n--\r\n-\r\n--y\r\r\n\r\n--x--\r\n";
    let expected =
        vec![part("key", false, None, b"a/b"), part("file", true, Some("image/png"), b"\r\n--\r\n-\r\n--y\r\r\n")];
    for length in 1..form.len() {
        assert_eq!(parse_form(form, repeat(length)).expect("valid"), (expected.clone(), true), "segments of {length}");
    }
}

#[test]
fn preamble_padding_and_epilogue_are_ignored() {
    let form = b"preamble --x\r\n--x \t\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n--x\r\nepilogue";
    for length in 1..form.len() {
        assert_eq!(parse_form(form, repeat(length)).expect("valid"), (vec![part("a", false, None, b"1")], true));
    }
}

#[test]
fn empty_parts_and_empty_forms_are_parsed() {
    let form = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--x--";
    assert_eq!(parse_form(form, repeat(1)).expect("valid"), (vec![part("a", false, None, b"")], true));
    assert_eq!(parse_form(b"--x--\r\n", repeat(3)).expect("valid"), (vec![], true));
}

#[test]
fn malformed_forms_are_rejected_and_incomplete_ones_do_not_end() {
    let too_long = format!("--x\r\nA: {}\r\n\r\n", "a".repeat(16 << 10));
    for form in [
        "--xy\r\n",
        "--x-\r\n",
        "--x\n",
        "--x\r\n\r\ncontent\r\n--x--",
        "--x\r\nno colon\r\n\r\n\r\n--x--",
        "--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--",
        &too_long,
    ] {
        assert_eq!(parse_form(form.as_bytes(), repeat(7)).expect_err(form).code().name(), "invalid_form");
    }
    let form = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ncontent\r\n--x--";
    for end in 0..form.len() {
        assert!(!parse_form(&form.as_bytes()[..end], repeat(5)).expect("valid so far").1, "{end}");
    }
}

proptest! {
    /// The content has many incomplete boundaries, and the form arrives in segments of any length.
    #[test]
    fn content_that_resembles_boundaries_is_unchanged(
        contents in prop::collection::vec("(\r|\n|-|x|y|\r\n--x?y?| ){0,40}", 0..4),
        lengths in prop::collection::vec(1_usize..60, 1..10),
    ) {
        let contents: Vec<String> = contents.into_iter().map(|text| text.replace("\r\n--x", "\r\n--y")).collect();
        let mut form = String::new();
        for content in &contents {
            form.extend(["--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n", content, "\r\n"]);
        }
        form += "--x--\r\n";
        let (parts, ended) = parse_form(form.as_bytes(), lengths.into_iter()).expect("valid");
        prop_assert!(ended);
        let parsed: Vec<Vec<u8>> = parts.into_iter().map(|(_, content)| content).collect();
        prop_assert_eq!(parsed, contents.iter().map(|content| content.as_bytes().to_vec()).collect::<Vec<_>>());
    }
}
