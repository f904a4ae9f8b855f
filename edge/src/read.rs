//! What is asked of requests and replies, read in one call: each call from Wasm to JavaScript costs more than most of what is
//! read.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};

use js_sys::{Array, JsString};
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

use crate::header;

/// A request, and what was read of it.
pub struct ReadRequest {
    request: Request,
    lines: Lines,
    /// Those of [`TOGETHER`] that were read, too.
    more: [OnceCell<Lines>; TOGETHER.len()],
}

/// Headers that are asked for together: with the first of them, the others are read.
const TOGETHER: [&[&str]; 3] = [
    &["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Range"],
    &["Content-Length", "Content-Type"],
    &["Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires"],
];

impl ReadRequest {
    /// Reads a request's method and URL, and these headers, which will be asked for.
    #[must_use]
    pub fn new(request: Request, names: &'static [&'static str]) -> Self {
        let lines = Lines::new(names, |names| read_request(&request, names));
        Self { request, lines, more: Default::default() }
    }

    /// The request itself.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        let first = self.lines.first();
        &first[..first.bytes().position(|byte| byte == b' ').unwrap_or_default()]
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.lines.first()[self.method().len() + 1..]
    }

    /// A header's value; several of one name are one, with commas between them. One that was not read is read now.
    #[must_use]
    pub fn header(&self, name: &'static str) -> Option<Cow<'_, str>> {
        let lines = if self.lines.names.contains(&name) {
            &self.lines
        } else if let Some(at) = TOGETHER.iter().position(|names| names.contains(&name)) {
            self.more[at].get_or_init(|| Lines::new(TOGETHER[at], |names| read_headers(&self.request, names)))
        } else {
            return header::get(&self.request.headers(), name).map(Cow::Owned);
        };
        lines.header(name).map(Cow::Borrowed)
    }
}

/// What was read of a reply.
pub struct ReadReply(Lines);

impl ReadReply {
    const NAMES: &[&str] = &["Content-Length", "Vary"];

    /// Reads a reply.
    #[must_use]
    pub fn new(reply: &Response) -> Self {
        Self(Lines::new(Self::NAMES, |names| read_reply(reply, names)))
    }

    /// The status.
    ///
    /// # Panics
    ///
    /// Never: the runtime has a number for it.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.first().parse().expect("a status is a number")
    }

    /// The header `Content-Length`.
    #[must_use]
    pub fn content_length(&self) -> Option<&str> {
        self.0.header("Content-Length")
    }

    /// The header `Vary`.
    #[must_use]
    pub fn vary(&self) -> Option<&str> {
        self.0.header("Vary")
    }
}

/// A line, and one more for each of these headers.
struct Lines {
    text: String,
    names: &'static [&'static str],
    /// Where each header's line begins.
    starts: [usize; Self::MOST],
}

impl Lines {
    /// How many headers are read together.
    const MOST: usize = 12;

    fn new(names: &'static [&'static str], read: impl FnOnce(&Array) -> String) -> Self {
        let text = with(names, read);
        let mut starts = [text.len() + 1; Self::MOST];
        let mut line = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte == b'\n' {
                starts[line] = at + 1;
                line += 1;
            }
        }
        Self { text, names, starts }
    }

    fn first(&self) -> &str {
        &self.text[..self.starts[0] - 1]
    }

    /// The value of one of the headers, if it is there.
    fn header(&self, name: &str) -> Option<&str> {
        let at = self.names.iter().position(|read| *read == name)?;
        let end = self.starts.get(at + 1).map_or(self.text.len(), |next| next - 1);
        self.text[self.starts[at]..end].strip_prefix(':')
    }
}

/// Calls something with names as JavaScript has them, which are made once.
pub fn with<T>(names: &'static [&'static str], call: impl FnOnce(&Array) -> T) -> T {
    thread_local! {
        /// By address, as in [`crate::name`].
        static LISTS: RefCell<Vec<(*const [&'static str], Array)>> = const { RefCell::new(Vec::new()) };
    }
    LISTS.with_borrow_mut(|lists| {
        let known = lists.iter().position(|(known, _)| std::ptr::eq(*known, names));
        let at = known.unwrap_or_else(|| {
            lists.push((names, names.iter().map(|name| JsString::from(*name)).collect()));
            lists.len() - 1
        });
        call(&lists[at].1)
    })
}

#[wasm_bindgen(module = "/src/read.js")]
extern "C" {
    #[wasm_bindgen(js_name = readRequest)]
    fn read_request(request: &Request, names: &Array) -> String;

    #[wasm_bindgen(js_name = readReply)]
    fn read_reply(reply: &Response, names: &Array) -> String;

    #[wasm_bindgen(js_name = readHeaders)]
    fn read_headers(request: &Request, names: &Array) -> String;
}
