//! What must hold of parsers whatever bytes they get. `fuzz/` runs the same with libFuzzer.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use shared::auth::Token;
use shared::http::{ByteRange, Content, Event, FormParser, PartHead, Problem};

type Parts = Vec<(PartHead, Vec<u8>)>;

/// A form is the same in whatever pieces it comes: the first byte says how many of the next are the pieces' lengths. What was
/// parsed, written as a form again, is parsed to the same.
pub fn form(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else { return };
    let (lengths, form) = rest.split_at(rest.len().min(usize::from(*count % 16)));
    let lengths = lengths.iter().map(|length| usize::from(*length).max(1));
    let whole = parse_form(form, std::iter::once(usize::MAX)).map_err(|problem| problem.detail().to_owned());
    assert_eq!(parse_form(form, lengths).map_err(|problem| problem.detail().to_owned()), whole);
    // Nor does any header that a client may send as a type.
    if let Ok(content_type) = std::str::from_utf8(form) {
        let _ = FormParser::new(content_type);
    }

    let Ok((parts, true)) = whole else { return };
    let length: usize = parts.iter().map(|(_, content)| content.len()).sum();
    assert!(length < form.len(), "nothing is made up");
    let mut written = Vec::new();
    for (head, content) in &parts {
        let name = head.name.replace('\\', "\\\\").replace('"', "\\\"");
        let file = match (head.is_file, head.file_name_is_empty) {
            (true, false) => "; filename=\"f\"",
            (true, true) => "; filename=\"\"",
            (false, _) => "",
        };
        written.extend(format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n").into_bytes());
        if let Some(content_type) = &head.content_type {
            written.extend(format!("Content-Type: {content_type}\r\n").into_bytes());
        }
        if let Some(encoding) = &head.transfer_encoding {
            written.extend(format!("Content-Transfer-Encoding: {encoding}\r\n").into_bytes());
        }
        written.extend([b"\r\n", &**content, b"\r\n"].concat());
    }
    written.extend(b"--x--");
    // What is quoted is longer, and headers may have 16 KiB.
    if parts.iter().all(|(head, _)| head.name.len() < 4096) {
        let again = parse_form(&written, std::iter::once(7));
        assert_eq!(again.expect("a form"), (parts, true));
    }
}

/// Parses a form whose boundary is `x`, and which comes in pieces of these lengths, the last repeated: its parts, and whether it
/// has ended.
pub fn parse_form(form: &[u8], mut lengths: impl Iterator<Item = usize>) -> Result<(Parts, bool), Problem> {
    let mut parser = FormParser::new("multipart/form-data; boundary=x")?;
    let (mut parts, mut open, mut ended): (Parts, bool, bool) = (Vec::new(), false, false);
    let (mut rest, mut length) = (form, 1);
    while !rest.is_empty() {
        length = lengths.next().unwrap_or(length).min(rest.len());
        let (segment, after) = rest.split_at(length);
        rest = after;
        parser.feed(segment, |event| {
            assert!(!ended, "nothing follows the end");
            match event {
                Event::Part(head) => {
                    assert!(!std::mem::replace(&mut open, true), "parts do not overlap");
                    parts.push((head, Vec::new()));
                }
                Event::Content(content) => {
                    assert!(open, "content belongs to a part");
                    let bytes = match content {
                        Content::Segment(start, end) => &segment[start..end],
                        Content::HeldBack(bytes) => bytes,
                    };
                    assert!(!bytes.is_empty(), "content is some bytes");
                    parts.last_mut().expect("one is open").1.extend(bytes);
                }
                Event::PartEnd => assert!(std::mem::replace(&mut open, false), "what ends has begun"),
                Event::End => ended = true,
            }
            Ok(())
        })?;
    }
    assert_eq!(ended, parser.has_ended());
    Ok((parts, ended))
}

/// A range is of the bytes that its file has, and the ones that it says. The first 8 bytes are the file's size.
pub fn range(data: &[u8]) {
    let Some((size, header)) = data.split_first_chunk() else { return };
    let Ok(header) = std::str::from_utf8(header) else { return };
    let size = u64::from_le_bytes(*size);
    let Some(range) = ByteRange::parse(header) else { return };
    let (written, bytes) = match range {
        ByteRange::From(first) => (format!("bytes={first}-"), (first < size).then(|| (first, size - 1))),
        ByteRange::Between(first, last) => {
            assert!(first <= last, "{header}");
            (format!("bytes={first}-{last}"), (first < size).then(|| (first, last.min(size - 1))))
        }
        ByteRange::Last(length) => {
            let first = size.saturating_sub(length);
            (format!("bytes=-{length}"), (length > 0 && size > 0).then(|| (first, size - 1)))
        }
    };
    assert_eq!(ByteRange::parse(&written), Some(range), "{header}");
    assert_eq!(range.of(size), bytes, "{header} of {size}");
}

/// A token that is taken is the one text that says what it says, and is the same in a header.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(token) = Token::parse::<Value>(text) else { return };
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    assert_eq!(format!("{}.{}", token.signed, encode(&token.signature)), text);
    let (header, payload) = token.signed.split_once('.').expect("two parts are signed");
    assert_eq!(encode(token.payload()), payload);
    let header = BASE64_URL_SAFE_NO_PAD.decode(header).expect("base64");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    assert!(header["alg"].is_string() && header["crit"].is_null(), "{header}");
    let claims = token.claims::<Value>();
    if let Ok(claims) = &claims {
        let payload: Value = serde_json::from_slice(token.payload()).expect("JSON");
        assert_eq!(payload["sub"], *claims.sub, "{payload}");
    }
    let value = format!("Bearer {text}");
    let again = Token::in_header::<Value>(Some(&value)).expect("the same token");
    assert_eq!((again.signed, &again.signature), (token.signed, &token.signature));
    assert!(Token::in_header::<Value>(Some(&format!("{value}, {value}"))).is_err(), "two are none");
}
