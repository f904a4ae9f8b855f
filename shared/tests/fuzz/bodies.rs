//! Properties of the parsers that hold for any input. `fuzz/` runs these functions with libFuzzer.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use shared::auth::Token;
use shared::http::{ByteRange, FormParser, MultipartEvent, PartContent, PartHeaders, Problem};

type Parts = Vec<(PartHeaders, Vec<u8>)>;

/// Checks that the lengths of a form's segments do not change the parsed parts, and that the parts, written as a form,
/// are parsed to the same parts again. The first byte of `data` is the number of segment lengths that follow it; the
/// rest is the form.
pub fn form(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else { return };
    let (lengths, form) = rest.split_at(rest.len().min(usize::from(*count % 16)));
    let lengths = lengths.iter().map(|length| usize::from(*length).max(1));
    let parsed = parse_form(form, std::iter::once(usize::MAX)).map_err(|problem| problem.detail().to_owned());
    assert_eq!(parse_form(form, lengths).map_err(|problem| problem.detail().to_owned()), parsed);
    // No `Content-Type` panics.
    if let Ok(content_type) = std::str::from_utf8(form) {
        let _ = FormParser::new(content_type);
    }

    let Ok((parts, true)) = parsed else { return };
    let length: usize = parts.iter().map(|(_, content)| content.len()).sum();
    assert!(length < form.len(), "the parts are shorter than the form");
    let mut written = Vec::new();
    for (headers, content) in &parts {
        let name = headers.name.replace('\\', "\\\\").replace('"', "\\\"");
        let file = match (headers.is_file, headers.file_name_is_empty) {
            (true, false) => "; filename=\"f\"",
            (true, true) => "; filename=\"\"",
            (false, _) => "",
        };
        written.extend(format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n").into_bytes());
        if let Some(content_type) = &headers.content_type {
            written.extend(format!("Content-Type: {content_type}\r\n").into_bytes());
        }
        if let Some(encoding) = &headers.transfer_encoding {
            written.extend(format!("Content-Transfer-Encoding: {encoding}\r\n").into_bytes());
        }
        written.extend([b"\r\n", &**content, b"\r\n"].concat());
    }
    written.extend(b"--x--");
    // Escaping makes a name longer, and a part's headers may have at most 16 KiB.
    if parts.iter().all(|(headers, _)| headers.name.len() < 4096) {
        let reparsed = parse_form(&written, std::iter::once(7));
        assert_eq!(reparsed.expect("a form"), (parts, true));
    }
}

/// Parses a form with the boundary `x` in segments of these lengths. The last length applies to all further segments.
/// Returns the form's parts, and whether the form has ended.
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
                MultipartEvent::Part(headers) => {
                    assert!(!std::mem::replace(&mut open, true), "parts do not overlap");
                    parts.push((headers, Vec::new()));
                }
                MultipartEvent::Content(content) => {
                    assert!(open, "content belongs to a part");
                    let bytes = match content {
                        PartContent::Segment(start, end) => &segment[start..end],
                        PartContent::HeldBack(bytes) => bytes,
                    };
                    assert!(!bytes.is_empty(), "no piece of content is empty");
                    parts.last_mut().expect("a part is open").1.extend(bytes);
                }
                MultipartEvent::PartEnd => assert!(std::mem::replace(&mut open, false), "only an open part ends"),
                MultipartEvent::End => ended = true,
            }
            Ok(())
        })?;
    }
    assert_eq!(ended, parser.has_ended());
    Ok((parts, ended))
}

/// Checks that a range resolves to the bytes that it names, within the file. The first 8 bytes of `data` are the file's
/// size; the rest is the header.
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
    assert_eq!(range.resolve(size), bytes, "{header} of {size}");
}

/// Checks that an accepted token is the only encoding of its content, and that the same token is parsed from a header.
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
    let from_header = Token::from_header::<Value>(Some(&value)).expect("the same token");
    assert_eq!((from_header.signed, &from_header.signature), (token.signed, &token.signature));
    assert!(Token::from_header::<Value>(Some(&format!("{value}, {value}"))).is_err(), "two tokens are rejected");
}
