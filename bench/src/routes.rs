//! What is measured.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde_json::json;
use sha2::Sha256;

use crate::runtime::SECRET;
use crate::storage::{Storage, etag};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A request, and what it is sent through.
#[derive(Clone, Debug)]
pub struct Route {
    /// What the table calls it.
    pub name: &'static str,
    /// What is compared.
    pub through: Through,
    /// The request's method.
    pub method: Method,
    /// The request's path and query.
    pub target: String,
    /// The request's headers.
    pub headers: Vec<(&'static str, String)>,
    /// The request's body.
    pub body: Bytes,
    /// The status that must come back.
    pub status: u16,
    /// On how many connections it is sent at once.
    pub connections: u64,
    /// How many bytes go through the Workers, roughly.
    pub bytes: usize,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// The dispatchers, in front of the same JavaScript customer Worker.
    Dispatcher,
    /// The same, where requests need a token.
    DispatcherWithToken,
    /// Both Workers.
    Both,
}

impl Route {
    pub fn new(name: &'static str, method: Method, customer: &str, target: &str) -> Self {
        let headers = vec![("X-User-ID", customer.to_owned()), ("CF-Ray", "8a9b0c1d2e3f4a5b-AMS".to_owned())];
        Self {
            name,
            through: Through::Both,
            method,
            target: target.to_owned(),
            headers,
            body: Bytes::new(),
            status: 200,
            connections: 8,
            bytes: 0,
        }
    }

    pub fn get(name: &'static str, customer: &str, target: &str) -> Self {
        Self::new(name, Method::GET, customer, target)
    }

    fn through(self, through: Through) -> Self {
        Self { through, ..self }
    }

    pub fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    pub fn sending(self, content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let bytes = body.len();
        Self { body, ..self.with("Content-Type", content_type) }.moving(bytes)
    }

    /// Sends it where requests need a token.
    pub fn with_token_needed(self) -> Self {
        self.through(Through::DispatcherWithToken)
    }

    /// Whether it is sent where requests need a token.
    pub fn needs_token(&self) -> bool {
        self.through == Through::DispatcherWithToken
    }

