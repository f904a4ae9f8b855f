//! Reads and checks request bodies.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use js_sys::futures::{JsFuture, spawn_local};
use js_sys::{ArrayBuffer, Promise, Uint8Array};
use shared::http::Problem;
use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, ReadableStreamGetReaderOptions, ReadableStreamReaderMode, Request};
use worker::Delay;

/// Refuses a body whose `Content-Type` does not match, or that has a `Content-Encoding`. Returns the `Content-Type`.
/// `expected` names the required type in the problem.
pub fn require_content_type(
    request: &Request,
    matches: fn(&str) -> bool,
    expected: &'static str,
) -> Result<String, Problem> {
    let content_type = header(request, "Content-Type");
    let content_type = content_type.filter(|content_type| matches(content_type));
    let content_type = content_type.ok_or_else(|| Problem::unsupported_media_type(expected))?;
    refuse_content_encoding(request)?;
    Ok(content_type)
}

/// The type of JSON bodies, for [`require_content_type`].
pub const JSON_TYPE: &str = "application/json, in UTF-8";

/// Refuses a body that is compressed or otherwise encoded.
pub fn refuse_content_encoding(request: &Request) -> Result<(), Problem> {
    shared::http::require_identity(header(request, "Content-Encoding").as_deref())
}

/// Refuses a body with a `Content-Range`, which no route supports.
pub fn refuse_content_range(request: &Request) -> Result<(), Problem> {
    shared::http::require_complete(header(request, "Content-Range").as_deref())
}

/// Returns a request's header.
pub fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// Returns the body's length in bytes, if the request has a `Content-Length`.
pub fn content_length(request: &Request) -> Option<u64> {
    header(request, "Content-Length").and_then(|length| length.parse().ok())
}

/// A request body that was read completely into memory.
pub struct BufferedBody {
    /// The bytes in Wasm, for parsing.
    pub bytes: Vec<u8>,
    /// The same bytes outside Wasm, for storing, if the request had a `Content-Length`.
    js_bytes: Option<Uint8Array>,
    permit: Option<LargeBodyPermit>,
}

impl BufferedBody {
    /// The time limit for the storage operation of a large body. Cloudflare ends a request's work 30 seconds after its
    /// client has disconnected, and the permit would then never be released.
    const STORAGE_TIMEOUT: Duration = Duration::from_secs(25);

    /// Reads a body of at most `limit` bytes. A body over 1 MiB needs one of the isolate's two permits for large
    /// bodies; if both are in use, this fails with `busy`.
    ///
    /// There are at most two copies of the body, one in Wasm and one outside, because an isolate has 128 MB for all its
    /// requests.
    pub async fn read(request: &Request, limit: usize) -> Result<Self, Problem> {
        match content_length(request) {
            Some(length) if length > limit as u64 => Err(Problem::too_large("the body", limit as u64)),
            Some(length) => {
                let is_large = length > LargeBodyPermit::NEEDED_ABOVE as u64;
                let permit = if is_large { Some(LargeBodyPermit::acquire()?) } else { None };
                let js_bytes = read_all(request).await?;
                Ok(Self { bytes: js_bytes.to_vec(), js_bytes: Some(js_bytes), permit })
            }
            None => Self::read_chunks(request, limit).await,
        }
    }

    /// Reads a body of unknown length in chunks, until its end or until it is too long.
    async fn read_chunks(request: &Request, limit: usize) -> Result<Self, Problem> {
        let mut chunks = Chunks::from_stream(request.body());
        let (mut bytes, mut permit) = (Vec::new(), None);
        while let Some(chunk) = chunks.next().await? {
            let start = bytes.len();
            let end = start + chunk.length() as usize;
            if end > limit {
                return Err(Problem::too_large("the body", limit as u64));
            }
            if end > LargeBodyPermit::NEEDED_ABOVE && permit.is_none() {
                permit = Some(LargeBodyPermit::acquire()?);
                // Reserves the maximum at once. Wasm memory never shrinks, and doubling the buffer repeatedly would use
                // three times as much.
                bytes.reserve_exact(limit - start);
            }
            bytes.resize(end, 0);
            chunk.copy_to(&mut bytes[start..]);
        }
        Ok(Self { bytes, js_bytes: None, permit })
    }

    /// Returns a part of the body as bytes outside Wasm. `part` must be a slice of `self.bytes`: its address determines
    /// its position.
    pub fn js_bytes_of(&self, part: &str) -> Uint8Array {
        match &self.js_bytes {
            Some(js_bytes) => {
                let start = part.as_ptr() as usize - self.bytes.as_ptr() as usize;
                sub_array(js_bytes, start, start + part.len())
            }
            None => Uint8Array::from(part.as_bytes()),
        }
    }

    /// Runs the storage operation that the body was sent for. For a large body, the operation fails if it takes longer
    /// than [`Self::STORAGE_TIMEOUT`], so that the permit is always released.
    pub async fn store<T>(&self, operation: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        if self.permit.is_none() {
            return operation.await;
        }
        match select(pin!(operation), Delay::from(Self::STORAGE_TIMEOUT)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => {
                let seconds = Self::STORAGE_TIMEOUT.as_secs();
                Err(Problem::storage_unavailable(format!("the operation took longer than {seconds} seconds")))
            }
        }
    }
}

