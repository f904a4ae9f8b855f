//! The API client: sends requests and retries them.

use std::env;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::RETRY_AFTER;
use reqwest::multipart::Form;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;
use url::Url;

use super::error::{ApiError, Error};
use super::http;
use super::pacer::Pacer;

/// The number of times a request is sent before its failure is final.
const ATTEMPTS: u32 = 6;

/// The delay before the second attempt. It doubles with each further attempt.
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// The timeout of a request. Uploads are a few megabytes.
const TIMEOUT: Duration = Duration::from_mins(2);

const DEFAULT_BASE_URL: &str = "https://api.cloudflare.com/client/v4";

/// A Cloudflare account and the API token to use it with.
#[derive(Clone)]
pub struct AccountCredentials {
    /// The base URL of the API.
    pub base_url: Url,
    /// The account's id.
    pub id: String,
    /// The API token. `Debug` does not show it.
    pub token: String,
}

impl fmt::Debug for AccountCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AccountCredentials({} at {})", self.id, self.base_url)
    }
}

impl AccountCredentials {
    /// Reads the environment variables that wrangler reads: `CLOUDFLARE_ACCOUNT_ID`, `CLOUDFLARE_API_TOKEN` and,
    /// optionally, `CLOUDFLARE_API_BASE_URL`.
    pub fn from_environment() -> Result<Self, Error> {
        Self::from_variables(|name| env::var(name).ok())
    }

    /// Like [`AccountCredentials::from_environment`], but looks the variables up with a function. An empty variable
    /// counts as unset.
    pub fn from_variables(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, Error> {
        let optional = |name| variable(name).filter(|value| !value.is_empty());
        let required = |name| optional(name).ok_or(Error::NotConfigured(name));
        let base_url = optional("CLOUDFLARE_API_BASE_URL").unwrap_or_else(|| DEFAULT_BASE_URL.to_owned());
        let base_url: Url = base_url.parse().map_err(Error::BaseUrl)?;
        if !matches!(base_url.scheme(), "http" | "https") {
            return Err(Error::BaseUrlScheme(base_url));
        }
        Ok(Self { token: required("CLOUDFLARE_API_TOKEN")?, id: required("CLOUDFLARE_ACCOUNT_ID")?, base_url })
    }
}

/// A client of the API for one account.
///
/// It stays below the API's rate limit. It retries a request with increasing delays if the API is overloaded (429; it
/// respects `Retry-After`) or fails (5xx, or no reply at all), but not if the API refuses the request. A request that
/// creates something must therefore be safe to send twice. It is, because the API refuses to create a second resource
/// with the same name.
#[derive(Debug)]
pub struct Cloudflare {
    account: AccountCredentials,
    http: reqwest::Client,
    pacer: Pacer,
    first_delay: Duration,
    on_retry: RetryObserver,
}

/// A callback that receives the reason of the first retry only.
struct RetryObserver {
    callback: fn(&str),
    was_called: AtomicBool,
}

impl RetryObserver {
    const fn new(callback: fn(&str)) -> Self {
        Self { callback, was_called: AtomicBool::new(false) }
    }

    fn notify(&self, reason: &str) {
        if !self.was_called.swap(true, Ordering::Relaxed) {
            (self.callback)(reason);
        }
    }
}

impl fmt::Debug for RetryObserver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RetryObserver(was_called: {:?})", self.was_called)
    }
}

/// A request that is being built.
pub(super) struct ApiRequest<'c> {
    cloudflare: &'c Cloudflare,
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    body: RequestBody,
    /// A path segment that would make the URL point to something else.
    invalid_segment: Option<String>,
}

enum RequestBody {
    Empty,
    Json(Value),
    Text(String),
    /// The form is built again for each attempt.
    Form(Box<dyn Fn() -> Form + Send + Sync>),
}

/// A reply before its body is parsed.
struct RawReply {
    status: StatusCode,
    retry_after: Duration,
    body: Bytes,
}

/// The JSON object that wraps most results of the API.
#[derive(Debug, Deserialize)]
struct Envelope {
    success: bool,
    #[serde(default)]
    errors: Vec<ApiError>,
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    result_info: ResultInfo,
}

/// A message that comes with a result.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    message: String,
}

/// The position of a page in its list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResultInfo {
    page: u64,
    per_page: u64,
    total_count: u64,
    cursor: String,
    /// Some lists have a cursor on their last page, too.
    is_truncated: Option<bool>,
}

