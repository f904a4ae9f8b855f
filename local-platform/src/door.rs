//! The local API's way to the simulated storage: a process that has all of it bound.

use std::path::PathBuf;

use anyhow::{Context, Result};
use axum::body::Body;
use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use url::Url;

use super::account::Storage;

/// Asks the process that has the storage.
#[derive(Debug)]
pub struct Door {
    http: Client,
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

/// What the storage answers.
#[derive(Debug)]
pub struct Answer(Response);

impl Answer {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// It as text.
    pub async fn text(self) -> Result<String> {
        self.0.text().await.context("the storage's reply broke off")
    }

    /// It as JSON.
    pub async fn json(self) -> Result<Value> {
        self.0.json().await.context("the storage's reply broke off")
    }

    /// It as it comes.
    pub fn into_body(self) -> Body {
        Body::new(reqwest::Body::from(self.0))
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
    /// A door to the process behind a socket.
    pub fn new(socket: PathBuf) -> Result<Self> {
        // A connection of its own for each request: the next one may be for another process.
        let http = Client::builder().no_proxy().unix_socket(socket).pool_max_idle_per_host(0).build();
        Ok(Self { http: http.context("cannot make a client")? })
    }

    /// Asks. What the storage has against it is a reply with the status 400 and a text.
    pub async fn ask(&self, storage: &Storage, call: Call<'_>) -> Result<Answer> {
        let mut url = Url::parse("http://storage/").context("this is a URL")?;
        url.query_pairs_mut().append_pair("storage", &storage.binding()).append_pair("operation", call.operation);
        if let Some(key) = call.key {
            url.query_pairs_mut().append_pair("key", key);
        }
        if let Some(options) = call.options {
            url.query_pairs_mut().append_pair("options", &options.to_string());
        }
        let request = self.http.post(url).headers(call.headers);
        let request = call.body.into_iter().fold(request, reqwest::RequestBuilder::body);
        Ok(Answer(request.send().await.context("the local storage did not reply")?))
    }
}
