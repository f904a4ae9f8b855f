//! Says what is wrong with a text that should be JSON, and where, for whoever wrote it.

use memchr::{memchr_iter, memrchr};

/// What is wrong with a body, in plain words, with its line and column. `error` is what the parser says of `part`, which is the
/// body or stands in it.
pub fn explain(body: &[u8], part: &[u8], error: &serde_json::Error) -> String {
    if body.is_empty() {
        return "it is empty".to_owned();
    }
    if body.starts_with(b"\xef\xbb\xbf") {
        return "it begins with a byte order mark; leave that out".to_owned();
    }
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(&*text, |(message, _)| message);
    let before = part.as_ptr() as usize - body.as_ptr() as usize;
    let at = before + if error.is_eof() { part.len() } else { offset(part, error.line(), error.column()) };
    // A text that is skipped is refused a byte too early.
    let is_control = |at: usize| body.get(at).is_some_and(u8::is_ascii_control);
    let at =
        if message.starts_with("control character") && !is_control(at) && is_control(at + 1) { at + 1 } else { at };
    let (line, column) = place(body, at);
    if error.is_eof() {
        let unfinished = match message.rsplit(' ').next() {
            Some("list") => "an array",
            Some("object") => "an object",
            Some("string") => "a text",
            _ => "a value",
        };
        return format!("it ends at line {line}, column {column}, before {unfinished} is complete");
    }
    let found = found(&body[at.min(body.len())..]);
    format!("at line {line}, column {column}{found}, {}", expectation(message))
}

/// What the parser's messages mean.
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
        "trailing characters" => "the end was expected: the value is complete",
        "invalid escape" => "one of \" \\ / b f n r t, or u and four hex digits, was expected after the backslash",
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" => {
            "an escape from \\ud800 to \\udfff must be one of a pair"
        }
        "invalid unicode code point" => "text must be UTF-8",
        "invalid number" => "a number has digits, and no zero in front of them",
        "number out of range" => "the number is too large",
        "recursion limit exceeded" => "values are nested too deeply",
        _ if message.starts_with("control character") => {
            "line breaks and other control characters in a text must be escapes, such as \\n"
        }
        other => other,
    }
}

/// Where the parser's line and column are, in bytes. Its columns count bytes, from 1; 0 is the line break before.
fn offset(text: &[u8], line: usize, column: usize) -> usize {
    let breaks = memchr_iter(b'\n', text).map(|at| at + 1);
    let start = [0].into_iter().chain(breaks).nth(line.saturating_sub(1)).unwrap_or_default();
    (start + column).saturating_sub(1)
}

/// A place as editors count it: lines and characters, from 1.
fn place(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let start = memrchr(b'\n', before).map_or(0, |at| at + 1);
    let line = memchr_iter(b'\n', before).count() + 1;
    // Without a copy: the body may be large, and need not be UTF-8.
    let characters = before[start..].iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count();
    (line, characters + 1)
}

/// The character that stands there, if it can be shown.
fn found(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4)]);
    let shown = text.chars().next().filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER);
    shown.map_or_else(String::new, |c| format!(" (`{c}`)"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn explained(body: &[u8]) -> Option<String> {
        serde_json::from_slice::<Value>(body).err().map(|error| explain(body, body, &error))
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (body, expected) in [
            ("", "it is empty"),
            ("\u{feff}{}", "it begins with a byte order mark; leave that out"),
            ("{", "it ends at line 1, column 2, before an object is complete"),
            ("{\"a\":[1,\n2", "it ends at line 2, column 2, before an array is complete"),
            ("\"ü", "it ends at line 1, column 3, before a text is complete"),
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
            ("{} x", "at line 1, column 4 (`x`), the end was expected: the value is complete"),
            (
                "[\"a\nb\"]",
                "at line 1, column 4, line breaks and other control characters in a text must be escapes, such as \\n",
            ),
            (
                "[\"\\x\"]",
                "at line 1, column 4 (`x`), one of \" \\ / b f n r t, or u and four hex digits, was expected after the backslash",
            ),
            ("[01]", "at line 1, column 3 (`1`), a number has digits, and no zero in front of them"),
        ] {
            assert_eq!(explained(body.as_bytes()).as_deref(), Some(expected), "{body}");
        }
        // In a text that is only skipped, the place is the same.
        let skipped = b"[\"x\ny\"]";
        let error = serde_json::from_slice::<serde::de::IgnoredAny>(skipped).expect_err("not JSON");
        assert!(explain(skipped, skipped, &error).starts_with("at line 1, column 4, line breaks"));
        let surrogate = explained(br#"["\ud800"]"#).expect("not JSON");
        assert!(surrogate.ends_with("must be one of a pair"), "{surrogate}");
        let bytes = explained(b"[\"\xff\"]").expect("not JSON");
        assert!(bytes.ends_with("text must be UTF-8"), "{bytes}");
    }

    proptest! {
        /// The place is in the text, or right behind it, and what is said of it is said in words of our own.
        #[test]
        fn the_place_is_in_the_text(body in "[\\[\\]{}\":,a0é\\\\ \n-]{1,30}") {
            if let Some(said) = explained(body.as_bytes()) {
                let (_, place) = said.split_once("line ").expect("a place");
                let numbers: Vec<usize> = place.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).take(2).collect();
                let line = body.split('\n').nth(numbers[0] - 1).expect("a line of the text");
                prop_assert!((1..=line.chars().count() + 1).contains(&numbers[1]), "{}: {}", body, said);
                prop_assert!(!said.contains("EOF"), "{}", said);
            }
        }
    }
}