impl Cloudflare {
    /// Creates a client for an account.
    #[must_use]
    pub fn new(account: AccountCredentials) -> Self {
        let http = http::client(&account.base_url);
        let on_retry = RetryObserver::new(|_| ());
        Self { account, http, pacer: Pacer::default(), first_delay: FIRST_DELAY, on_retry }
    }

    /// Sets a function that is called with the reason of the client's first retry. Later retries are not reported.
    #[must_use]
    pub fn on_retry(self, callback: fn(&str)) -> Self {
        Self { on_retry: RetryObserver::new(callback), ..self }
    }

    /// Sets the delay before a request is sent for the second time. It doubles with each further attempt.
    /// Tests set it, so that they do not wait.
    #[must_use]
    pub fn with_first_delay(self, first_delay: Duration) -> Self {
        Self { first_delay, ..self }
    }

    /// Starts a request to `/accounts/<account id>/<path>`.
    pub(super) fn request(&self, method: Method, path: &[&str]) -> ApiRequest<'_> {
        let mut url = self.account.base_url.clone();
        // `.` and `..` change the path, even percent-encoded. An empty name would address the collection.
        let invalid_segment =
            path.iter().find(|segment| matches!(**segment, "" | "." | "..")).map(|segment| (*segment).to_owned());
        url.path_segments_mut()
            .expect("an http URL has a path")
            .pop_if_empty()
            .extend(["accounts", &self.account.id])
            .extend(path);
        ApiRequest { cloudflare: self, method, url, headers: Vec::new(), body: RequestBody::Empty, invalid_segment }
    }
}

