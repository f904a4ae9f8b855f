//! The library of the end-to-end tests in `tests/e2e/`, which test the platform over HTTP with the real Workers in the
//! real runtime.
//!
//! `cargo xtask test` builds the Workers, starts a local platform and runs the tests against it. A test sends requests
//! as a [`Customer`] and checks the reply with [`expect_success`], [`expect_json`] or [`expect_problem`], which also
//! check what holds for every reply:
//!
//! ```ignore
//! use serde_json::json;
//! use tests::{Customer, expect_json, expect_problem, expect_success};
//!
//! #[tokio::test]
//! async fn a_value_can_be_read_until_it_is_deleted() {
//!     let user = Customer::new("user1");
//!     expect_success(user.post_json("/data", r#"{"key":"theme","value":"dark"}"#)).await;
//!     expect_json(user.get("/data?key=theme"), json!({"key": "theme", "value": "dark"})).await;
//!     expect_success(user.delete("/data?key=theme")).await;
//!     expect_problem(user.get("/data?key=theme"), 404, "data_not_found").await;
//! }
//! ```
//!
//! Besides these, there are:
//!
//! - [`Dev`], a local platform that a test starts and stops itself, and [`LocalApi`], a client of its local Cloudflare
//!   API;
//! - [`workerd`], the Workers without a local platform and with any bindings;
//! - [`ledger`], clients that check every reply while storage fails or the runtime is killed;
//! - [`token`], [`raw`], [`log`], [`storage`] and [`processes`]: tokens, requests as raw bytes, the platform's log, the
//!   simulators' databases, and processes.

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
use std::path::Path;

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Body, Client, Method, RequestBuilder};

pub use api::LocalApi;
pub use dev::{Dev, Disk, run_to_failure, run_to_failure_on};
pub use reply::{Reply, expect_json, expect_problem, expect_success};

/// Returns the repository's folder.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent folder")
}

/// Returns the URL of the platform that `cargo xtask test` has started.
#[must_use]
pub fn platform_url() -> String {
    env::var("PLATFORM_URL")
        .expect("PLATFORM_URL is not set: run the tests with `cargo xtask test`, which starts a platform for them")
}

/// An HTTP client that sends a customer's requests.
#[derive(Clone, Debug)]
pub struct Customer {
    client: Client,
    url: String,
    headers: HeaderMap,
}

impl Customer {
    /// Creates a client of the platform that `cargo xtask test` has started.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self::at(&platform_url(), id)
    }

    /// Creates a client of the platform at `url`.
    #[must_use]
    pub fn at(url: &str, id: &str) -> Self {
        Self { client: client(), url: url.to_owned(), headers: headers([("X-User-ID", id)]) }
    }

    /// Creates a client of the platform at `url` that sends no user id.
    #[must_use]
    pub fn anonymous_at(url: &str) -> Self {
        Self { client: client(), url: url.to_owned(), headers: headers([]) }
    }

    /// Creates a client of one of the dispatchers in `fixtures/dispatchers/`, which have other configurations.
    /// `fixtures/gate.js` forwards requests to them.
    #[must_use]
    pub fn behind(dispatcher: &str, id: &str) -> Self {
        let headers = headers([("X-User-ID", "gate"), ("Test-Dispatcher", dispatcher), ("Test-User-ID", id)]);
        Self { client: client(), url: platform_url() + "/gate", headers }
    }

    /// Creates a client of such a dispatcher that sends no user id.
    #[must_use]
    pub fn anonymous_behind(dispatcher: &str) -> Self {
        let headers = headers([("X-User-ID", "gate"), ("Test-Dispatcher", dispatcher)]);
        Self { client: client(), url: platform_url() + "/gate", headers }
    }

    /// Sends a token with every request.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.headers.extend(headers([("Authorization", &*format!("Bearer {token}"))]));
        self
    }

    /// Creates a request to a path, which may have a query.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).headers(self.headers.clone())
    }

    /// Creates a `GET` request.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// Creates a `HEAD` request.
    pub fn head(&self, path: &str) -> RequestBuilder {
        self.request(Method::HEAD, path)
    }

    /// Creates a `POST` request.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Creates a `PUT` request.
    pub fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    /// Creates a `DELETE` request.
    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// Creates a `POST` request with a JSON body, which is sent unchanged.
    pub fn post_json(&self, path: &str, body: impl Into<Body>) -> RequestBuilder {
        self.json(Method::POST, path, body)
    }

    /// Creates a request with a JSON body, which is sent unchanged.
    pub fn json(&self, method: Method, path: &str, body: impl Into<Body>) -> RequestBuilder {
        self.request(method, path).header("Content-Type", "application/json").body(body)
    }
}

fn headers<const N: usize>(headers: [(&'static str, &str); N]) -> HeaderMap {
    let header = |(name, value)| (HeaderName::from_bytes(str::as_bytes(name)).expect("a name"), value);
    let value = |(name, value)| (name, HeaderValue::from_str(value).expect("a value"));
    headers.into_iter().map(header).map(value).collect()
}

/// Creates an HTTP client that follows no redirects and ignores proxies in the environment.
#[must_use]
pub fn client() -> Client {
    Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("a client")
}

/// Keys that a store, a URL, a form or JavaScript might interpret or normalize. Each must be returned unchanged and
/// stay distinct from the others.
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

/// Percent-encodes a value for a URL's query.
#[must_use]
pub fn escaped(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// Creates a body that is sent in pieces, without a `Content-Length`.
#[must_use]
pub fn chunked(body: impl Into<Bytes>) -> Body {
    let body: Bytes = body.into();
    let pieces: Vec<_> = body.chunks(100_000).map(|piece| Ok::<_, std::io::Error>(body.slice_ref(piece))).collect();
    Body::wrap_stream(stream::iter(pieces))
}

/// Returns incompressible bytes, which are the same for the same seed.
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
