//! `POST /files`: uploads a file in a form (`multipart/form-data`).

use js_sys::Uint8Array;
use shared::files::{FileHeaders, FileKey, FileStored};
use shared::http::{ContentType, FormParser, MultipartEvent, PartContent, PartHeaders, Problem, is_multipart_form};
use web_sys::Request;
use worker::Env;

use super::{PartsWriter, conditions};
use crate::bindings::FileStore;
use crate::body::{Chunks, content_length, read_all, require_content_type, sub_array};

/// The maximum length in bytes of a form that is read completely before it is parsed, which is faster for small forms.
const MAX_BUFFERED_LEN: u64 = 1024 * 1024;

/// Stores a form's `file` under its `key`. The form is parsed as it arrives, and the file is stored in parts, so it may
/// have any size. The file is visible only when the form has ended.
pub async fn upload_form(env: &Env, request: &Request) -> Result<FileStored, Problem> {
    let content_type = require_content_type(request, is_multipart_form, "multipart/form-data")?;
    let parser = FormParser::new(&content_type)?;
    let conditions = conditions(request);
    let files = FileStore::from_env(env)?;
    let length = content_length(request);
    let chunks = match length {
        Some(length) if length <= MAX_BUFFERED_LEN => {
            Chunks::from_bytes(read_all(request).await.map_err(|problem| invalid_form(&problem))?)
        }
        _ => Chunks::from_stream(request.body()),
    };
    let mut upload = FormUpload { file: PartsWriter::new(files, conditions, length), fields: FormFields::default() };
    let stored = upload.read(parser, chunks).await;
    if stored.is_err() {
        upload.file.abort().await;
    }
    stored
}

/// A form that is being read, and the file that is stored from it.
struct FormUpload {
    file: PartsWriter,
    fields: FormFields,
}

impl FormUpload {
    async fn read(&mut self, mut parser: FormParser, mut chunks: Chunks) -> Result<FileStored, Problem> {
        let mut bytes = Vec::new();
        while !parser.has_ended() {
            let Some(chunk) = chunks.next().await.map_err(|problem| invalid_form(&problem))? else {
                return Err(Problem::invalid_form("it ends before its closing boundary"));
            };
            bytes.resize(chunk.length() as usize, 0);
            chunk.copy_to(&mut bytes);
            // Events are collected first, because the parser is synchronous, and storing the file is not.
            let mut events = Vec::new();
            parser.feed(&bytes, |event| {
                events.push(OwnedEvent::from(event));
                Ok(())
            })?;
            for event in events {
                self.handle(event, &chunk, &bytes).await?;
            }
        }
        if !self.fields.has_file {
            return Err(Problem::invalid_form("a `file` is required"));
        }
        self.file.finish().await
    }

    /// Handles an event of a chunk. `bytes` is the chunk's copy in Wasm.
    async fn handle(&mut self, event: OwnedEvent, chunk: &Uint8Array, bytes: &[u8]) -> Result<(), Problem> {
        match event {
            OwnedEvent::Part(head) => {
                if let Some(headers) = self.fields.start(&head)? {
                    self.file.headers = headers;
                }
            }
            // The file's content is stored from the chunk outside Wasm.
            OwnedEvent::Segment(start, end) if self.fields.current == Field::File => {
                self.fields.file_is_missing = false;
                self.file.write(&sub_array(chunk, start, end)).await?;
            }
            OwnedEvent::HeldBack(bytes) if self.fields.current == Field::File => {
                self.fields.file_is_missing = false;
                self.file.write(&Uint8Array::from(&*bytes)).await?;
            }
            OwnedEvent::Segment(start, end) => self.fields.append(&bytes[start..end])?,
            OwnedEvent::HeldBack(bytes) => self.fields.append(&bytes)?,
            OwnedEvent::PartEnd => {
                if let Some(key) = self.fields.end()? {
                    self.file.key = Some(key);
                }
            }
            OwnedEvent::End => {}
        }
        Ok(())
    }
}

