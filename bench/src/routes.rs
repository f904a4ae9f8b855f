//! The measured requests, and their limits.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde_json::json;
use sha2::Sha256;

use crate::storage::{StorageServer, etag};
use crate::workerd::{EntryPoint, SECRET};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A measured request.
#[derive(Clone, Debug)]
pub struct MeasuredRoute {
    /// The name in the table of results.
    pub name: &'static str,
    /// The class, which has the limit.
    pub class: Class,
    /// Which socket of workerd the request is sent to.
    pub entry: EntryPoint,
    /// The method.
    pub method: Method,
    /// The path and query.
    pub target: &'static str,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
    /// The status that the reply must have.
    pub status: u16,
}

/// The Workers that serve a request, and how much data they handle. Requests of a class have the same limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The dispatcher, in front of the customer Worker's twin.
    Dispatcher,
    /// Both Workers and at most 10 KB.
    Small,
    /// Both Workers and 1 MB.
    Megabyte,
    /// Both Workers and 5 MB or more.
    Large,
    /// Both Workers and a list of 1000 entries.
    List,
}

impl Class {
    /// The name in the table of results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::Small => "small",
            Self::Megabyte => "1 MB",
            Self::Large => "5 MB up",
            Self::List => "list",
        }
    }

    /// The maximum CPU time of the Workers, as a multiple of the twins' CPU time.
    #[must_use]
    pub fn limit(self) -> f64 {
        match self {
            Self::Dispatcher => 1.30,
            Self::Small | Self::List => 1.40,
            Self::Megabyte => 1.20,
            Self::Large => 1.08,
        }
    }

    /// The number of concurrent requests. Many large ones would measure the machine's memory instead of the Workers.
    #[must_use]
    pub fn connections(self) -> usize {
        match self {
            Self::Dispatcher | Self::Small | Self::List => 8,
            Self::Megabyte => 4,
            Self::Large => 1,
        }
    }

    /// How long each side serves a route before anything is measured. V8 needs many requests to compile a Worker
    /// completely, and the isolates of the dispatcher routes serve no other routes.
    #[must_use]
    pub fn warm_up(self) -> Duration {
        Duration::from_millis(match self {
            Self::Dispatcher => 2500,
            Self::Small => 1000,
            Self::List => 500,
            Self::Megabyte | Self::Large => 250,
        })
    }

    /// How long a route is measured in each run: longer where the results are close to the limit.
    #[must_use]
    pub fn measuring_time(self) -> Duration {
        Duration::from_millis(match self {
            Self::Dispatcher => 3000,
            Self::Small | Self::Megabyte | Self::List => 2000,
            Self::Large => 5000,
        })
    }
}

impl MeasuredRoute {
    fn new(name: &'static str, class: Class, method: Method, target: &'static str) -> Self {
        let customer = if class == Class::List { "thousand" } else { "work" };
        let entry = if class == Class::Dispatcher { EntryPoint::Dispatcher } else { EntryPoint::Platform };
        let headers = vec![("X-User-ID", customer.to_owned()), ("CF-Ray", "8a9b0c1d2e3f4a5b-AMS".to_owned())];
        Self { name, class, entry, method, target, headers, body: Bytes::new(), status: 200 }
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn body(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self.header("Content-Type", content_type) }
    }

    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn token(self) -> Result<Self> {
        Ok(Self {
            entry: EntryPoint::DispatcherWithToken,
            ..self.header("Authorization", format!("Bearer {}", token()?))
        })
    }
}

