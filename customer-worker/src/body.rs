//! Request bodies that have to be looked at.

use std::cell::Cell;

use edge::task::{settled, spawn};
use js_sys::{ArrayBuffer, Promise, Reflect, Uint8Array};
use shared::Problem;
use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, Request};

/// Refuses a body whose `Content-Type` is not what the route takes; answers it otherwise.
pub fn require_type(request: &Request, matches: fn(&str) -> bool, wanted: &'static str) -> Result<String, Problem> {
    let content_type = header(request, "Content-Type");
    content_type.filter(|content_type| matches(content_type)).ok_or_else(|| Problem::unsupported_media_type(wanted))
}

/// A request's header.
pub fn header(request: &Request, name: &'static str) -> Option<String> {
    edge::header::get(&request.headers(), name)
}

/// How long a request says that its body is.
pub fn content_length(request: &Request) -> Option<u64> {
    header(request, "Content-Length").and_then(|length| length.parse().ok())
}

/// A body that was read whole.
pub struct Body {
    /// Its bytes in Wasm, to look at.
    pub text: Vec<u8>,
    /// The same outside, to hand on, where it came in one piece.
    buffer: Option<Uint8Array>,
    _large: Option<Large>,
}

impl Body {
    /// Reads a body of at most `limit` bytes. It exists twice at most, here and outside Wasm: an isolate has 128 MB for
    /// all its requests together.
    pub async fn read(request: &Request, limit: usize) -> Result<Self, Problem> {
        match content_length(request) {
            Some(length) if length > limit as u64 => Err(Problem::too_large("the body", limit as u64)),
            Some(length) => {
                let large = Large::enter_if(length > Large::FROM as u64)?;
                let buffer = array_buffer(request).await.map_err(|thrown| broken_off(&thrown))?;
                let buffer = Uint8Array::new(&buffer);
                Ok(Self { text: buffer.to_vec(), buffer: Some(buffer), _large: large })
            }
            None => Self::read_pieces(request, limit).await,
        }
    }

    /// A body that does not say its length is read only until it has proved too long.
    async fn read_pieces(request: &Request, limit: usize) -> Result<Self, Problem> {
        let mut pieces = Pieces::of(request.body());
        let (mut text, mut large) = (Vec::new(), None);
        while let Some(piece) = pieces.next().await? {
            let start = text.len();
            let length = piece.length() as usize;
            if start + length > limit {
                return Err(Problem::too_large("the body", limit as u64));
            }
            if start + length > Large::FROM && large.is_none() {
                large = Large::enter_if(true)?;
                // Once and for all: Wasm's memory never shrinks, and growing by doubling would take three times as much.
                text.reserve_exact(limit - start);
            }
            text.resize(start + length, 0);
            piece.copy_to(&mut text[start..]);
        }
        Ok(Self { text, buffer: None, _large: large })
    }

    /// Bytes of it, to hand on: `part` is a part of its text.
    pub fn part(&self, part: &str) -> Uint8Array {
        match &self.buffer {
            Some(buffer) => {
                let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
                sub_array(buffer, start, start + part.len())
            }
            None => Uint8Array::from(part.as_bytes()),
        }
    }
}

/// A place among the large bodies that are held at once.
struct Large;

impl Large {
    /// From how many bytes on a body is large.
    const FROM: usize = 1024 * 1024;

    /// How many large bodies are held at once: two, each twice, take 104 MB at the limit of `POST /data`.
    const MOST: u32 = 2;

    fn enter_if(large: bool) -> Result<Option<Self>, Problem> {
        if !large {
            return Ok(None);
        }
        HELD.with(|held| {
            if held.get() == Self::MOST {
                return Err(Problem::busy());
            }
            held.set(held.get() + 1);
            Ok(Some(Self))
        })
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        HELD.with(|held| held.set(held.get() - 1));
    }
}