/// The permission to hold a large body in memory. It is released when this value is dropped.
struct LargeBodyPermit(());

impl LargeBodyPermit {
    /// Bodies longer than this, in bytes, need a permit.
    const NEEDED_ABOVE: usize = 1024 * 1024;

    /// The number of permits in an isolate. At the limit of `POST /data`, two bodies with two copies each take 104 MiB.
    const COUNT: u32 = 2;

    /// Acquires a permit. Fails with `busy` if all are in use.
    fn acquire() -> Result<Self, Problem> {
        if PERMITS_IN_USE.get() == Self::COUNT {
            return Err(Problem::busy());
        }
        PERMITS_IN_USE.set(PERMITS_IN_USE.get() + 1);
        Ok(Self(()))
    }
}

impl Drop for LargeBodyPermit {
    fn drop(&mut self) {
        PERMITS_IN_USE.set(PERMITS_IN_USE.get() - 1);
    }
}

thread_local! {
    static PERMITS_IN_USE: Cell<u32> = const { Cell::new(0) };
}

/// A body's bytes in chunks, as they arrive. The chunks are outside Wasm.
pub struct Chunks(ChunkSource);

enum ChunkSource {
    Empty,
    Stream(ByobReader),
    Bytes(Uint8Array),
}

impl Chunks {
    /// The length of a stream's chunks, in bytes. Only the last chunk may be shorter.
    const LEN: u32 = 256 * 1024;

    /// Creates the chunks of a byte stream. `None` is an empty body.
    pub fn from_stream(stream: Option<ReadableStream>) -> Self {
        let options = ReadableStreamGetReaderOptions::new();
        options.set_mode(ReadableStreamReaderMode::Byob);
        let reader = |stream: ReadableStream| stream.get_reader_with_options(&options).unchecked_into();
        Self(stream.map_or(ChunkSource::Empty, |stream| ChunkSource::Stream(reader(stream))))
    }

    /// Creates one chunk from bytes that have already been read.
    pub fn from_bytes(bytes: Uint8Array) -> Self {
        Self(ChunkSource::Bytes(bytes))
    }

    /// Returns the next chunk, which has at least one byte, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Uint8Array>, Problem> {
        match std::mem::replace(&mut self.0, ChunkSource::Empty) {
            ChunkSource::Empty => Ok(None),
            ChunkSource::Bytes(bytes) => Ok((bytes.length() > 0).then_some(bytes)),
            ChunkSource::Stream(reader) => {
                let chunk = reader.next().await.map_err(|thrown| incomplete_body(&thrown))?;
                if chunk.is_some() {
                    self.0 = ChunkSource::Stream(reader);
                }
                Ok(chunk)
            }
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        if let ChunkSource::Stream(reader) = &self.0 {
            // Tells the sender that the rest will not be read.
            ignore_result(reader.cancel());
        }
    }
}

#[wasm_bindgen]
extern "C" {
    /// `web_sys::ReadableStreamByobReader` is not used, because it lacks workerd's `readAtLeast`.
    type ByobReader;

    /// Reads until the buffer is full or the stream ends. `read` would return as soon as any bytes have arrived
    /// (<https://developers.cloudflare.com/workers/runtime-apis/streams/readablestreambyobreader/>).
    #[wasm_bindgen(method, catch, js_name = readAtLeast)]
    fn read_at_least(this: &ByobReader, length: u32, buffer: &Uint8Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method)]
    fn cancel(this: &ByobReader) -> Promise;
}

impl ByobReader {
    async fn next(&self) -> Result<Option<Uint8Array>, JsValue> {
        let read = self.read_at_least(Chunks::LEN, &Uint8Array::new_with_length(Chunks::LEN));
        let value: Option<Uint8Array> = edge::property(&edge::await_promise(read).await?, "value").dyn_into().ok();
        Ok(value.filter(|value| value.length() > 0))
    }
}

/// Ignores the result of a promise that nothing awaits. A rejection is not reported as unhandled.
pub fn ignore_result(promise: Promise) {
    spawn_local(async { drop(JsFuture::from(promise).await) });
}

/// Reads a request's body completely, outside Wasm.
pub async fn read_all(request: &Request) -> Result<Uint8Array, Problem> {
    let buffer = edge::await_promise(request.array_buffer()).await.map_err(|thrown| incomplete_body(&thrown))?;
    Ok(Uint8Array::new(&buffer.unchecked_into::<ArrayBuffer>()))
}

/// Returns a part of an array, without copying it.
pub fn sub_array(bytes: &Uint8Array, start: usize, end: usize) -> Uint8Array {
    let offset = |at: usize| u32::try_from(at).expect("an array is shorter than 4 GiB");
    bytes.subarray(offset(start), offset(end))
}

fn incomplete_body(thrown: &JsValue) -> Problem {
    Problem::invalid_body(&format!("it could not be read completely ({})", edge::error_message(thrown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_released_when_its_body_is_dropped() {
        let first = LargeBodyPermit::acquire().expect("free");
        let second = LargeBodyPermit::acquire().expect("free");
        assert_eq!(LargeBodyPermit::acquire().err().map(|problem| problem.code().name()), Some("busy"));
        drop(first);
        let third = LargeBodyPermit::acquire().expect("free again");
        drop((second, third));
        assert_eq!(PERMITS_IN_USE.get(), 0);
    }
}