/// Returns all measured routes.
pub fn all() -> Result<Vec<MeasuredRoute>> {
    use Class::{Dispatcher, Large, List, Megabyte, Small};
    let get = |class, name, target| MeasuredRoute::new(name, class, Method::GET, target);
    let put = |class, name, length| {
        MeasuredRoute::new(name, class, Method::PUT, "/files?key=new").body("application/octet-stream", bytes(length))
    };
    let form =
        |class, name, length| MeasuredRoute::new(name, class, Method::POST, "/files").body(FORM_TYPE, form(length));
    let json = |class, name, value: &str| {
        MeasuredRoute::new(name, class, Method::POST, "/data")
            .body("application/json", format!("{{\"key\":\"new\",\"value\":{value}}}"))
    };
    Ok(vec![
        get(Dispatcher, "GET / (dispatcher)", "/"),
        get(Dispatcher, "GET / (dispatcher, token)", "/").token()?,
        get(Small, "GET /", "/"),
        get(Small, "GET /data, small", "/data?key=small"),
        json(Small, "POST /data, small", SMALL_VALUE),
        get(Small, "GET /files, 1 KB", "/files?key=1k"),
        get(Small, "GET /files, 304", "/files?key=1k")
            .header("If-None-Match", format!("\"{}\"", etag(KIB)))
            .status(304),
        get(Small, "GET /files, 404", "/files?key=none").status(404),
        put(Small, "PUT /files, 1 KB", KIB),
        form(Small, "POST /files, 10 KB", 10 * KIB),
        get(Megabyte, "GET /files, 1 MB", "/files?key=1m"),
        put(Megabyte, "PUT /files, 1 MB", MIB),
        form(Megabyte, "POST /files, 1 MB", MIB),
        json(Large, "POST /data, 5 MB", &records(5 * MIB)),
        get(Large, "GET /files, 100 MB", "/files?key=100m"),
        put(Large, "PUT /files, 100 MB", 100 * MIB),
        form(Large, "POST /files, 50 MB", 50 * MIB),
        get(List, "GET /files, list of 1000", "/files"),
        get(List, "GET /data, list of 1000", "/data"),
        get(List, "GET /stats of 1000", "/stats"),
    ])
}

/// Stores the files and values that the routes read.
pub fn seed(storage: &StorageServer) {
    for (key, length) in [("1k", KIB), ("1m", MIB), ("100m", 100 * MIB)] {
        storage.put_object("work", key, bytes(length));
    }
    storage.put_value("work", "data/small", SMALL_VALUE.into());
    for number in 0..1000 {
        storage.put_object("thousand", &format!("reports/2026/{number:05}.pdf"), bytes(100));
        storage.put_value("thousand", &format!("data/sessions/{number:05}"), SMALL_VALUE.into());
    }
}

/// Creates a token of the customer `work` that is valid for a day.
fn token() -> Result<String> {
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "bench"});
    let expires = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 24 * 60 * 60;
    let claims = json!({"sub": "work", "scope": "read write", "exp": expires});
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = [header, claims].map(|part| encode(part.to_string().as_bytes())).join(".");
    let signature = Hmac::<Sha256>::new_from_slice(SECRET)?.chain_update(&signed).finalize();
    Ok(format!("{signed}.{}", encode(&signature.into_bytes())))
}

const SMALL_VALUE: &str = r#"{"name":"Ada Lovelace","email":"ada@example.com","visits":42,"admin":false}"#;

/// Creates a list of records: at least `length` bytes of JSON.
fn records(length: usize) -> String {
    let mut text = String::from("[");
    for id in 0.. {
        write!(
            text,
            r#"{{"id":{id},"name":"Customer {id}","note":"She said \"yes\", and signed.","tags":["a","b"],"score":{}.25}}"#,
            id % 97
        )
        .expect("writing to a string cannot fail");
        if text.len() >= length {
            break;
        }
        text.push(',');
    }
    text + "]"
}

/// Creates pseudo-random bytes. They contain line ends, and have no short period.
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

/// Creates a form with a key and a file of `length` bytes.
fn form(length: usize) -> Vec<u8> {
    const BOUNDARY: &str = "------WebKitFormBoundary7MA4YWxkTrZu0gW";
    let before = format!(
        "{BOUNDARY}\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nnew\r\n{BOUNDARY}\r\nContent-Disposition: \
         form-data; name=\"file\"; filename=\"report.pdf\"\r\nContent-Type: application/pdf\r\n\r\n"
    );
    [before.as_bytes(), &bytes(length), format!("\r\n{BOUNDARY}--\r\n").as_bytes()].concat()
}