thread_local! {
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// A body's bytes as they arrive, outside Wasm.
pub struct Pieces(Source);

enum Source {
    Nothing,
    Stream(Reader),
    Whole(Uint8Array),
}

impl Pieces {
    /// How many bytes a piece has at the most.
    pub const MAX_LEN: u32 = 256 * 1024;

    /// Reads a stream of bytes; no stream is no bytes.
    pub fn of(stream: Option<ReadableStream>) -> Self {
        Self(stream.map_or(Source::Nothing, |stream| Source::Stream(Reader::new(&stream))))
    }

    /// What was read already.
    pub fn whole(bytes: Uint8Array) -> Self {
        Self(Source::Whole(bytes))
    }

    /// The next bytes, never none; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Uint8Array>, Problem> {
        match std::mem::replace(&mut self.0, Source::Nothing) {
            Source::Nothing => Ok(None),
            Source::Whole(bytes) => Ok((bytes.length() > 0).then_some(bytes)),
            Source::Stream(reader) => {
                let piece = reader.next().await.map_err(|thrown| broken_off(&thrown))?;
                if piece.is_some() {
                    self.0 = Source::Stream(reader);
                }
                Ok(piece)
            }
        }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if let Source::Stream(reader) = &self.0 {
            // Nobody reads the rest. A stream that has failed already says so again here, to nobody.
            reader.give_up();
        }
    }
}

struct Reader(ByobReader);

impl Reader {
    fn new(stream: &ReadableStream) -> Self {
        let options = js_sys::Object::new();
        edge::set(&options, "mode", &"byob".into());
        Self(get_reader(stream, &options))
    }

    async fn next(&self) -> Result<Option<Uint8Array>, JsValue> {
        let buffer = Uint8Array::new_with_length(Pieces::MAX_LEN);
        let result = settled(self.0.read_at_least(Pieces::MAX_LEN, &buffer)).await?;
        let value: Option<Uint8Array> = Reflect::get(&result, &"value".into())?.dyn_into().ok();
        Ok(value.filter(|value| value.length() > 0))
    }

    fn give_up(&self) {
        forget(self.0.cancel());
    }
}

#[wasm_bindgen]
extern "C" {
    type ByobReader;

    /// workerd's own: fills the buffer but for the stream's last bytes, where `read` would answer with any few
    /// (<https://developers.cloudflare.com/workers/runtime-apis/streams/readablestreambyobreader/>).
    #[wasm_bindgen(method, catch, js_name = readAtLeast)]
    fn read_at_least(this: &ByobReader, least: u32, buffer: &Uint8Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method)]
    fn cancel(this: &ByobReader) -> Promise;
}

fn get_reader(stream: &ReadableStream, options: &js_sys::Object) -> ByobReader {
    stream.get_reader_with_options(options.unchecked_ref()).unchecked_into()
}

/// Lets a promise settle as it may: that it is rejected is nobody's business.
pub fn forget(promise: Promise) {
    drop(spawn(async { settled(Ok(promise)).await.or(Ok(JsValue::UNDEFINED)) }));
}

async fn array_buffer(request: &Request) -> Result<ArrayBuffer, JsValue> {
    Ok(settled(request.array_buffer()).await?.unchecked_into())
}

/// A request's body in one piece.
pub async fn whole(request: &Request) -> Result<Uint8Array, Problem> {
    array_buffer(request).await.map(|buffer| Uint8Array::new(&buffer)).map_err(|thrown| broken_off(&thrown))
}

/// Bytes of a buffer, without copying them.
pub fn sub_array(bytes: &Uint8Array, start: usize, end: usize) -> Uint8Array {
    let offset = |at: usize| u32::try_from(at).expect("a buffer is shorter than 4 GiB");
    bytes.subarray(offset(start), offset(end))
}

fn broken_off(thrown: &JsValue) -> Problem {
    Problem::invalid_body(&format!("it could not be read to its end ({})", edge::thrown_message(thrown)))
}
