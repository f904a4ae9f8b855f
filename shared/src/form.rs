//! `multipart/form-data` (RFC 7578), parsed as it arrives: no input or output, no copy of a part's content, and no more
//! memory than a part's headers take, however large the form is.

use memchr::memmem;

use crate::Problem;

/// The longest headers of a part, in bytes.
const MAX_HEAD_LEN: usize = 16 * 1024;

/// The longest boundary, in characters (RFC 2046, 5.1.1).
const MAX_BOUNDARY_LEN: usize = 70;

/// What is next in a form.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A part begins.
    Part(PartHead),
    /// Some of its content.
    Content(Content<'a>),
    /// The part ends.
    PartEnd,
    /// The form ends; what follows means nothing.
    End,
}

/// Some of a part's content.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// These bytes of the segment that was fed last: where they start there, and where they end.
    Segment(usize, usize),
    /// Bytes of segments before it, held back because they might have been a boundary. They are few.
    HeldBack(&'a [u8]),
}

/// What a part's headers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    /// The field's name.
    pub name: String,
    /// Whether the part is a file, which is to say that it has a file name.
    pub is_file: bool,
    /// The file's `Content-Type`.
    pub content_type: Option<String>,
}

/// Parses a form whose bytes are fed to it in segments of any size.
#[derive(Debug)]
pub struct FormParser {
    /// A line end, two hyphens and the boundary.
    delimiter: Vec<u8>,
    state: State,
    /// Bytes that belong to no event yet.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    AfterDelimiter,
    Head,
    Content,
    Epilogue,
}

impl FormParser {
    /// Starts a form, whose `Content-Type` names its boundary.
    pub fn new(content_type: &str) -> Result<Self, Problem> {
        let boundary = boundary(content_type)
            .ok_or_else(|| Problem::invalid_form("its Content-Type must name a boundary of 1 to 70 characters"))?;
        // The first boundary may stand at the very beginning, without the line end that belongs to all others.
        Ok(Self { delimiter: format!("\r\n--{boundary}").into_bytes(), state: State::Preamble, held: b"\r\n".to_vec() })
    }

    /// Takes the next bytes, and tells `see` what they hold.
    pub fn feed(
        &mut self,
        segment: &[u8],
        mut see: impl FnMut(Event<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut at = 0;
        while at < segment.len() {
            at = match self.state {
                State::Preamble | State::Content => self.scan(segment, at, &mut see)?,
                State::AfterDelimiter => self.after_delimiter(segment[at], &mut see).map(|()| at + 1)?,
                State::Head => self.head(segment[at], &mut see).map(|()| at + 1)?,
                State::Epilogue => segment.len(),
            };
        }
        Ok(())
    }

    /// Whether the form has ended. One that has not when there are no more bytes was broken off.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state == State::Epilogue
    }

