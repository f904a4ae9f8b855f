//! Stores a file whose length is known only at its end: a small one in one piece, a larger one in parts.

use js_sys::Uint8Array;
use shared::files::{FileHeaders, FileKey, FileStored, UploadedPart, multipart_upload};
use shared::http::{Preconditions, Problem};
use wasm_bindgen::JsValue;

use super::{store, stored_response};
use crate::bindings::{FileStore, MultipartUpload, PendingPart, PutResult, WriteCondition};
use crate::body::sub_array;

/// R2's smallest part, in bytes (<https://developers.cloudflare.com/r2/platform/limits/>). Two are held of a file: the part
/// that is being filled and the one that is being stored.
const MIN_PART_LEN: u64 = 5 * 1024 * 1024;

/// Takes a file's bytes one after another, and sends them to R2 in parts of equal length.
///
/// Nothing is visible before [`PartsWriter::finish`]. A writer that fails must be [`abort`](PartsWriter::abort)ed, or R2
/// keeps its parts for days.
pub struct PartsWriter {
    /// Where the file goes. It is needed when the first part is full.
    pub key: Option<FileKey>,
    /// What is stored with it.
    pub headers: FileHeaders,
    files: FileStore,
    conditions: Preconditions,
    part_len: u32,
    /// How many bytes may still come, without those that `held` has room for.
    rest: u64,
    held: Held,
    upload: Option<Upload>,
    /// How many parts were sent.
    sent: u16,
}

/// Bytes that were not sent yet.
enum Held {
    Nothing,
    /// As they came. Most files are one piece.
    Piece(Uint8Array),
    /// A buffer, and how much of it is filled.
    Buffer(Uint8Array, u32),
}

/// The multipart upload.
struct Upload {
    multipart: MultipartUpload,
    pending: Option<PendingPart>,
    parts: Vec<UploadedPart>,
}

impl Upload {
    /// Sends a part, once the one before is stored.
    async fn send(&mut self, number: u16, part: JsValue) -> Result<(), Problem> {
        self.finish_pending().await?;
        self.pending = Some(self.multipart.send(number, part)?);
        Ok(())
    }

    async fn finish_pending(&mut self) -> Result<(), Problem> {
        if let Some(part) = self.pending.take() {
            self.parts.push(part.finish().await?);
        }
        Ok(())
    }

    async fn complete(&mut self) -> Result<PutResult, Problem> {
        self.finish_pending().await?;
        self.multipart.complete(&self.parts).await
    }
}

impl PartsWriter {
    /// Starts a file of at most `max_len` bytes, if that is known.
    pub fn new(files: FileStore, conditions: Preconditions, max_len: Option<u64>) -> Self {
        Self {
            key: None,
            headers: FileHeaders::default(),
            files,
            conditions,
            part_len: part_len(max_len),
            rest: max_len.unwrap_or(u64::MAX),
            held: Held::Nothing,
            upload: None,
            sent: 0,
        }
    }

    /// Takes the next bytes. They must not change afterwards.
    pub async fn write(&mut self, bytes: &Uint8Array) -> Result<(), Problem> {
        let mut rest = bytes.clone();
        while rest.length() > 0 {
            rest = self.hold(rest);
            if let Held::Buffer(buffer, filled) = &self.held
                && *filled == self.part_len
            {
                let part = buffer.clone();
                self.held = Held::Nothing;
                self.send(part).await?;
            }
        }
        Ok(())
    }

    /// A buffer for a part, or for all that may still come. It is not larger than needed, because the runtime clears it.
    fn buffer(&mut self) -> Uint8Array {
        let length = self.rest.min(self.part_len.into());
        self.rest -= length;
        Uint8Array::new_with_length(u32::try_from(length).expect("a part is shorter than 4 GiB"))
    }

    /// Holds as much as a part has room for. Returns the rest.
    fn hold(&mut self, bytes: Uint8Array) -> Uint8Array {
        let (buffer, filled) = match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing if bytes.length() < self.part_len => {
                self.held = Held::Piece(bytes);
                return Uint8Array::new_with_length(0);
            }
            Held::Nothing => (self.buffer(), 0),
            Held::Piece(piece) => {
                let buffer = self.buffer();
                buffer.set(&piece, 0);
                (buffer, piece.length())
            }
            Held::Buffer(buffer, filled) => (buffer, filled),
        };
        let taken = bytes.length().min(self.part_len - filled);
        buffer.set(&bytes.subarray(0, taken), filled);
        self.held = Held::Buffer(buffer, filled + taken);
        bytes.subarray(taken, bytes.length())
    }

    async fn send(&mut self, part: Uint8Array) -> Result<(), Problem> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(start(&self.files, self.key.as_ref(), &self.headers, &self.conditions).await?),
        };
        self.sent += 1;
        if self.sent > multipart_upload::MAX_PARTS {
            let limit = u64::from(self.part_len) * u64::from(multipart_upload::MAX_PARTS);
            return Err(Problem::too_large("a file", limit));
        }
        upload.send(self.sent, part.into()).await
    }

    /// Makes the file.
    pub async fn finish(&mut self) -> Result<FileStored, Problem> {
        let key = self.key.clone().ok_or_else(Problem::missing_key)?;
        let last = match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => None,
            Held::Piece(piece) => Some(piece),
            Held::Buffer(buffer, filled) => Some(sub_array(&buffer, 0, filled as usize)),
        };
        if self.upload.is_none() {
            let content = last.map_or_else(|| "".into(), JsValue::from);
            let condition = WriteCondition::new(&self.conditions)?;
            return store(&self.files, &key, content, &self.headers, &condition).await;
        }
        if let Some(last) = last {
            self.send(last).await?;
        }
        let stored = self.upload.as_mut().expect("it was started").complete().await?;
        self.upload = None;
        Ok(stored_response(stored, &key, &self.headers))
    }

    /// Gives up. An older file remains, and R2 deletes the parts.
    pub async fn abort(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            // A part that is still being stored would keep the upload alive. Whether it is stored does not matter.
            drop(upload.finish_pending().await);
            if let Err(problem) = upload.multipart.abort().await {
                edge::log_problem(&problem, "");
            }
        }
    }
}

async fn start(
    files: &FileStore,
    key: Option<&FileKey>,
    headers: &FileHeaders,
    conditions: &Preconditions,
) -> Result<Upload, Problem> {
    let key = key.ok_or_else(Problem::key_after_file)?;
    if !conditions.is_empty() {
        return Err(Problem::condition_not_supported());
    }
    Ok(Upload { multipart: files.create_upload(key, headers).await?, pending: None, parts: Vec::new() })
}

/// The length of a file's parts, in bytes. R2 takes 10,000 parts, so those of a very large file are longer. A file of
/// unknown length may have 48 GiB.
fn part_len(max_len: Option<u64>) -> u32 {
    let needed = max_len.unwrap_or_default().div_ceil(u64::from(multipart_upload::MAX_PARTS));
    u32::try_from(needed.max(MIN_PART_LEN)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_length_fits_into_the_parts_that_r2_takes() {
        const GIB: u64 = 1024 * 1024 * 1024;
        for max_len in [None, Some(0), Some(MIN_PART_LEN * 10_000)] {
            assert_eq!(u64::from(part_len(max_len)), MIN_PART_LEN, "{max_len:?}");
        }
        for max_len in [MIN_PART_LEN * 10_000 + 1, 500 * GIB, 4995 * GIB] {
            let part_len = u64::from(part_len(Some(max_len)));
            assert!(part_len * 10_000 >= max_len && (part_len - 1) * 10_000 < max_len, "{max_len}: {part_len}");
        }
    }
}
