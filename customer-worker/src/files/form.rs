//! `POST /files`: a file in a form.

use js_sys::Uint8Array;
use shared::files::{FileHeaders, FileKey, FileStored};
use shared::http::{ContentType, FormParser, MultipartEvent, PartContent, PartHeaders, Problem, is_multipart_form};
use web_sys::Request;
use worker::Env;

use super::{PartsWriter, conditions};
use crate::bindings::FileStore;
use crate::body::{Chunks, content_length, read_whole, require_type, sub_array};

/// A form of at most this many bytes is read in one piece, which is cheaper.
const SMALL: u64 = 1024 * 1024;

/// Stores a form's `file` under its `key`. The form is parsed as it arrives, and the file goes to R2 in parts, so that it
/// may be of any size. Nothing is visible before the form's end.
pub async fn upload_form(env: &Env, request: &Request) -> Result<FileStored, Problem> {
    let content_type = require_type(request, is_multipart_form, "multipart/form-data")?;
    let parser = FormParser::new(&content_type)?;
    let conditions = conditions(request);
    let files = FileStore::from_env(env)?;
    let length = content_length(request);
    let chunks = match length {
        Some(length) if length <= SMALL => {
            Chunks::whole(read_whole(request).await.map_err(|problem| invalid_form(&problem))?)
        }
        _ => Chunks::of(request.body()),
    };
    let mut form = Form { file: PartsWriter::new(files, conditions, length), fields: Fields::default() };
    let stored = form.read(parser, chunks).await;
    if stored.is_err() {
        form.file.abort().await;
    }
    stored
}

/// A form that is being read.
struct Form {
    file: PartsWriter,
    fields: Fields,
}

impl Form {
    async fn read(&mut self, mut parser: FormParser, mut chunks: Chunks) -> Result<FileStored, Problem> {
        let mut text = Vec::new();
        while !parser.has_ended() {
            let Some(chunk) = chunks.next().await.map_err(|problem| invalid_form(&problem))? else {
                return Err(Problem::invalid_form("it ends before its closing boundary"));
            };
            text.resize(chunk.length() as usize, 0);
            chunk.copy_to(&mut text);
            // The parser is synchronous, and storing what it finds is not.
            let mut events = Vec::new();
            parser.feed(&text, |event| {
                events.push(FormEvent::from(event));
                Ok(())
            })?;
            for event in events {
                self.handle(event, &chunk, &text).await?;
            }
        }
        if !self.fields.has_file {
            return Err(Problem::invalid_form("a `file` is required"));
        }
        self.file.finish().await
    }

    async fn handle(&mut self, event: FormEvent, chunk: &Uint8Array, text: &[u8]) -> Result<(), Problem> {
        match event {
            FormEvent::Part(head) => {
                if let Some(headers) = self.fields.start(&head)? {
                    self.file.headers = headers;
                }
            }
            // The file's bytes are passed on outside Wasm.
            FormEvent::Segment(start, end) if self.fields.current == Field::File => {
                self.fields.file_is_missing = false;
                self.file.write(&sub_array(chunk, start, end)).await?;
            }
            FormEvent::HeldBack(bytes) if self.fields.current == Field::File => {
                self.fields.file_is_missing = false;
                self.file.write(&Uint8Array::from(&*bytes)).await?;
            }
            FormEvent::Segment(start, end) => self.fields.add(&text[start..end])?,
            FormEvent::HeldBack(bytes) => self.fields.add(&bytes)?,
            FormEvent::PartEnd => {
                if let Some(key) = self.fields.end()? {
                    self.file.key = Some(key);
                }
            }
            FormEvent::End => {}
        }
        Ok(())
    }
}

/// The fields of a form that have been seen so far.
#[derive(Default)]
struct Fields {
    has_key: bool,
    has_file: bool,
    /// The file has no name, and no content so far.
    file_is_missing: bool,
    /// The field whose content is being read.
    current: Field,
    key: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Field {
    Key,
    File,
    #[default]
    Other,
}

impl Fields {
    /// Takes the head of a field. Returns the headers of the `file`.
    fn start(&mut self, head: &PartHeaders) -> Result<Option<FileHeaders>, Problem> {
        let once = |seen: &mut bool, name: &str| {
            if std::mem::replace(seen, true) {
                return Err(Problem::invalid_form(&format!("`{name}` is there more than once")));
            }
            Ok(())
        };
        self.current = match (&*head.name, head.is_file) {
            ("key", true) => return Err(Problem::invalid_form("`key` must be a text field, not a file")),
            ("file", false) => return Err(Problem::invalid_form("`file` must be a file, not a text field")),
            ("key", false) => {
                once(&mut self.has_key, "key")?;
                Field::Key
            }
            ("file", true) => {
                once(&mut self.has_file, "file")?;
                Field::File
            }
            _ => Field::Other,
        };
        match self.current {
            Field::Other => return Ok(None),
            Field::Key => {
                head.require_plain_bytes()?;
                head.require_utf8()?;
                return Ok(None);
            }
            Field::File => head.require_plain_bytes()?,
        }
        self.file_is_missing = head.file_name_is_empty;
        let content_type = ContentType::parse(head.content_type.as_deref().unwrap_or_default())?;
        Ok(Some(FileHeaders::with_content_type(content_type)))
    }