    /// Looks for the delimiter from `at` on, and answers where to go on.
    fn scan(
        &mut self,
        segment: &[u8],
        at: usize,
        see: &mut impl FnMut(Event<'_>) -> Result<(), Problem>,
    ) -> Result<usize, Problem> {
        let content = self.state == State::Content;
        if !self.held.is_empty() {
            // The bytes that were held back are the delimiter's beginning as far as they go: go on comparing.
            let wanted = &self.delimiter[self.held.len()..];
            let compared = wanted.len().min(segment.len() - at);
            if segment[at..at + compared] == wanted[..compared] {
                self.held.extend_from_slice(&segment[at..at + compared]);
                if self.held.len() == self.delimiter.len() {
                    self.delimiter_found(see)?;
                }
                return Ok(at + compared);
            }
            // They were not. Nor does one begin within them: a boundary has no line end but the one it begins with.
            let held = std::mem::take(&mut self.held);
            if content {
                see(Event::Content(Content::HeldBack(&held)))?;
            }
        }
        let rest = &segment[at..];
        if let Some(found) = memmem::find(rest, &self.delimiter) {
            if content && found > 0 {
                see(Event::Content(Content::Segment(at, at + found)))?;
            }
            self.delimiter_found(see)?;
            return Ok(at + found + self.delimiter.len());
        }
        let held = longest_beginning(rest, &self.delimiter);
        let end = segment.len() - held;
        if content && end > at {
            see(Event::Content(Content::Segment(at, end)))?;
        }
        self.held.extend_from_slice(&segment[end..]);
        Ok(segment.len())
    }

    fn delimiter_found(&mut self, see: &mut impl FnMut(Event<'_>) -> Result<(), Problem>) -> Result<(), Problem> {
        if self.state == State::Content {
            see(Event::PartEnd)?;
        }
        self.state = State::AfterDelimiter;
        self.held.clear();
        Ok(())
    }

    /// After a delimiter comes the end of its line, or two hyphens if it was the last.
    fn after_delimiter(
        &mut self,
        byte: u8,
        see: &mut impl FnMut(Event<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        const MAX_PADDING: usize = 128;
        self.held.push(byte);
        let padding = self.held.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match &self.held[padding..] {
            b"--" if padding == 0 => {
                self.held.clear();
                self.state = State::Epilogue;
                see(Event::End)
            }
            b"\r\n" => {
                self.held.clear();
                self.state = State::Head;
                Ok(())
            }
            b"" | b"-" | b"\r" if padding <= MAX_PADDING => Ok(()),
            _ => Err(Problem::invalid_form("a boundary is not alone in its line")),
        }
    }

    fn head(&mut self, byte: u8, see: &mut impl FnMut(Event<'_>) -> Result<(), Problem>) -> Result<(), Problem> {
        self.held.push(byte);
        if self.held == b"\r\n" || self.held.ends_with(b"\r\n\r\n") {
            let head = PartHead::parse(&self.held)?;
            self.held.clear();
            self.state = State::Content;
            see(Event::Part(head))
        } else if self.held.len() > MAX_HEAD_LEN {
            Err(Problem::invalid_form("the headers of a part are longer than 16 KiB"))
        } else {
            Ok(())
        }
    }
}

/// How many of the last bytes may be the beginning of `delimiter`.
fn longest_beginning(bytes: &[u8], delimiter: &[u8]) -> usize {
    let longest = bytes.len().min(delimiter.len() - 1);
    (1..=longest).rev().find(|length| bytes.ends_with(&delimiter[..*length])).unwrap_or(0)
}

impl PartHead {
    fn parse(head: &[u8]) -> Result<Self, Problem> {
        let head = String::from_utf8_lossy(head);
        let mut name = None;
        let mut part = Self::default();
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            let (field, value) =
                line.split_once(':').ok_or_else(|| Problem::invalid_form("a header of a part has no colon"))?;
            if field.eq_ignore_ascii_case("Content-Disposition") {
                for (parameter, value) in Parameters(value) {
                    match &*parameter.to_ascii_lowercase() {
                        "name" => name = Some(value),
                        "filename" | "filename*" => part.is_file = true,
                        _ => {}
                    }
                }
            } else if field.eq_ignore_ascii_case("Content-Type") {
                part.content_type = Some(value.trim().to_owned());
            }
        }
        part.name = name.ok_or_else(|| Problem::invalid_form("a part has no name"))?;
        Ok(part)
    }
}

fn boundary(content_type: &str) -> Option<String> {
    let (_, boundary) = Parameters(content_type).find(|(name, _)| name.eq_ignore_ascii_case("boundary"))?;
    let visible = boundary.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !boundary.ends_with(' ');
    ((1..=MAX_BOUNDARY_LEN).contains(&boundary.len()) && visible).then_some(boundary)
}

/// The parameters of a header's value (RFC 9110, 5.6.6): `; name=value` or `; name="value"`, where a backslash quotes a
/// quotation mark or itself.
struct Parameters<'a>(&'a str);

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a str, String);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // What stands before the first semicolon is no parameter.
            let (_, rest) = self.0.split_once(';')?;
            self.0 = rest;
            let end = rest.find([';', '=']).unwrap_or(rest.len());
            let Some(value) = rest[end..].strip_prefix('=') else { continue };
            let name = rest[..end].trim();
            let value = value.trim_start();
            if let Some(quoted) = value.strip_prefix('"') {
                let (text, rest) = unquote(quoted);
                self.0 = rest;
                return Some((name, text));
            }
            let end = value.find(';').unwrap_or(value.len());
            self.0 = &value[end..];
            return Some((name, value[..end].trim_end().to_owned()));
        }
    }
}

/// The text up to the closing quotation mark, and what follows.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (text, &quoted[at + 1..]),
            '\\' if quoted[at + 1..].starts_with(['"', '\\']) => text.extend(characters.next().map(|(_, next)| next)),
            _ => text.push(character),
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::boundary;

    #[test]
    fn boundaries_as_headers_have_them() {
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
}
