//! `POST /files`: a file in a form.

use js_sys::Uint8Array;
use shared::{Content, ContentType, Event, FileHeaders, FileKey, FormParser, PartHead, Problem, is_multipart_form};
use web_sys::Request;

use super::{PartsWriter, conditions};
use crate::bindings::r2;
use crate::body::{Pieces, content_length, require_type, sub_array, whole};

/// Up to this length a form is read in one piece, which is cheaper.
const SMALL: u64 = 1024 * 1024;

/// Stores a form's `file` under its `key`. The form is parsed as it arrives, and the file goes to R2 in parts, so that
/// it may be of any size; nothing is visible before the form's end.
pub async fn upload_form(request: &Request) -> Result<String, Problem> {
    let content_type = require_type(request, is_multipart_form, "multipart/form-data")?;
    let parser = FormParser::new(&content_type)?;
    let conditions = conditions(request);
    r2::FILES.require()?;
    let length = content_length(request);
    let pieces = match length {
        Some(length) if length <= SMALL => Pieces::whole(whole(request).await.map_err(|problem| in_form(&problem))?),
        _ => Pieces::of(request.body()),
    };
    let mut form = Form { file: PartsWriter::new(conditions, length), key: Vec::new(), seen: Seen::default() };
    let stored = form.read(parser, pieces).await;
    if stored.is_err() {
        form.file.abort().await;
    }
    stored
}

/// What is known of a form so far.
struct Form {
    file: PartsWriter,
    key: Vec<u8>,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    key: bool,
    file: bool,
    /// Whose content is being read.
    part: Part,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Part {
    Key,
    File,
    #[default]
    Other,
}

impl Form {
    async fn read(&mut self, mut parser: FormParser, mut pieces: Pieces) -> Result<String, Problem> {
        let mut text = Vec::new();
        while !parser.has_ended() {
            let Some(piece) = pieces.next().await.map_err(|problem| in_form(&problem))? else {
                return Err(Problem::invalid_form("it ends before its closing boundary"));
            };
            text.resize(piece.length() as usize, 0);
            piece.copy_to(&mut text);
            // The parser does not wait; what it sees may have to.
            let mut steps = Vec::new();
            parser.feed(&text, |event| {
                steps.push(Step::of(event));
                Ok(())
            })?;
            for step in steps {
                self.take(step, &piece, &text).await?;
            }
        }
        if !self.seen.file {
            return Err(Problem::invalid_form("a `file` is required"));
        }
        self.file.finish().await
    }

    async fn take(&mut self, step: Step, piece: &Uint8Array, text: &[u8]) -> Result<(), Problem> {
        match step {
            Step::Part(head) => self.begin(&head),
            Step::Segment(start, end) => match self.seen.part {
                // The file's bytes are handed on outside Wasm.
                Part::File => self.file.write(&sub_array(piece, start, end)).await,
                Part::Key => self.add_to_key(&text[start..end]),
                Part::Other => Ok(()),
            },
            Step::HeldBack(bytes) => match self.seen.part {
                Part::File => self.file.write(&Uint8Array::from(&*bytes)).await,
                Part::Key => self.add_to_key(&bytes),
                Part::Other => Ok(()),
            },
            Step::PartEnd => {
                if self.seen.part == Part::Key {
                    self.file.key = Some(FileKey::parse(std::mem::take(&mut self.key).into())?);
                }
                Ok(())
            }
            Step::End => Ok(()),
        }
    }

    fn begin(&mut self, head: &PartHead) -> Result<(), Problem> {
        let once = |seen: &mut bool, name: &str| {
            if std::mem::replace(seen, true) {
                return Err(Problem::invalid_form(&format!("`{name}` is there more than once")));
            }
            Ok(())
        };
        self.seen.part = match (&*head.name, head.is_file) {
            ("key", true) => return Err(Problem::invalid_form("`key` must be a text field, not a file")),
            ("file", false) => return Err(Problem::invalid_form("`file` must be a file, not a text field")),
            ("key", false) => {
                once(&mut self.seen.key, "key")?;
                Part::Key
            }
            ("file", true) => {
                once(&mut self.seen.file, "file")?;
                let content_type = ContentType::parse(head.content_type.as_deref().unwrap_or_default())?;
                self.file.headers = FileHeaders::of_type(content_type);
                Part::File
            }
            _ => Part::Other,
        };
        Ok(())
    }

    fn add_to_key(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        if self.key.len() + bytes.len() > FileKey::MAX_LEN {
            return Err(Problem::invalid_key_length(FileKey::MAX_LEN));
        }
        self.key.extend_from_slice(bytes);
        Ok(())
    }
}

/// An [`Event`] that does not borrow from the parser.
enum Step {
    Part(PartHead),
    Segment(usize, usize),
    HeldBack(Vec<u8>),
    PartEnd,
    End,
}

impl Step {
    fn of(event: Event<'_>) -> Self {
        match event {
            Event::Part(head) => Self::Part(head),
            Event::Content(Content::Segment(start, end)) => Self::Segment(start, end),
            Event::Content(Content::HeldBack(bytes)) => Self::HeldBack(bytes.to_vec()),
            Event::PartEnd => Self::PartEnd,
            Event::End => Self::End,
        }
    }
}

/// A form that breaks off is a bad form.
fn in_form(problem: &Problem) -> Problem {
    Problem::invalid_form(problem.detail())
}
