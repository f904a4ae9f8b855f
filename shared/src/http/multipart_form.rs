//! A streaming parser of `multipart/form-data` (RFC 7578). It performs no I/O and does not copy the parts' content. Its
//! memory use is limited by the length of a part's headers, however large the form is.

use memchr::memmem;

use super::header_parameters::Parameters;
use super::media_type::is_utf8;
use super::problem::Problem;

/// The maximum length of a part's headers, in bytes.
const MAX_HEADERS_LEN: usize = 16 * 1024;

/// The maximum length of a boundary, in characters (RFC 2046, 5.1.1).
const MAX_BOUNDARY_LEN: usize = 70;

/// An event of the form parser.
#[derive(Debug, PartialEq, Eq)]
pub enum MultipartEvent<'a> {
    /// A part begins, with these headers.
    Part(PartHeaders),
    /// A piece of the part's content. A part may have any number of pieces.
    Content(PartContent<'a>),
    /// The part ends.
    PartEnd,
    /// The form ends. Bytes after it are ignored.
    End,
}

/// A piece of a part's content.
#[derive(Debug, PartialEq, Eq)]
pub enum PartContent<'a> {
    /// A range of the segment that is being parsed: the offset of its first byte, and the offset after its last byte.
    Segment(usize, usize),
    /// Bytes of earlier segments. The parser held them back because they could have been the beginning of a boundary.
    /// They are shorter than a boundary.
    HeldBack(&'a [u8]),
}

/// The parsed headers of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHeaders {
    /// The field's name.
    pub name: String,
    /// Whether the part is a file, that is, whether it has a file name.
    pub is_file: bool,
    /// Whether the file name is empty. If such a part has no content either, the user chose no file
    /// (<https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#constructing-the-form-data-set>).
    pub file_name_is_empty: bool,
    /// The part's `Content-Type`.
    pub content_type: Option<String>,
    /// The part's `Content-Transfer-Encoding`.
    pub transfer_encoding: Option<String>,
}

/// A parser of a form that arrives in segments of any size.
#[derive(Debug)]
pub struct FormParser {
    /// A line end, two hyphens and the boundary.
    delimiter: Vec<u8>,
    state: ParserState,
    /// Bytes that have been parsed, but not yet passed on in an event.
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ParserState {
    Preamble,
    AfterDelimiter,
    Headers,
    Content,
    Epilogue,
}

impl FormParser {
    /// Creates a parser for a form with this `Content-Type`, which must contain the boundary.
    pub fn new(content_type: &str) -> Result<Self, Problem> {
        let boundary = boundary(content_type)
            .ok_or_else(|| Problem::invalid_form("its Content-Type must name a boundary of 1 to 70 characters"))?;
        // The first delimiter may be at the very beginning, without its line end. The buffer supplies that line end.
        Ok(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            state: ParserState::Preamble,
            buffer: b"\r\n".to_vec(),
        })
    }

    /// Parses the next bytes of the form, and calls `handle` with each event. An error of `handle` ends the parsing.
    pub fn feed(
        &mut self,
        segment: &[u8],
        mut handle: impl FnMut(MultipartEvent<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut at = 0;
        while at < segment.len() {
            at = match self.state {
                ParserState::Preamble | ParserState::Content => self.scan(segment, at, &mut handle)?,
                ParserState::AfterDelimiter => self.after_delimiter(segment[at], &mut handle).map(|()| at + 1)?,
                ParserState::Headers => self.headers(segment[at], &mut handle).map(|()| at + 1)?,
                ParserState::Epilogue => segment.len(),
            };
        }
        Ok(())
    }

    /// Returns whether the form has ended. A form that has not ended when its body ends is incomplete.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state == ParserState::Epilogue
    }