/// The fields of a form that have been read so far.
#[derive(Default)]
struct FormFields {
    has_key: bool,
    has_file: bool,
    /// Whether the `file` has no file name, and no content so far.
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

impl FormFields {
    /// Starts a field with its headers. For the `file`, returns the headers to store.
    fn start(&mut self, head: &PartHeaders) -> Result<Option<FileHeaders>, Problem> {
        let require_first = |seen: &mut bool, name: &str| {
            if std::mem::replace(seen, true) {
                return Err(Problem::invalid_form(&format!("`{name}` is in the form more than once; send it once")));
            }
            Ok(())
        };
        self.current = match (&*head.name, head.is_file) {
            ("key", true) => return Err(Problem::invalid_form("`key` must be a text field, not a file")),
            ("file", false) => return Err(Problem::invalid_form("`file` must be a file, not a text field")),
            ("key", false) => {
                require_first(&mut self.has_key, "key")?;
                Field::Key
            }
            ("file", true) => {
                require_first(&mut self.has_file, "file")?;
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

    /// Appends content to the key. The content of other fields is ignored.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        if self.current != Field::Key {
            return Ok(());
        }
        if self.key.len() + bytes.len() > FileKey::MAX_LEN {
            return Err(Problem::invalid_key_length(FileKey::MAX_LEN));
        }
        self.key.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends a field. Returns the key if the field was `key`.
    fn end(&mut self) -> Result<Option<FileKey>, Problem> {
        match self.current {
            Field::Key => FileKey::parse(std::mem::take(&mut self.key).into()).map(Some),
            // Browsers send such a field if no file was chosen.
            Field::File if self.file_is_missing => Err(Problem::invalid_form(
                "`file` has neither a file name nor content: choose a file; an empty file needs a file name",
            )),
            Field::File | Field::Other => Ok(None),
        }
    }
}

/// A [`MultipartEvent`] that does not borrow from the parser.
enum OwnedEvent {
    Part(PartHeaders),
    Segment(usize, usize),
    HeldBack(Vec<u8>),
    PartEnd,
    End,
}

impl From<MultipartEvent<'_>> for OwnedEvent {
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

/// Converts the problem for an incomplete body to one for an invalid form.
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
    fn a_key_in_several_pieces_is_joined() {
        let mut fields = FormFields::default();
        assert!(fields.start(&head("note", false)).expect("ignored").is_none());
        fields.append(b"ignored").expect("ignored");
        assert!(fields.end().expect("ignored").is_none());
        assert!(fields.start(&head("key", false)).expect("a key").is_none());
        fields.append(b"a/").expect("short");
        fields.append(b"b").expect("short");
        assert_eq!(fields.end().expect("valid").expect("a key").as_str(), "a/b");
        assert!(fields.start(&head("file", true)).expect("a file").is_some());
    }

    #[test]
    fn repeated_fields_and_wrong_field_types_are_refused() {
        for heads in [
            &[("key", true)][..],
            &[("file", false)],
            &[("key", false), ("key", false)],
            &[("file", true), ("file", true)],
        ] {
            let mut fields = FormFields::default();
            let refused = heads.iter().find_map(|(name, is_file)| fields.start(&head(name, *is_file)).err());
            assert_eq!(refused.map(|problem| problem.code().name()), Some("invalid_form"), "{heads:?}");
        }
    }

    #[test]
    fn fields_with_an_encoding_are_refused() {
        let base64 =
            |name: &str| PartHeaders { transfer_encoding: Some("base64".to_owned()), ..head(name, name == "file") };
        for name in ["key", "file"] {
            assert_eq!(FormFields::default().start(&base64(name)).expect_err(name).code().name(), "invalid_form");
        }
        assert!(FormFields::default().start(&base64("other")).expect("ignored").is_none());
        let latin = PartHeaders { content_type: Some("text/plain; charset=latin1".to_owned()), ..head("key", false) };
        assert_eq!(FormFields::default().start(&latin).expect_err("not UTF-8").code().name(), "invalid_form");
    }

    #[test]
    fn a_file_without_a_file_name_and_content_is_refused() {
        let unnamed = PartHeaders { file_name_is_empty: true, ..head("file", true) };
        let mut fields = FormFields::default();
        fields.start(&unnamed).expect("it may have content");
        assert_eq!(fields.end().expect_err("it has none").code().name(), "invalid_form");
        let mut fields = FormFields::default();
        fields.start(&head("file", true)).expect("a file");
        assert!(fields.end().expect("an empty file").is_none());
    }

    #[test]
    fn a_key_that_is_too_long_is_refused_before_it_is_buffered() {
        let mut fields = FormFields::default();
        fields.start(&head("key", false)).expect("a key");
        fields.append(&[b'a'; FileKey::MAX_LEN]).expect("not too long");
        assert_eq!(fields.append(b"a").expect_err("too long").code().name(), "invalid_key");
        assert_eq!(fields.key.len(), FileKey::MAX_LEN);
    }
}