    /// Takes content of a field that is not the file.
    fn add(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        if self.current != Field::Key {
            return Ok(());
        }
        if self.key.len() + bytes.len() > FileKey::MAX_LEN {
            return Err(Problem::invalid_key_length(FileKey::MAX_LEN));
        }
        self.key.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends a field. Returns the key if that was it.
    fn end(&mut self) -> Result<Option<FileKey>, Problem> {
        match self.current {
            Field::Key => FileKey::parse(std::mem::take(&mut self.key).into()).map(Some),
            // What browsers send for a file that was not chosen.
            Field::File if self.file_is_missing => Err(Problem::invalid_form(
                "`file` has neither a name nor content, as if none was chosen; an empty file needs a name",
            )),
            Field::File | Field::Other => Ok(None),
        }
    }
}

/// A [`MultipartEvent`] that does not borrow from the parser.
enum FormEvent {
    Part(PartHeaders),
    Segment(usize, usize),
    HeldBack(Vec<u8>),
    PartEnd,
    End,
}

impl From<MultipartEvent<'_>> for FormEvent {
    fn from(event: MultipartEvent<'_>) -> Self {
        match event {
            MultipartEvent::Part(head) => Self::Part(head),
            MultipartEvent::Content(PartContent::Segment(start, end)) => Self::Segment(start, end),
            MultipartEvent::Content(PartContent::HeldBack(bytes)) => Self::HeldBack(bytes.to_vec()),
            MultipartEvent::PartEnd => Self::PartEnd,
            MultipartEvent::End => Self::End,
        }
    }
}

/// A form whose body breaks off is an invalid form.
fn invalid_form(problem: &Problem) -> Problem {
    Problem::invalid_form(problem.detail())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &str, is_file: bool) -> PartHeaders {
        PartHeaders { name: name.to_owned(), is_file, ..PartHeaders::default() }
    }

    #[test]
    fn a_key_is_put_together_from_its_pieces() {
        let mut fields = Fields::default();
        assert!(fields.start(&head("note", false)).expect("ignored").is_none());
        fields.add(b"ignored").expect("ignored");
        assert!(fields.end().expect("ignored").is_none());
        assert!(fields.start(&head("key", false)).expect("a key").is_none());
        fields.add(b"a/").expect("short");
        fields.add(b"b").expect("short");
        assert_eq!(fields.end().expect("valid").expect("a key").as_str(), "a/b");
        assert!(fields.start(&head("file", true)).expect("a file").is_some());
    }

    #[test]
    fn fields_that_are_repeated_or_of_the_wrong_kind_are_refused() {
        for heads in [
            &[("key", true)][..],
            &[("file", false)],
            &[("key", false), ("key", false)],
            &[("file", true), ("file", true)],
        ] {
            let mut fields = Fields::default();
            let refused = heads.iter().find_map(|(name, is_file)| fields.start(&head(name, *is_file)).err());
            assert_eq!(refused.map(|problem| problem.code().name()), Some("invalid_form"), "{heads:?}");
        }
    }

    #[test]
    fn fields_that_would_have_to_be_decoded_are_refused() {
        let base64 =
            |name: &str| PartHeaders { transfer_encoding: Some("base64".to_owned()), ..head(name, name == "file") };
        for name in ["key", "file"] {
            assert_eq!(Fields::default().start(&base64(name)).expect_err(name).code().name(), "invalid_form");
        }
        assert!(Fields::default().start(&base64("other")).expect("ignored").is_none());
        let latin = PartHeaders { content_type: Some("text/plain; charset=latin1".to_owned()), ..head("key", false) };
        assert_eq!(Fields::default().start(&latin).expect_err("not UTF-8").code().name(), "invalid_form");
    }

    #[test]
    fn a_file_without_name_and_content_was_not_chosen() {
        let unnamed = PartHeaders { file_name_is_empty: true, ..head("file", true) };
        let mut fields = Fields::default();
        fields.start(&unnamed).expect("it may have content");
        assert_eq!(fields.end().expect_err("it has none").code().name(), "invalid_form");
        let mut fields = Fields::default();
        fields.start(&head("file", true)).expect("a file");
        assert!(fields.end().expect("an empty file").is_none());
    }

    #[test]
    fn a_key_that_is_too_long_is_refused_before_it_is_held() {
        let mut fields = Fields::default();
        fields.start(&head("key", false)).expect("a key");
        fields.add(&[b'a'; FileKey::MAX_LEN]).expect("as long as it may be");
        assert_eq!(fields.add(b"a").expect_err("too long").code().name(), "invalid_key");
        assert_eq!(fields.key.len(), FileKey::MAX_LEN);
    }
}
