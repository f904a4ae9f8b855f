//! The local API's way to the simulated storage: past the dispatcher, to a Worker that has all of it bound.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Body;
use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use url::Url;

use super::account::{Storage, new_id};
use super::gate::{Gate, Pass};

/// The header that shows who knows the secret.
const HEADER: &str = "Platform-Storage";

/// The path that is asked for. wrangler prints it, and nobody need see it.
pub const PATH: &str = "/.storage";

/// Asks the Worker that has the storage.
#[derive(Debug)]
pub struct Door {
    http: Client,
    /// Made anew for each run, and known to entry.js and storage.js alone.
    pub secret: String,
    /// What the names of headers start with that entry.js hides from the runtime. It is made anew for each run, so that no
    /// script and no client can send one.
    pub shield: String,
}

/// What is asked of some storage.
#[derive(Debug)]
pub struct Call<'c> {
    operation: &'static str,
    key: Option<&'c str>,
    options: Option<Value>,
    headers: HeaderMap,
    body: Option<reqwest::Body>,
}

/// What the storage answers. It is on its way, and no restart cuts it off, until it is read or dropped.
#[derive(Debug)]
pub struct Answer {
    reply: Response,
    pass: Pass,
}

impl Answer {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.reply.status()
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        self.reply.headers()
    }

    /// It as text.
    pub async fn text(self) -> Result<String> {
        self.reply.text().await.context("the local runtime's reply broke off")
    }

    /// It as JSON.
    pub async fn json(self) -> Result<Value> {
        self.reply.json().await.context("the local runtime's reply broke off")
    }

    /// It as it comes.
    pub fn into_body(self) -> Body {
        self.pass.until_end(reqwest::Body::from(self.reply))
    }
}

impl Storage {
    /// What the Worker's binding is called.
    pub fn binding(&self) -> String {
        match self {
            Self::Kv(id) => format!("kv:{id}"),
            Self::R2(name) => format!("r2:{name}"),
            Self::D1(id) => format!("d1:{id}"),
            Self::Objects(script) => format!("objects:{script}"),
        }
    }
}

impl<'c> Call<'c> {
    /// One of storage.js's operations.
    pub fn new(operation: &'static str) -> Self {
        Self { operation, key: None, options: None, headers: HeaderMap::new(), body: None }
    }

    /// What it is about.
    pub fn key(self, key: &'c str) -> Self {
        Self { key: Some(key), ..self }
    }

    /// How it is to be done. What is null is left out.
    pub fn options(self, options: Value) -> Self {
        let options = match options {
            Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
            other => other,
        };
        Self { options: Some(options), ..self }
    }

    /// With headers.
    pub fn headers(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// With a body.
    pub fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self { body: Some(body.into()), ..self }
    }

    /// With a body that is passed on as it comes.
    pub fn stream(self, body: Body) -> Self {
        self.body(reqwest::Body::wrap_stream(body.into_data_stream()))
    }

    /// With a body that is JSON.
    pub fn json(self, json: &Value) -> Self {
        self.body(Bytes::from(json.to_string()))
    }
}

impl Door {
    /// A door with a new secret.
    pub fn new() -> Result<Self> {
        let http = Client::builder().no_proxy().build().context("cannot make a client")?;
        Ok(Self { http, secret: new_id(), shield: format!("platform-{}-", new_id()) })
    }

    /// Whether the runtime gives a sign of life within this time. One that is not there, or fails, does not hang.
    pub async fn answers(&self, runtime: SocketAddr, patience: Duration) -> bool {
        let request = self.http.post(format!("http://{runtime}{PATH}?operation=alive"));
        let reply = request.header(HEADER, &self.secret).timeout(patience).send().await;
        !reply.is_err_and(|error| error.is_timeout())
    }

    /// Asks, once the runtime is there and knows so many changes. What the storage has against it is a reply with the status 400
    /// and a text.
    pub async fn ask(&self, gate: &Gate, changes: u64, storage: &Storage, call: Call<'_>) -> Result<Answer> {
        let pass = gate.enter_after(changes).await.context("the local runtime is not running")?;
        let mut url = Url::parse(&format!("http://{}{PATH}", pass.runtime)).context("an address makes a URL")?;
        url.query_pairs_mut().append_pair("storage", &storage.binding()).append_pair("operation", call.operation);
        if let Some(key) = call.key {
            url.query_pairs_mut().append_pair("key", key);
        }
        if let Some(options) = call.options {
            url.query_pairs_mut().append_pair("options", &options.to_string());
        }
        let request = self.http.post(url).headers(call.headers).header(HEADER, &self.secret);
        let request = call.body.into_iter().fold(request, reqwest::RequestBuilder::body);
        let reply = request.send().await.context("the local runtime did not reply")?;
        Ok(Answer { reply, pass })
    }
}
