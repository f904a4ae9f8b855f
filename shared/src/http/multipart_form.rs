//! `multipart/form-data` (RFC 7578), parsed as it arrives: no input or output, no copy of a part's content, and no more
//! memory than a part's headers take, however large the form is.

use memchr::memmem;

use super::header_parameters::Parameters;
use super::media_type::is_utf8;
use super::problem::Problem;

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
    /// Whether that name is empty. Without content such a part says that no file was chosen
    /// (<https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#constructing-the-form-data-set>).
    pub file_name_is_empty: bool,
    /// The part's `Content-Type`.
    pub content_type: Option<String>,
    /// The part's `Content-Transfer-Encoding`.
    pub transfer_encoding: Option<String>,
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
        let (mut name, mut file_name) = (None, None);
        let mut part = Self::default();
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            let (field, value) =
                line.split_once(':').ok_or_else(|| Problem::invalid_form("a header of a part has no colon"))?;
            if field.eq_ignore_ascii_case("Content-Disposition") {
                for (parameter, value) in Parameters(value) {
                    match &*parameter.to_ascii_lowercase() {
                        "name" => name = Some(value),
                        "filename" => file_name = file_name.filter(|other: &String| !other.is_empty()).or(Some(value)),
                        // The name stands behind its charset and its language (RFC 8187, 3.2).
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

    /// Refuses a part whose bytes are not its content as it is, but base64 or the like: forms have no such parts any more
    /// (RFC 7578, 4.7), and nobody decodes them. Other headers of a part that are not the form's own mean nothing
    /// (RFC 7578, 4.8).
    pub fn require_plain_bytes(&self) -> Result<(), Problem> {
        let plain = ["", "7bit", "8bit", "binary"];
        match &self.transfer_encoding {
            Some(encoding) if !plain.iter().any(|plain| encoding.eq_ignore_ascii_case(plain)) => {
                Err(Problem::invalid_form(&format!(
                    "`{}` has the Content-Transfer-Encoding {encoding}; send its bytes as they are",
                    self.name
                )))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a text field that is not UTF-8 by its own account.
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
    use super::{PartHead, boundary};

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

    fn head(headers: &str) -> PartHead {
        PartHead::parse(format!("Content-Disposition: form-data; name=\"a\"{headers}\r\n\r\n").as_bytes())
            .expect(headers)
    }

    #[test]
    fn a_file_without_a_name_is_told_from_others() {
        for (headers, is_file, is_empty) in [
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
            let head = head(headers);
            assert_eq!((head.is_file, head.file_name_is_empty), (is_file, is_empty), "{headers}");
        }
    }

    #[test]
    fn parts_that_would_have_to_be_decoded_are_refused() {
        for (encoding, taken) in [
            ("binary", true),
            ("8BIT", true),
            ("7bit", true),
            ("", true),
            ("base64", false),
            ("Quoted-Printable", false),
        ] {
            let head = head(&format!("\r\nContent-Transfer-Encoding: {encoding}"));
            assert_eq!(head.require_plain_bytes().is_ok(), taken, "{encoding}");
        }
        for (content_type, taken) in [
            ("text/plain", true),
            ("text/plain; charset=UTF-8", true),
            ("text/plain; charset=us-ascii", true),
            ("text/plain; charset=iso-8859-1", false),
            ("text/plain; charset=\"utf-16\"", false),
        ] {
            assert_eq!(
                head(&format!("\r\nContent-Type: {content_type}")).require_utf8().is_ok(),
                taken,
                "{content_type}"
            );
        }
        assert!(head("").require_plain_bytes().is_ok() && head("").require_utf8().is_ok());
    }
}