impl ApiRequest<'_> {
    /// Adds a query parameter.
    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Adds a header if it has a value.
    pub(super) fn header(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.headers.extend(value.map(|value| (name, value.to_owned())));
        self
    }

    /// Sets a JSON body.
    pub(super) fn json(self, json: Value) -> Self {
        Self { body: RequestBody::Json(json), ..self }
    }

    /// Sets a text body.
    pub(super) fn text(self, text: &str) -> Self {
        Self { body: RequestBody::Text(text.to_owned()), ..self }
    }

    /// Sets a multipart form as the body.
    pub(super) fn form(self, form: impl Fn() -> Form + Send + Sync + 'static) -> Self {
        Self { body: RequestBody::Form(Box::new(form)), ..self }
    }

    /// Sends the request and returns the result.
    pub(super) async fn send<T: DeserializeOwned>(&self) -> Result<T, Error> {
        Ok(self.send_with_messages().await?.0)
    }

    /// Sends the request and returns the result, or `None` if the reply is a 404.
    pub(super) async fn send_optional<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        Ok(self.send_optional_with_messages().await?.map(|(result, _)| result))
    }

    /// Sends the request and returns the result and the API's messages, or `None` if the reply is a 404.
    pub(super) async fn send_optional_with_messages<T: DeserializeOwned>(
        &self,
    ) -> Result<Option<(T, Vec<String>)>, Error> {
        match self.send_with_messages().await {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends the request and returns the result and the API's messages.
    pub(super) async fn send_with_messages<T: DeserializeOwned>(&self) -> Result<(T, Vec<String>), Error> {
        let Envelope { result, messages, .. } = self.send_for_envelope(&self.url).await?;
        Ok((self.parse_result(result)?, messages.into_iter().map(|message| message.message).collect()))
    }

    /// Sends the request and returns the body of a reply that has no envelope, or `None` if the reply is a 404.
    pub(super) async fn send_bytes_optional(&self) -> Result<Option<Bytes>, Error> {
        let (status, body) = self.send_with_retries(&self.url).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            _ if status.is_success() => Ok(Some(body)),
            _ => self.parse_envelope(status, &body).map(|_| None),
        }
    }

    /// Sends the request once, and returns the reply to read as it comes, for as long as that takes.
    pub(super) async fn send_stream(&self) -> Result<Response, Error> {
        let reply = self.build(&self.url).timeout(Duration::MAX).send().await;
        let reply =
            reply.map_err(|source| Error::NoReply { request: self.description(), source: source.without_url() })?;
        if reply.status().is_success() {
            return Ok(reply);
        }
        let status = reply.status();
        let body = reply.bytes().await.unwrap_or_default();
        Err(match self.parse_envelope(status, &body) {
            Err(error) => error,
            Ok(_) => Error::Refused { request: self.description(), status, errors: Vec::new() },
        })
    }

    /// Sends a request that deletes something. A 404 is a success.
    pub(super) async fn send_delete(&self) -> Result<(), Error> {
        self.send_optional::<Value>().await.map(drop)
    }

    /// Fetches all pages of a list. `member` is the member of the result that holds the list, if the result is not the
    /// list itself.
    pub(super) async fn list<T: DeserializeOwned>(&self, member: Option<&str>) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut url = self.url.clone();
        loop {
            let Envelope { mut result, result_info, .. } = self.send_for_envelope(&url).await?;
            let page: Vec<T> = self.parse_result(match member {
                Some(member) => result[member].take(),
                None => result,
            })?;
            let was_empty = page.is_empty();
            all.extend(page);
            url = self.url.clone();
            let has_more = result_info.page * result_info.per_page < result_info.total_count;
            if result_info.is_truncated == Some(false) {
                return Ok(all);
            }
            if !result_info.cursor.is_empty() {
                url.query_pairs_mut().append_pair("cursor", &result_info.cursor);
            } else if has_more && !was_empty {
                url.query_pairs_mut().append_pair("page", &(result_info.page + 1).to_string());
            } else {
                return Ok(all);
            }
        }
    }

    async fn send_for_envelope(&self, url: &Url) -> Result<Envelope, Error> {
        let (status, body) = self.send_with_retries(url).await?;
        self.parse_envelope(status, &body)
    }

    /// Sends the request up to [`ATTEMPTS`] times and returns the last reply.
    async fn send_with_retries(&self, url: &Url) -> Result<(StatusCode, Bytes), Error> {
        if let Some(segment) = &self.invalid_segment {
            return Err(Error::InvalidName(segment.clone()));
        }
        let mut delay = self.cloudflare.first_delay;
        for attempt in 1.. {
            self.cloudflare.pacer.wait().await;
            let mut wait = delay;
            match self.send_once(url).await {
                Ok(RawReply { status, body, retry_after }) => {
                    let overloaded = status == StatusCode::TOO_MANY_REQUESTS;
                    let failed = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
                    if attempt == ATTEMPTS || !(overloaded || failed) {
                        return Ok((status, body));
                    }
                    wait = wait.max(retry_after);
                    self.cloudflare.on_retry.notify(&format!("it replied with {status}"));
                }
                Err(source) if attempt == ATTEMPTS || source.is_builder() => {
                    return Err(Error::NoReply { request: self.description(), source: source.without_url() });
                }
                Err(_) => self.cloudflare.on_retry.notify("it did not reply"),
            }
            sleep(wait).await;
            delay *= 2;
        }
        unreachable!("the last attempt returns")
    }

    /// Sends the request once. A reply that breaks off is an error.
    async fn send_once(&self, url: &Url) -> Result<RawReply, reqwest::Error> {
        let reply = self.build(url).send().await?;
        let seconds = reply.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        Ok(RawReply {
            status: reply.status(),
            retry_after: Duration::from_secs(seconds.unwrap_or(0)),
            body: reply.bytes().await?,
        })
    }

    fn build(&self, url: &Url) -> RequestBuilder {
        let Cloudflare { http, account, .. } = self.cloudflare;
        let mut request = http.request(self.method.clone(), url.clone()).bearer_auth(&account.token).timeout(TIMEOUT);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        match &self.body {
            RequestBody::Empty => request,
            RequestBody::Json(json) => request.header("Content-Type", "application/json").body(json.to_string()),
            RequestBody::Text(text) => request.header("Content-Type", "text/plain;charset=UTF-8").body(text.clone()),
            RequestBody::Form(form) => request.multipart(form()),
        }
    }

    fn parse_envelope(&self, status: StatusCode, body: &[u8]) -> Result<Envelope, Error> {
        // The reply to a deletion may be empty.
        if status == StatusCode::NO_CONTENT || (status.is_success() && body.is_empty()) {
            return Ok(Envelope {
                success: true,
                errors: Vec::new(),
                messages: Vec::new(),
                result: Value::Null,
                result_info: ResultInfo::default(),
            });
        }
        let request = self.description();
        match serde_json::from_slice::<Envelope>(body) {
            Ok(envelope) if status.is_success() && envelope.success => Ok(envelope),
            Ok(envelope) => Err(Error::Refused { request, status, errors: envelope.errors }),
            Err(_) if !status.is_success() => Err(Error::Refused { request, status, errors: Vec::new() }),
            Err(source) => Err(Error::Unexpected { request, status, source }),
        }
    }

    fn parse_result<T: DeserializeOwned>(&self, result: Value) -> Result<T, Error> {
        serde_json::from_value(result).map_err(|source| Error::Unexpected {
            request: self.description(),
            status: StatusCode::OK,
            source,
        })
    }

    /// The method and the path, for error messages.
    fn description(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }
}
