//! Request bodies that have to be read.

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

/// Refuses a body whose `Content-Type` is not what the route takes, and one that would have to be decoded. Returns the type.
pub fn require_type(request: &Request, matches: fn(&str) -> bool, wanted: &'static str) -> Result<String, Problem> {
    let content_type = header(request, "Content-Type");
    let content_type = content_type.filter(|content_type| matches(content_type));
    let content_type = content_type.ok_or_else(|| Problem::unsupported_media_type(wanted))?;
    require_identity(request)?;
    Ok(content_type)
}

/// The type of bodies that are read as JSON.
pub const JSON: &str = "application/json, in UTF-8";

/// Refuses a body that is compressed or otherwise encoded.
pub fn require_identity(request: &Request) -> Result<(), Problem> {
    shared::http::require_identity(header(request, "Content-Encoding").as_deref())
}

/// Refuses a body that is a part of something, of whatever route.
pub fn require_whole(request: &Request) -> Result<(), Problem> {
    shared::http::require_complete(header(request, "Content-Range").as_deref())
}

/// A request's header.
pub fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// The body's length in bytes, if the request gives it.
pub fn content_length(request: &Request) -> Option<u64> {
    header(request, "Content-Length").and_then(|length| length.parse().ok())
}

/// A body that was read whole.
pub struct Body {
    /// Its bytes in Wasm, to parse.
    pub text: Vec<u8>,
    /// The same outside Wasm, to pass on, if the request had a `Content-Length`.
    buffer: Option<Uint8Array>,
    place: Option<Place>,
}

impl Body {
    /// How long storing what is in a large body may take. Cloudflare ends a request's work 30 seconds after its client has
    /// gone, and then nobody would give the place back.
    const STORAGE_TIMEOUT: Duration = Duration::from_secs(25);

    /// Reads a body of at most `limit` bytes. At most two copies exist, one in Wasm and one outside: an isolate has 128 MB
    /// for all its requests together.
    pub async fn read(request: &Request, limit: usize) -> Result<Self, Problem> {
        match content_length(request) {
            Some(length) if length > limit as u64 => Err(Problem::too_large("the body", limit as u64)),
            Some(length) => {
                let place = if length > Place::NEEDED_FROM as u64 { Some(Place::take()?) } else { None };
                let buffer = read_whole(request).await?;
                Ok(Self { text: buffer.to_vec(), buffer: Some(buffer), place })
            }
            None => Self::read_chunks(request, limit).await,
        }
    }

    /// A body of unknown length is read only until it turns out to be too long.
    async fn read_chunks(request: &Request, limit: usize) -> Result<Self, Problem> {
        let mut chunks = Chunks::of(request.body());
        let (mut text, mut place) = (Vec::new(), None);
        while let Some(chunk) = chunks.next().await? {
            let start = text.len();
            let end = start + chunk.length() as usize;
            if end > limit {
                return Err(Problem::too_large("the body", limit as u64));
            }
            if end > Place::NEEDED_FROM && place.is_none() {
                place = Some(Place::take()?);
                // At once: Wasm's memory never shrinks, and growing by doubling would take three times as much.
                text.reserve_exact(limit - start);
            }
            text.resize(end, 0);
            chunk.copy_to(&mut text[start..]);
        }
        Ok(Self { text, buffer: None, place })
    }

    /// A part of the body outside Wasm. `part` must be a slice of `self.text`: it is found by its address.
    pub fn part(&self, part: &str) -> Uint8Array {
        match &self.buffer {
            Some(buffer) => {
                let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
                sub_array(buffer, start, start + part.len())
            }
            None => Uint8Array::from(part.as_bytes()),
        }
    }

    /// Runs the storage operation that the body was sent for. If the body is large and the storage does not answer in
    /// time, the operation counts as failed, and the body's place is free again.
    pub async fn store<T>(&self, operation: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        if self.place.is_none() {
            return operation.await;
        }
        match select(pin!(operation), Delay::from(Self::STORAGE_TIMEOUT)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => {
                let seconds = Self::STORAGE_TIMEOUT.as_secs();
                Err(Problem::storage_unavailable(format!("it did not answer within {seconds} seconds")))
            }
        }
    }
}

