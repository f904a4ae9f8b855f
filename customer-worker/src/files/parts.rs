//! Stores a file whose length shows only at its end: in one piece while it is small, in parts from then on.

use js_sys::Uint8Array;
use shared::reply::Part;
use shared::{FileHeaders, FileKey, Preconditions, Problem, upload};
use wasm_bindgen::JsValue;

use super::{said_of, store};
use crate::bindings::r2::{self, MultipartUpload, OnlyIf, PartOnItsWay, Stored};
use crate::body::sub_array;

/// R2's least part (<https://developers.cloudflare.com/r2/platform/limits/>), and what is held of a file, twice: the
/// part that is being filled and the one that is on its way.
const PART_LEN: u64 = 5 * 1024 * 1024;

/// Takes a file's bytes one after another, and sends them to R2 in parts of equal length.
///
/// Nothing is visible before [`PartsWriter::finish`]. One that fails must be [`abort`](PartsWriter::abort)ed: R2 would
/// keep its parts.
pub struct PartsWriter {
    /// Where the file goes; needed when a part is full.
    pub key: Option<FileKey>,
    /// What is kept with it.
    pub headers: FileHeaders,
    conditions: Preconditions,
    part_len: u32,
    /// How many bytes may still come, beside those of the buffer.
    rest: u64,
    held: Held,
    upload: Option<Upload>,
    /// How many parts.
    sent: u16,
}

/// Bytes that were not sent yet.
enum Held {
    Nothing,
    /// As they came. Most files are one piece.
    Piece(Uint8Array),
    /// A buffer that is filled up to here.
    Buffer(Uint8Array, u32),
}

struct Upload {
    multipart: MultipartUpload,
    on_its_way: Option<PartOnItsWay>,
    parts: Vec<Part>,
}

impl Upload {
    /// Sends a part, when the one before has arrived.
    async fn send(&mut self, number: u16, part: &JsValue) -> Result<(), Problem> {
        self.arrive().await?;
        self.on_its_way = Some(self.multipart.send(number, part)?);
        Ok(())
    }

    async fn arrive(&mut self) -> Result<(), Problem> {
        if let Some(part) = self.on_its_way.take() {
            self.parts.push(part.arrival().await?);
        }
        Ok(())
    }

    async fn complete(&mut self) -> Result<Stored, Problem> {
        self.arrive().await?;
        self.multipart.complete(&self.parts).await
    }
}

impl PartsWriter {
    /// Begins a file of at most `max_len` bytes, where that is known.
    pub fn new(conditions: Preconditions, max_len: Option<u64>) -> Self {
        // R2 takes 10,000 parts: a very large file has larger ones. One without a length ends at 48 GiB.
        let least = max_len.unwrap_or(0).div_ceil(u64::from(upload::MAX_PARTS));
        let part_len = u32::try_from(least.max(PART_LEN)).unwrap_or(u32::MAX);
        Self {
            key: None,
            headers: FileHeaders::default(),
            conditions,
            part_len,
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
                self.send(&part).await?;
            }
        }
        Ok(())
    }

    /// A buffer for a part, or for all that may still come: the runtime has to clear what it hands out.
    fn buffer(&mut self) -> Uint8Array {
        let length = self.rest.min(self.part_len.into());
        self.rest -= length;
        Uint8Array::new_with_length(u32::try_from(length).expect("a part is shorter than 4 GiB"))
    }

    /// Holds as much as a part has room for, and answers the rest.
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

    async fn send(&mut self, part: &Uint8Array) -> Result<(), Problem> {
        if self.upload.is_none() {
            let key = self.key.as_ref().ok_or_else(Problem::key_after_file)?;
            if !self.conditions.are_none() {
                return Err(Problem::condition_not_supported());
            }
            let multipart = r2::create_upload(key, &self.headers).await?;
            self.upload = Some(Upload { multipart, on_its_way: None, parts: Vec::new() });
        }
        self.sent += 1;
        if self.sent > upload::MAX_PARTS {
            let limit = u64::from(self.part_len) * u64::from(upload::MAX_PARTS);
            return Err(Problem::too_large("a file", limit));
        }
        self.upload.as_mut().expect("it was begun").send(self.sent, part).await
    }

    /// Makes the file, and answers what is said of it.
    pub async fn finish(&mut self) -> Result<String, Problem> {
        let key = self.key.clone().ok_or_else(Problem::missing_key)?;
        let last = match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => None,
            Held::Piece(piece) => Some(piece),
            Held::Buffer(buffer, filled) => Some(sub_array(&buffer, 0, filled as usize)),
        };
        if self.upload.is_none() {
            let content = last.map_or_else(|| "".into(), JsValue::from);
            let only_if = OnlyIf::new(&self.conditions)?;
            return store(&key, &content, &self.headers, &only_if).await;
        }
        if let Some(last) = last {
            self.send(&last).await?;
        }
        let stored = self.upload.as_mut().expect("it was begun").complete().await?;
        self.upload = None;
        Ok(said_of(&stored, &key, &self.headers))
    }

    /// Gives up: whatever was there before is there still, and R2 forgets the parts.
    pub async fn abort(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            // A part that is still on its way would keep the upload alive.
            drop(upload.arrive().await);
            if let Err(problem) = upload.multipart.abort().await {
                edge::log_problem(&problem, "");
            }
        }
    }
}
