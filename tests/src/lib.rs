//! What the end-to-end tests have in common: customers of the running platform, what they expect of every reply, and
//! platforms of a test's own.

pub mod api;
mod dev;
pub mod ledger;
pub mod log;
pub mod processes;
pub mod raw;
mod reply;
pub mod storage;
pub mod token;
pub mod workerd;

use std::env;

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Body, Client, Method, RequestBuilder};

pub use api::Api;
pub use dev::{Dev, Disk, run_to_failure, run_to_failure_on};
pub use reply::{Reply, expect_json, expect_problem, expect_success};

/// Where the platform under test answers.
#[must_use]
pub fn platform_url() -> String {
    env::var("PLATFORM_URL")
        .expect("PLATFORM_URL is not set: run the tests with `cargo xtask test`, which starts a platform for them")
}

/// A customer of a platform, as its HTTP client sees it.
#[derive(Clone, Debug)]
pub struct Customer {
    client: Client,
    url: String,
    headers: HeaderMap,
}

impl Customer {
    /// A customer of the platform that is running for the tests.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self::of(&platform_url(), id)
    }

    /// A customer of the platform at `url`.
    #[must_use]
    pub fn of(url: &str, id: &str) -> Self {
        Self { client: client(), url: url.to_owned(), headers: headers([("X-User-ID", id)]) }
    }

    /// A customer of a dispatcher of another configuration, which `fixtures/gate.js` hands requests on to.
    #[must_use]
    pub fn behind(dispatcher: &str, id: &str) -> Self {
        let headers = headers([("X-User-ID", "gate"), ("Test-Dispatcher", dispatcher), ("Test-User-ID", id)]);
        Self { client: client(), url: platform_url() + "/gate", headers }
    }

    /// Nobody's requests to such a dispatcher: without a user id.
    #[must_use]
    pub fn nobody_behind(dispatcher: &str) -> Self {
        let headers = headers([("X-User-ID", "gate"), ("Test-Dispatcher", dispatcher)]);
        Self { client: client(), url: platform_url() + "/gate", headers }
    }

    /// The customer with a token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.headers.extend(headers([("Authorization", &*format!("Bearer {token}"))]));
        self
    }

    /// A request to a path with its query.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).headers(self.headers.clone())
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// `HEAD`.
    pub fn head(&self, path: &str) -> RequestBuilder {
        self.request(Method::HEAD, path)
    }

    /// `POST`.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// `PUT`.
    pub fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// `POST` with a JSON body as it stands.
    pub fn post_json(&self, path: &str, body: impl Into<Body>) -> RequestBuilder {
        self.json(Method::POST, path, body)
    }

    /// A request with a JSON body as it stands.
    pub fn json(&self, method: Method, path: &str, body: impl Into<Body>) -> RequestBuilder {
        self.request(method, path).header("Content-Type", "application/json").body(body)
    }
}

fn headers<const N: usize>(headers: [(&'static str, &str); N]) -> HeaderMap {
    let header = |(name, value)| (HeaderName::from_bytes(str::as_bytes(name)).expect("a name"), value);
    let value = |(name, value)| (name, HeaderValue::from_str(value).expect("a value"));
    headers.into_iter().map(header).map(value).collect()
}

/// A client that takes replies as they come: no redirects, no proxy from the environment.
#[must_use]
pub fn client() -> Client {
    Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("a client")
}

/// Keys that a store, a URL, a form or JavaScript might take for something else: each must come back as it is, and be kept
/// apart from all others.
pub const AWKWARD_KEYS: [&str; 45] = [
    ".",
    "..",
    "../user1",
    "/",
    "a/b",
    "a//b",
    " ",
    " a ",
    "a+b",
    "a b",
    "a%20b",
    "a%2Fb",
    "a&b=c",
    "a?b#c",
    "usage/x",
    "data/x",
    "null",
    "\"\\",
    "a\nb",
    "a\r\nb",
    "\0",
    "\u{1}",
    "\u{7f}",
    "é",
    "e\u{301}",
    "🦀",
    "\u{feff}",
    "\u{202e}",
    "\u{10ffff}",
    "__proto__",
    "constructor",
    "\",\"",
    "\"},{\"name\":\"data/x",
    "{\"name\":\"data/",
    "\\\"",
    "\\u0061",
    "+",
    "%",
    "%2B",
    "\u{c5}",
    "A\u{30a}",
    "\u{212b}",
    "\u{2028}",
    "\u{fffd}",
    "a\0b",
];

/// A parameter's value, as a URL has it.
#[must_use]
pub fn escaped(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// A body that comes in pieces, and does not say its length.
#[must_use]
pub fn chunked(body: impl Into<Bytes>) -> Body {
    let body: Bytes = body.into();
    let pieces: Vec<_> = body.chunks(100_000).map(|piece| Ok::<_, std::io::Error>(body.slice_ref(piece))).collect();
    Body::wrap_stream(stream::iter(pieces))
}

/// Bytes that no compression shortens and no text has: the same for the same seed.
#[must_use]
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    // xorshift64*, good enough to look random.
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