/// A place among the large bodies that are held at the same time.
struct Place(());

impl Place {
    /// Larger bodies, in bytes, need a place.
    const NEEDED_FROM: usize = 1024 * 1024;

    /// How many places there are. Two bodies, each held twice, take 104 MB at the limit of `POST /data`.
    const COUNT: u32 = 2;

    /// Takes a place; `busy` if there is none.
    fn take() -> Result<Self, Problem> {
        if PLACES_TAKEN.get() == Self::COUNT {
            return Err(Problem::busy());
        }
        PLACES_TAKEN.set(PLACES_TAKEN.get() + 1);
        Ok(Self(()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        PLACES_TAKEN.set(PLACES_TAKEN.get() - 1);
    }
}

thread_local! {
    static PLACES_TAKEN: Cell<u32> = const { Cell::new(0) };
}

/// A body's bytes as they arrive, outside Wasm.
pub struct Chunks(Source);

enum Source {
    Empty,
    Stream(ByobReader),
    Whole(Uint8Array),
}

impl Chunks {
    /// The length of a chunk, in bytes. Only the last one may be shorter.
    const LEN: u32 = 256 * 1024;

    /// Reads a stream of bytes. No stream is an empty body.
    pub fn of(stream: Option<ReadableStream>) -> Self {
        let options = ReadableStreamGetReaderOptions::new();
        options.set_mode(ReadableStreamReaderMode::Byob);
        let reader = |stream: ReadableStream| stream.get_reader_with_options(&options).unchecked_into();
        Self(stream.map_or(Source::Empty, |stream| Source::Stream(reader(stream))))
    }

    /// A body that was read already.
    pub fn whole(bytes: Uint8Array) -> Self {
        Self(Source::Whole(bytes))
    }

    /// The next bytes, at least one; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Uint8Array>, Problem> {
        match std::mem::replace(&mut self.0, Source::Empty) {
            Source::Empty => Ok(None),
            Source::Whole(bytes) => Ok((bytes.length() > 0).then_some(bytes)),
            Source::Stream(reader) => {
                let chunk = reader.next().await.map_err(|thrown| broken_off(&thrown))?;
                if chunk.is_some() {
                    self.0 = Source::Stream(reader);
                }
                Ok(chunk)
            }
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        if let Source::Stream(reader) = &self.0 {
            // Nobody reads the rest.
            ignore_outcome(reader.cancel());
        }
    }
}

#[wasm_bindgen]
extern "C" {
    /// `web_sys::ReadableStreamByobReader` does not have workerd's `readAtLeast`.
    type ByobReader;

    /// Fills the buffer, except with the stream's last bytes. `read` would return as soon as there are any
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

/// Lets a promise settle on its own. The outcome is ignored.
pub fn ignore_outcome(promise: Promise) {
    spawn_local(async { drop(JsFuture::from(promise).await) });
}

/// A request's body in one piece.
pub async fn read_whole(request: &Request) -> Result<Uint8Array, Problem> {
    let buffer = edge::await_promise(request.array_buffer()).await.map_err(|thrown| broken_off(&thrown))?;
    Ok(Uint8Array::new(&buffer.unchecked_into::<ArrayBuffer>()))
}

/// A part of an array, without copying it.
pub fn sub_array(bytes: &Uint8Array, start: usize, end: usize) -> Uint8Array {
    let offset = |at: usize| u32::try_from(at).expect("an array is shorter than 4 GiB");
    bytes.subarray(offset(start), offset(end))
}

fn broken_off(thrown: &JsValue) -> Problem {
    Problem::invalid_body(&format!("it could not be read to its end ({})", edge::error_message(thrown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_once_its_body_is_gone() {
        let first = Place::take().expect("free");
        let second = Place::take().expect("free");
        assert_eq!(Place::take().err().map(|problem| problem.code().name()), Some("busy"));
        drop(first);
        let third = Place::take().expect("free again");
        drop((second, third));
        assert_eq!(PLACES_TAKEN.get(), 0);
    }
}
