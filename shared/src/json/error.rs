//! Explanations of JSON syntax errors, for the client that sent the body.

use memchr::{memchr_iter, memrchr};

/// Returns what is wrong with a body, in plain words, with line and column. `error` is the parser's error for `part`,
/// which is the body or a subslice of it.
pub fn explain(body: &[u8], part: &[u8], error: &serde_json::Error) -> String {
    if body.is_empty() {
        return "it is empty".to_owned();
    }
    if body.starts_with(b"\xef\xbb\xbf") {
        return "it begins with a byte order mark; remove it".to_owned();
    }
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(&*text, |(message, _)| message);
    let part_start = part.as_ptr() as usize - body.as_ptr() as usize;
    let at = part_start + if error.is_eof() { part.len() } else { byte_offset(part, error.line(), error.column()) };
    // In a string that the parser only skips, it reports the position one byte too early.
    let is_control = |at: usize| body.get(at).is_some_and(u8::is_ascii_control);
    let at =
        if message.starts_with("control character") && !is_control(at) && is_control(at + 1) { at + 1 } else { at };
    let (line, column) = line_and_column(body, at);
    if error.is_eof() {
        let unfinished = match message.rsplit(' ').next() {
            Some("list") => "an array",
            Some("object") => "an object",
            Some("string") => "a string",
            _ => "a value",
        };
        return format!("it ends at line {line}, column {column}, before {unfinished} is complete");
    }
    let character = quoted_character(&body[at.min(body.len())..]);
    format!("at line {line}, column {column}{character}, {}", expectation(message))
}

/// Translates a message of the parser into plain words.
fn expectation(message: &str) -> &str {
    match message {
        "expected value" => {
            "a value was expected: an object, an array, a text in double quotes, a number, true, false or null"
        }
        "expected ident" => "true, false or null was expected",
        "key must be a string" => "a name in double quotes was expected",
        "expected `:`" => "a colon was expected",
        "expected `,` or `}`" => "a comma or } was expected",
        "expected `,` or `]`" => "a comma or ] was expected",
        "trailing comma" => "another name or value was expected after the comma",
        "trailing characters" => "the end of the body was expected: the value is complete",
        "invalid escape" => "one of \" \\ / b f n r t, or u and four hex digits, was expected after the backslash",
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" => {
            "an escape from \\ud800 to \\udfff must be part of a surrogate pair"
        }
        "invalid unicode code point" => "text must be UTF-8",
        "invalid number" => "a number must have digits and no leading zero",
        "number out of range" => "the number is too large",
        "recursion limit exceeded" => "values are nested too deeply",
        _ if message.starts_with("control character") => {
            "line breaks and other control characters in a string must be escaped, for example as \\n"
        }
        other => other,
    }
}

/// Returns the byte offset of the parser's line and column. Its columns count bytes, from 1; column 0 is the line break
/// before the line.
fn byte_offset(text: &[u8], line: usize, column: usize) -> usize {
    let breaks = memchr_iter(b'\n', text).map(|at| at + 1);
    let start = [0].into_iter().chain(breaks).nth(line.saturating_sub(1)).unwrap_or_default();
    (start + column).saturating_sub(1)
}

/// Returns the line and the column of a byte offset as editors count them: from 1, columns in characters.
fn line_and_column(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let start = memrchr(b'\n', before).map_or(0, |at| at + 1);
    let line = memchr_iter(b'\n', before).count() + 1;
    // Counts characters in the bytes, without decoding them: the body may be large and is not necessarily UTF-8.
    let characters = before[start..].iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count();
    (line, characters + 1)
}

/// Returns the first character of a text, in parentheses and backticks, or an empty string if it is not printable.
fn quoted_character(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4)]);
    let printable = text.chars().next().filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER);
    printable.map_or_else(String::new, |c| format!(" (`{c}`)"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn explanation(body: &[u8]) -> Option<String> {
        serde_json::from_slice::<Value>(body).err().map(|error| explain(body, body, &error))
    }

    #[test]
    fn syntax_errors_are_explained_with_line_and_column() {
        for (body, expected) in [
            ("", "it is empty"),
            ("\u{feff}{}", "it begins with a byte order mark; remove it"),
            ("{", "it ends at line 1, column 2, before an object is complete"),
            ("{\"a\":[1,\n2", "it ends at line 2, column 2, before an array is complete"),
            ("\"ü", "it ends at line 1, column 3, before a string is complete"),
            ("{'key': 1}", "at line 1, column 2 (`'`), a name in double quotes was expected"),
            (
                "{\n  \"ü\": x}",
                "at line 2, column 8 (`x`), a value was expected: an object, an array, a text in double quotes, a \
                 number, true, false or null",
            ),
            ("{\"a\": tru}", "at line 1, column 10 (`}`), true, false or null was expected"),
            ("{\"a\" 1}", "at line 1, column 6 (`1`), a colon was expected"),
            ("{\"a\": 1\n \"b\": 2}", "at line 2, column 2 (`\"`), a comma or } was expected"),
            ("[1 2]", "at line 1, column 4 (`2`), a comma or ] was expected"),
            ("[1,]", "at line 1, column 4 (`]`), another name or value was expected after the comma"),
            ("{\"a\": 1,}", "at line 1, column 9 (`}`), another name or value was expected after the comma"),
            ("{} x", "at line 1, column 4 (`x`), the end of the body was expected: the value is complete"),
            (
                "[\"a\nb\"]",
                "at line 1, column 4, line breaks and other control characters in a string must be escaped, for example \
                 as \\n",
            ),
            (
                "[\"\\x\"]",
                "at line 1, column 4 (`x`), one of \" \\ / b f n r t, or u and four hex digits, was expected after the backslash",
            ),
            ("[01]", "at line 1, column 3 (`1`), a number must have digits and no leading zero"),
        ] {
            assert_eq!(explanation(body.as_bytes()).as_deref(), Some(expected), "{body}");
        }
        // The position is the same in a string that the parser only skips.
        let skipped = b"[\"x\ny\"]";
        let error = serde_json::from_slice::<serde::de::IgnoredAny>(skipped).expect_err("not JSON");
        assert!(explain(skipped, skipped, &error).starts_with("at line 1, column 4, line breaks"));
        let surrogate = explanation(br#"["\ud800"]"#).expect("not JSON");
        assert!(surrogate.ends_with("must be part of a surrogate pair"), "{surrogate}");
        let bytes = explanation(b"[\"\xff\"]").expect("not JSON");
        assert!(bytes.ends_with("text must be UTF-8"), "{bytes}");
    }

    proptest! {
        /// The position is in the text or just after its end, and the parser's word "EOF" does not appear.
        #[test]
        fn the_position_is_in_the_text(body in "[\\[\\]{}\":,a0é\\\\ \n-]{1,30}") {
            if let Some(explanation) = explanation(body.as_bytes()) {
                let (_, position) = explanation.split_once("line ").expect("a position");
                let numbers: Vec<usize> = position.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).take(2).collect();
                let line = body.split('\n').nth(numbers[0] - 1).expect("a line of the text");
                prop_assert!((1..=line.chars().count() + 1).contains(&numbers[1]), "{}: {}", body, explanation);
                prop_assert!(!explanation.contains("EOF"), "{}", explanation);
            }
        }
    }
}
