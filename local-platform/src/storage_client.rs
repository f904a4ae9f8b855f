//! The local API's client for the simulated storage. It sends requests to the storage Worker, which is bound to all
//! storage.

use std::path::PathBuf;

use anyhow::{Context, Result};
use axum::body::Body;
use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use url::Url;

use super::account::Storage;

/// A client of the storage Worker.
#[derive(Debug)]
pub struct StorageClient {
    http: Client,
}

/// A request for an operation on some storage.
#[derive(Debug)]
pub struct Call<'c> {
    operation: &'static str,
    key: Option<&'c str>,
    options: Option<Value>,
    headers: HeaderMap,
    body: Option<reqwest::Body>,
}

/// The storage Worker's reply.
#[derive(Debug)]
pub struct StorageResponse(Response);

impl StorageResponse {
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// Reads the body as text.
    pub async fn text(self) -> Result<String> {
        self.0.text().await.context("the storage's reply broke off")
    }

    /// Reads the body as JSON.
    pub async fn json(self) -> Result<Value> {
        self.0.json().await.context("the storage's reply broke off")
    }

    /// Returns the body as a stream.
    pub fn into_body(self) -> Body {
        Body::new(reqwest::Body::from(self.0))
    }
}

impl Storage {
    /// Returns the name of the storage Worker's binding to this storage.
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
    /// Creates a request for one of the operations in `storage.js`.
    pub fn new(operation: &'static str) -> Self {
        Self { operation, key: None, options: None, headers: HeaderMap::new(), body: None }
    }

    /// Sets the key that the operation applies to.
    pub fn key(self, key: &'c str) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Sets the operation's options. Members that are null are left out.
    pub fn options(self, options: Value) -> Self {
        let options = match options {
            Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
            other => other,
        };
        Self { options: Some(options), ..self }
    }

    /// Sets the headers.
    pub fn headers(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self { body: Some(body.into()), ..self }
    }

    /// Sets a body that is streamed.
    pub fn stream(self, body: Body) -> Self {
        self.body(reqwest::Body::wrap_stream(body.into_data_stream()))
    }

    /// Sets a JSON body.
    pub fn json(self, json: &Value) -> Self {
        self.body(Bytes::from(json.to_string()))
    }
}

impl StorageClient {
    /// Creates a client for the storage Worker's socket.
    pub fn new(socket: PathBuf) -> Result<Self> {
        // Connections are not reused, because the next request may be for another process.
        let http = Client::builder().no_proxy().unix_socket(socket).pool_max_idle_per_host(0).build();
        Ok(Self { http: http.context("cannot make a client")? })
    }

    /// Sends a request. If the storage refuses it, the reply has the status 400 and the reason as text.
    pub async fn send(&self, storage: &Storage, call: Call<'_>) -> Result<StorageResponse> {
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
        Ok(StorageResponse(request.send().await.context("the local storage did not reply")?))
    }
}
