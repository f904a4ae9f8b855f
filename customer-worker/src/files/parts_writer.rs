//! Stores a file whose length is not known in advance: a small file with one `put`, a larger file in parts.

use js_sys::Uint8Array;
use shared::files::{FileHeaders, FileKey, FileStored, UploadedPart, multipart_upload};
use shared::http::{Preconditions, Problem};
use wasm_bindgen::JsValue;

use super::{store, stored_response};
use crate::bindings::{FileStore, MultipartUpload, PendingPart, PutResult, WriteCondition};
use crate::body::sub_array;

/// R2's minimum length of a part, in bytes (<https://developers.cloudflare.com/r2/platform/limits/>). A writer holds at
/// most two parts in memory: the one that is being filled and the one that is being stored.
const MIN_PART_LEN: u64 = 5 * 1024 * 1024;

/// Receives a file's bytes one chunk after another, and sends them to R2 in parts of equal length.
///
/// The file is visible only after [`PartsWriter::finish`]. A writer that fails must be [`abort`](PartsWriter::abort)ed;
/// otherwise R2 stores its parts for seven days.
pub struct PartsWriter {
    /// The file's key. It must be set before the first part is full.
    pub key: Option<FileKey>,
    /// The headers that are stored with the file.
    pub headers: FileHeaders,
    files: FileStore,
    conditions: Preconditions,
    part_len: u32,
    /// The maximum number of bytes for which no buffer has been allocated yet.
    unallocated: u64,
    unsent: Unsent,
    upload: Option<ActiveUpload>,
    /// The number of parts that have been sent.
    parts_sent: u16,
}

/// The bytes that have not been sent yet.
enum Unsent {
    Nothing,
    /// One chunk, not copied. Most files have only one.
    Chunk(Uint8Array),
    /// A buffer for a part, and the number of bytes in it.
    Buffer(Uint8Array, u32),
}

impl PartsWriter {
    /// Creates a writer for a file of at most `max_len` bytes. `None` means that the length is unknown.
    pub fn new(files: FileStore, conditions: Preconditions, max_len: Option<u64>) -> Self {
        Self {
            key: None,
            headers: FileHeaders::default(),
            files,
            conditions,
            part_len: part_len(max_len),
            unallocated: max_len.unwrap_or(u64::MAX),
            unsent: Unsent::Nothing,
            upload: None,
            parts_sent: 0,
        }
    }

    /// Writes the next bytes. The caller must not change them afterwards.
    pub async fn write(&mut self, bytes: &Uint8Array) -> Result<(), Problem> {
        let mut rest = bytes.clone();
        while rest.length() > 0 {
            rest = self.fill_part(rest);
            if let Unsent::Buffer(buffer, filled) = &self.unsent
                && *filled == self.part_len
            {
                let part = buffer.clone();
                self.unsent = Unsent::Nothing;
                self.send(part).await?;
            }
        }
        Ok(())
    }

    /// Creates the file from all bytes that have been written. A file that fits into one part is stored with one `put`.
    pub async fn finish(&mut self) -> Result<FileStored, Problem> {
        let key = self.key.clone().ok_or_else(Problem::missing_key)?;
        let last = match std::mem::replace(&mut self.unsent, Unsent::Nothing) {
            Unsent::Nothing => None,
            Unsent::Chunk(chunk) => Some(chunk),
            Unsent::Buffer(buffer, filled) => Some(sub_array(&buffer, 0, filled as usize)),
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

    /// Discards the bytes that have been written. R2 deletes the parts, and an older file stays unchanged.
    pub async fn abort(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            // Waits for the part that is being stored, which would otherwise keep the upload alive. Its result is
            // ignored.
            drop(upload.finish_pending().await);
            if let Err(problem) = upload.multipart.abort().await {
                edge::log_problem(&problem, "");
            }
        }
    }

    /// Adds bytes to the current part, up to its length. Returns the bytes that did not fit.
    fn fill_part(&mut self, bytes: Uint8Array) -> Uint8Array {
        let (buffer, filled) = match std::mem::replace(&mut self.unsent, Unsent::Nothing) {
            Unsent::Nothing if bytes.length() < self.part_len => {
                self.unsent = Unsent::Chunk(bytes);
                return Uint8Array::new_with_length(0);
            }
            Unsent::Nothing => (self.allocate(), 0),
            Unsent::Chunk(chunk) => {
                let buffer = self.allocate();
                buffer.set(&chunk, 0);
                (buffer, chunk.length())
            }
            Unsent::Buffer(buffer, filled) => (buffer, filled),
        };
        let added = bytes.length().min(self.part_len - filled);
        buffer.set(&bytes.subarray(0, added), filled);
        self.unsent = Unsent::Buffer(buffer, filled + added);
        bytes.subarray(added, bytes.length())
    }

    /// Allocates a buffer for a part, or for the rest of the file if that is shorter, because the runtime takes time to
    /// zero a buffer.
    fn allocate(&mut self) -> Uint8Array {
        let length = self.unallocated.min(self.part_len.into());
        self.unallocated -= length;
        Uint8Array::new_with_length(u32::try_from(length).expect("a part is shorter than 4 GiB"))
    }

    /// Sends a part. Starts the multipart upload if this is the first part.
    async fn send(&mut self, part: Uint8Array) -> Result<(), Problem> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                none.insert(ActiveUpload::start(&self.files, self.key.as_ref(), &self.headers, &self.conditions).await?)
            }
        };
        self.parts_sent += 1;
        if self.parts_sent > multipart_upload::MAX_PARTS {
            let limit = u64::from(self.part_len) * u64::from(multipart_upload::MAX_PARTS);
            return Err(Problem::too_large("a file", limit));
        }
        upload.send(self.parts_sent, part.into()).await
    }
}

/// A multipart upload that has been started.
struct ActiveUpload {
    multipart: MultipartUpload,
    /// The part that is being stored.
    pending: Option<PendingPart>,
    /// The parts that are stored.
    parts: Vec<UploadedPart>,
}

impl ActiveUpload {
    async fn start(
        files: &FileStore,
        key: Option<&FileKey>,
        headers: &FileHeaders,
        conditions: &Preconditions,
    ) -> Result<Self, Problem> {
        let key = key.ok_or_else(Problem::key_after_file)?;
        if !conditions.is_empty() {
            return Err(Problem::condition_not_supported());
        }
        Ok(Self { multipart: files.create_upload(key, headers).await?, pending: None, parts: Vec::new() })
    }

    /// Waits until the previous part is stored, then sends a part.
    async fn send(&mut self, number: u16, part: JsValue) -> Result<(), Problem> {
        self.finish_pending().await?;
        self.pending = Some(self.multipart.upload_part(number, part)?);
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

/// Returns the length of a file's parts, in bytes. R2 takes at most 10,000 parts, so the parts of a very large file are
/// longer than the minimum. A file of unknown length may have 48 GiB.
fn part_len(max_len: Option<u64>) -> u32 {
    let needed = max_len.unwrap_or_default().div_ceil(u64::from(multipart_upload::MAX_PARTS));
    u32::try_from(needed.max(MIN_PART_LEN)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_length_fits_into_10_000_parts() {
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