    fn answering(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Says how many bytes a request moves. Many large ones at once would measure how much memory there is.
    fn moving(self, bytes: usize) -> Self {
        let connections = match bytes {
            0..=131_072 => 8,
            131_073..=2_097_152 => 4,
            _ => 1,
        };
        Self { connections, bytes, ..self }
    }

    /// How much CPU time it may take, as a multiple of what the twins take.
    #[must_use]
    pub fn limit(&self) -> f64 {
        match self.through {
            Through::Dispatcher | Through::DispatcherWithToken => 1.10,
            Through::Both if self.bytes >= MIB => 1.05,
            Through::Both => 1.15,
        }
    }

    /// How many times as many rounds it is measured for as most: where the limit is near and requests are short, a few rounds differ
    /// from the next few by more than what is left up to the limit. To check a token leaves the most for V8 to clear away, which it
    /// does in some slices and not in others.
    #[must_use]
    pub fn rounds(&self) -> usize {
        match self.through {
            Through::DispatcherWithToken => 4,
            Through::Dispatcher => 2,
            Through::Both if (MIB..=2 * MIB).contains(&self.bytes) => 2,
            Through::Both => 1,
        }
    }
}

/// Puts into the stores what the routes ask for.
pub fn seed(storage: &Storage) {
    let store = |name: &str, length| storage.put_object("work", name, bytes(length));
    store("1k", KIB);
    store("1m", MIB);
    store("100m", 100 * MIB);
    storage.put_value("work", "data/small", SMALL.into());
    storage.put_value("work", "data/100k", records(100 * KIB).into());
    for (customer, count) in [("ten", 10), ("thousand", 1000), ("ten-thousand", 10_000)] {
        for at in 0..count {
            storage.put_object(customer, &format!("reports/2026/{at:05}.pdf"), bytes(100));
            storage.put_value(customer, &format!("data/sessions/{at:05}"), SMALL.into());
        }
    }
}

/// `GET /` through both Workers.
pub fn simplest() -> Result<Arc<Route>> {
    all()?.into_iter().find(|route| route.through == Through::Both).context("GET / is a route")
}

/// All routes.
pub fn all() -> Result<Vec<Arc<Route>>> {
    let (json_type, binary) = ("application/json", "application/octet-stream");
    let get = |name, target| Route::get(name, "work", target);
    let post = |name, target| Route::new(name, Method::POST, "work", target);
    let put = |name, target| Route::new(name, Method::PUT, "work", target);
    let set = |length| format!("{{\"key\":\"new\",\"value\":{}}}", records(length));
    let routes = [
        get("GET /", "/").through(Through::Dispatcher),
        get("GET /, token", "/")
            .through(Through::DispatcherWithToken)
            .with("Authorization", format!("Bearer {}", token()?)),
        get("GET /", "/"),
        get("GET /data, small", "/data?key=small"),
        get("GET /data, 100 KB", "/data?key=100k").moving(100 * KIB),
        post("POST /data, small", "/data").sending(json_type, format!("{{\"key\":\"new\",\"value\":{SMALL}}}")),
        post("POST /data, 100 KB", "/data").sending(json_type, set(100 * KIB)),
        post("POST /data, 5 MB", "/data").sending(json_type, set(5 * MIB)),
        get("GET /files, 1 KB", "/files?key=1k").moving(KIB),
        get("GET /files, 1 MB", "/files?key=1m").moving(MIB),
        get("GET /files, 100 MB", "/files?key=100m").moving(100 * MIB),
        get("GET /files, 1 MB of 100", "/files?key=100m")
            .with("Range", "bytes=50000000-51048575")
            .moving(MIB)
            .answering(206),
        get("GET /files, 304", "/files?key=1k")
            .with("If-None-Match", format!("\"{}\"", etag(&bytes(KIB))))
            .answering(304),
        put("PUT /files, 1 KB", "/files?key=new").sending(binary, bytes(KIB)),
        put("PUT /files, 1 MB", "/files?key=new").sending(binary, bytes(MIB)),
        put("PUT /files, 100 MB", "/files?key=new").sending(binary, bytes(100 * MIB)),
        post("POST /files, 10 KB", "/files").sending(FORM_TYPE, form(10 * KIB)),
        post("POST /files, 1 MB", "/files").sending(FORM_TYPE, form(MIB)),
        post("POST /files, 50 MB", "/files").sending(FORM_TYPE, form(50 * MIB)),
        Route::get("GET /files, list of 1000", "thousand", "/files").moving(100 * KIB),
        Route::get("GET /data, list of 1000", "thousand", "/data").moving(30 * KIB),
        Route::get("GET /stats, 10 objects", "ten", "/stats"),
        Route::get("GET /stats, 1000 objects", "thousand", "/stats"),
        Route::get("GET /stats, 10,000 objects", "ten-thousand", "/stats"),
        get("GET /files, 404", "/files?key=none").answering(404),
        get("GET /files, 400", "/files?key=").answering(400),
    ];
    Ok(routes.into_iter().map(Arc::new).collect())
}

/// A token of the customer `work`, for a day.
fn token() -> Result<String> {
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "bench"});
    let expires = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 24 * 60 * 60;
    let claims = json!({"sub": "work", "scope": "read write", "exp": expires});
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = [header, claims].map(|part| encode(part.to_string().as_bytes())).join(".");
    let signature = Hmac::<Sha256>::new_from_slice(SECRET)?.chain_update(&signed).finalize();
    Ok(format!("{signed}.{}", encode(&signature.into_bytes())))
}

const SMALL: &str = r#"{"name":"Ada Lovelace","email":"ada@example.com","visits":42,"admin":false}"#;

/// Records as programs keep them, at least so many bytes of JSON.
fn records(length: usize) -> String {
    let mut text = String::from("[");
    for at in 0.. {
        write!(
            text,
            r#"{{"id":{at},"name":"Customer {at}","note":"She said \"yes\", and signed.","tags":["a","b"],"score":{}.25}}"#,
            at % 97
        )
        .expect("a string takes everything");
        if text.len() >= length {
            break;
        }
        text.push(',');
    }
    text + "]"
}

/// Bytes as programs send them: no run of them repeats soon, and line ends are among them.
fn bytes(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // https://en.wikipedia.org/wiki/Xorshift
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

const FORM_TYPE: &str = "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW";

fn form(length: usize) -> Vec<u8> {
    const BOUNDARY: &str = "------WebKitFormBoundary7MA4YWxkTrZu0gW";
    let before = format!(
        "{BOUNDARY}\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nnew\r\n{BOUNDARY}\r\nContent-Disposition: \
         form-data; name=\"file\"; filename=\"report.pdf\"\r\nContent-Type: application/pdf\r\n\r\n"
    );
    [before.as_bytes(), &bytes(length), format!("\r\n{BOUNDARY}--\r\n").as_bytes()].concat()
}