    /// Searches for the delimiter from the offset `at`. Returns the offset at which parsing continues.
    fn scan(
        &mut self,
        segment: &[u8],
        at: usize,
        handle: &mut impl FnMut(MultipartEvent<'_>) -> Result<(), Problem>,
    ) -> Result<usize, Problem> {
        let in_content = self.state == ParserState::Content;
        if !self.buffer.is_empty() {
            // The buffer contains the beginning of a possible delimiter: compare the rest.
            let expected = &self.delimiter[self.buffer.len()..];
            let compared = expected.len().min(segment.len() - at);
            if segment[at..at + compared] == expected[..compared] {
                self.buffer.extend_from_slice(&segment[at..at + compared]);
                if self.buffer.len() == self.delimiter.len() {
                    self.delimiter_found(handle)?;
                }
                return Ok(at + compared);
            }
            // This was not a delimiter. No other delimiter begins in the buffer, because a delimiter has a line end
            // only at its start.
            let held_back = std::mem::take(&mut self.buffer);
            if in_content {
                handle(MultipartEvent::Content(PartContent::HeldBack(&held_back)))?;
            }
        }
        let rest = &segment[at..];
        if let Some(length) = memmem::find(rest, &self.delimiter) {
            if in_content && length > 0 {
                handle(MultipartEvent::Content(PartContent::Segment(at, at + length)))?;
            }
            self.delimiter_found(handle)?;
            return Ok(at + length + self.delimiter.len());
        }
        let end = segment.len() - possible_delimiter_len(rest, &self.delimiter);
        if in_content && end > at {
            handle(MultipartEvent::Content(PartContent::Segment(at, end)))?;
        }
        self.buffer.extend_from_slice(&segment[end..]);
        Ok(segment.len())
    }

    fn delimiter_found(
        &mut self,
        handle: &mut impl FnMut(MultipartEvent<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        if self.state == ParserState::Content {
            handle(MultipartEvent::PartEnd)?;
        }
        self.state = ParserState::AfterDelimiter;
        self.buffer.clear();
        Ok(())
    }

    /// Parses a byte after a delimiter. A line end must follow, or two hyphens after the last delimiter.
    fn after_delimiter(
        &mut self,
        byte: u8,
        handle: &mut impl FnMut(MultipartEvent<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        const MAX_PADDING: usize = 128;
        self.buffer.push(byte);
        let padding = self.buffer.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match &self.buffer[padding..] {
            b"--" if padding == 0 => {
                self.buffer.clear();
                self.state = ParserState::Epilogue;
                handle(MultipartEvent::End)
            }
            b"\r\n" => {
                self.buffer.clear();
                self.state = ParserState::Headers;
                Ok(())
            }
            b"" | b"-" | b"\r" if padding <= MAX_PADDING => Ok(()),
            _ => Err(Problem::invalid_form("a boundary is followed by other text on its line")),
        }
    }

    /// Parses a byte of a part's headers.
    fn headers(
        &mut self,
        byte: u8,
        handle: &mut impl FnMut(MultipartEvent<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.buffer.push(byte);
        if self.buffer == b"\r\n" || self.buffer.ends_with(b"\r\n\r\n") {
            let headers = PartHeaders::parse(&self.buffer)?;
            self.buffer.clear();
            self.state = ParserState::Content;
            handle(MultipartEvent::Part(headers))
        } else if self.buffer.len() > MAX_HEADERS_LEN {
            Err(Problem::invalid_form("the headers of a part are longer than 16 KiB"))
        } else {
            Ok(())
        }
    }
}

/// Returns the number of bytes at the end of `bytes` that may be the beginning of the delimiter.
fn possible_delimiter_len(bytes: &[u8], delimiter: &[u8]) -> usize {
    let longest = bytes.len().min(delimiter.len() - 1);
    (1..=longest).rev().find(|length| bytes.ends_with(&delimiter[..*length])).unwrap_or(0)
}

impl PartHeaders {
    fn parse(headers: &[u8]) -> Result<Self, Problem> {
        let headers = String::from_utf8_lossy(headers);
        let (mut name, mut file_name) = (None, None);
        let mut part = Self::default();
        for line in headers.split("\r\n").filter(|line| !line.is_empty()) {
            let (field, value) =
                line.split_once(':').ok_or_else(|| Problem::invalid_form("a header of a part has no colon"))?;
            if field.eq_ignore_ascii_case("Content-Disposition") {
                for (parameter, value) in Parameters(value) {
                    match &*parameter.to_ascii_lowercase() {
                        "name" => name = Some(value),
                        "filename" => file_name = file_name.filter(|other: &String| !other.is_empty()).or(Some(value)),
                        // The charset and the language precede the file name (RFC 8187, 3.2).
                        "filename*" => {
                            let value = value.splitn(3, '\'').nth(2).unwrap_or(&value).to_owned();
                            file_name = file_name.filter(|other| !other.is_empty()).or(Some(value));
                        }
                        _ => {}
                    }
                }
            } else if field.eq_ignore_ascii_case("Content-Type") {
                part.content_type = Some(value.trim().to_owned());
            } else if field.eq_ignore_ascii_case("Content-Transfer-Encoding") {
                part.transfer_encoding = Some(value.trim().to_owned());
            }
        }
        part.is_file = file_name.is_some();
        part.file_name_is_empty = file_name.is_some_and(|name| name.is_empty());
        part.name = name.ok_or_else(|| Problem::invalid_form("a part has no name"))?;
        Ok(part)
    }

    /// Rejects a part that is encoded, for example as base64. Such parts are deprecated in forms (RFC 7578, 4.7), and
    /// the platform does not decode them. Other headers of a part are ignored (RFC 7578, 4.8).
    pub fn require_plain_bytes(&self) -> Result<(), Problem> {
        let plain = ["", "7bit", "8bit", "binary"];
        match &self.transfer_encoding {
            Some(encoding) if !plain.iter().any(|plain| encoding.eq_ignore_ascii_case(plain)) => {
                Err(Problem::invalid_form(&format!(
                    "`{}` has the Content-Transfer-Encoding {encoding}; send its bytes without encoding",
                    self.name
                )))
            }
            _ => Ok(()),
        }
    }

    /// Rejects a text field whose `Content-Type` has a charset other than UTF-8.
    pub fn require_utf8(&self) -> Result<(), Problem> {
        match &self.content_type {
            Some(content_type) if !is_utf8(content_type) => {
                Err(Problem::invalid_form(&format!("`{}` has the type {content_type}; send it as UTF-8", self.name)))
            }
            _ => Ok(()),
        }
    }
}

fn boundary(content_type: &str) -> Option<String> {
    let (_, boundary) = Parameters(content_type).find(|(name, _)| name.eq_ignore_ascii_case("boundary"))?;
    let visible = boundary.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !boundary.ends_with(' ');
    ((1..=MAX_BOUNDARY_LEN).contains(&boundary.len()) && visible).then_some(boundary)
}

#[cfg(test)]
mod tests {
    use super::{PartHeaders, boundary};

    #[test]
    fn boundaries_are_parsed() {
        let longest = "b".repeat(70);
        for (content_type, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("multipart/form-data;Boundary=\"a b\\\"c\"; charset=utf-8", Some("a b\"c")),
            ("multipart/form-data; charset=utf-8; boundary=----WebKit7; x", Some("----WebKit7")),
            (&format!("multipart/form-data; boundary={longest}"), Some(&*longest)),
            (&format!("multipart/form-data; boundary={longest}b"), None),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"a \"", None),
            ("multipart/form-data; boundary=é", None),
        ] {
            assert_eq!(boundary(content_type).as_deref(), expected, "{content_type}");
        }
    }

    /// Parses the headers of a part named `a`. `rest` follows the name.
    fn part_headers(rest: &str) -> PartHeaders {
        PartHeaders::parse(format!("Content-Disposition: form-data; name=\"a\"{rest}\r\n\r\n").as_bytes()).expect(rest)
    }

    #[test]
    fn empty_file_names_are_recognized() {
        for (parameters, is_file, is_empty) in [
            ("", false, false),
            ("; filename=\"f\"", true, false),
            ("; filename=\"\"", true, true),
            ("; filename=", true, true),
            ("; filename=\" \"", true, false),
            ("; filename*=UTF-8''", true, true),
            ("; filename*=UTF-8'en'%C3%BC", true, false),
            ("; filename*=f", true, false),
            ("; filename=\"\"; filename*=UTF-8''f", true, false),
            ("; filename*=UTF-8''; filename=\"f\"", true, false),
            ("; filename=\"f\"; filename*=UTF-8''", true, false),
        ] {
            let headers = part_headers(parameters);
            assert_eq!((headers.is_file, headers.file_name_is_empty), (is_file, is_empty), "{parameters}");
        }
    }

    #[test]
    fn encoded_parts_are_rejected() {
        for (encoding, accepted) in [
            ("binary", true),
            ("8BIT", true),
            ("7bit", true),
            ("", true),
            ("base64", false),
            ("Quoted-Printable", false),
        ] {
            let headers = part_headers(&format!("\r\nContent-Transfer-Encoding: {encoding}"));
            assert_eq!(headers.require_plain_bytes().is_ok(), accepted, "{encoding}");
        }
        for (content_type, accepted) in [
            ("text/plain", true),
            ("text/plain; charset=UTF-8", true),
            ("text/plain; charset=us-ascii", true),
            ("text/plain; charset=iso-8859-1", false),
            ("text/plain; charset=\"utf-16\"", false),
        ] {
            let headers = part_headers(&format!("\r\nContent-Type: {content_type}"));
            assert_eq!(headers.require_utf8().is_ok(), accepted, "{content_type}");
        }
        assert!(part_headers("").require_plain_bytes().is_ok() && part_headers("").require_utf8().is_ok());
    }
}
