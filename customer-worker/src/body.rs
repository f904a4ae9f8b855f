//! Request bodies that have to be looked at.

use js_sys::{Reflect, Uint8Array};
use shared::Problem;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, Request};

/// Refuses a body whose `Content-Type` is not what the route takes.
pub fn require_type(request: &Request, matches: fn(&str) -> bool, wanted: &'static str) -> Result<(), Problem> {
    let content_type = request.headers().get("Content-Type").ok().flatten();
    if content_type.is_some_and(|content_type| matches(&content_type)) {
        Ok(())
    } else {
        Err(Problem::unsupported_media_type(wanted))
    }
}

/// Reads a body of at most `limit` bytes, outside Wasm's memory.
pub async fn read(request: &Request, limit: usize) -> Result<Uint8Array, Problem> {
    let length = request.headers().get("Content-Length").ok().flatten().and_then(|length| length.parse::<usize>().ok());
    match length {
        Some(length) if length > limit => Err(Problem::too_large("the body", limit)),
        Some(_) => read_whole(request).await.map_err(broken_off),
        None => read_pieces(request, limit).await,
    }
}

/// The runtime holds a body to its `Content-Length`.
async fn read_whole(request: &Request) -> Result<Uint8Array, JsValue> {
    Ok(Uint8Array::new(&JsFuture::from(request.array_buffer()?).await?))
}

/// A body that does not say its length is read only until it has proved too long.
async fn read_pieces(request: &Request, limit: usize) -> Result<Uint8Array, Problem> {
    let Some(stream) = request.body() else { return Ok(Uint8Array::new_with_length(0)) };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut pieces = Vec::new();
    let mut length = 0;
    while let Some(piece) = next_piece(&reader).await.map_err(broken_off)? {
        length += piece.length();
        if length as usize > limit {
            // The client may go on sending; nobody listens.
            drop(reader.cancel());
            return Err(Problem::too_large("the body", limit));
        }
        pieces.push(piece);
    }
    let body = Uint8Array::new_with_length(length);
    let mut end = 0;
    for piece in pieces {
        body.set(&piece, end);
        end += piece.length();
    }
    Ok(body)
}

async fn next_piece(reader: &ReadableStreamDefaultReader) -> Result<Option<Uint8Array>, JsValue> {
    let result = JsFuture::from(reader.read()).await?;
    let done = Reflect::get(&result, &"done".into())?.is_truthy();
    Ok(if done { None } else { Some(Reflect::get(&result, &"value".into())?.unchecked_into()) })
}

fn broken_off(thrown: JsValue) -> Problem {
    Problem::invalid_body(&format!("it could not be read to its end ({})", edge::thrown_message(&thrown)))
}
