//! Asks the API, again if that helps.

use std::env;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::RETRY_AFTER;
use reqwest::multipart::Form;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;
use url::Url;

use super::error::{ApiError, Error};
use super::http;
use super::pace::Pace;

/// How often a request is sent at most.
const ATTEMPTS: u32 = 6;

/// How long is waited before the second attempt; twice as long before each one after.
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// How long a request may take. Uploads are a few megabytes.
const TIMEOUT: Duration = Duration::from_mins(2);

const API: &str = "https://api.cloudflare.com/client/v4";

/// An account of Cloudflare's, and the right to use it.
#[derive(Clone)]
pub struct Account {
    /// Where the API is.
    pub base_url: Url,
    /// The account's id.
    pub id: String,
    /// A token of the API's; it is not shown by `Debug`.
    pub token: String,
}

impl fmt::Debug for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Account({} at {})", self.id, self.base_url)
    }
}

impl Account {
    /// The account that wrangler would use: `CLOUDFLARE_ACCOUNT_ID`, `CLOUDFLARE_API_TOKEN`, and `CLOUDFLARE_API_BASE_URL` if
    /// it is not Cloudflare's own.
    pub fn from_environment() -> Result<Self, Error> {
        Self::from_variables(|name| env::var(name).ok())
    }

    /// The same from variables of another place.
    pub fn from_variables(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, Error> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let needed = |name| set(name).ok_or(Error::NotConfigured(name));
        let base_url = set("CLOUDFLARE_API_BASE_URL").unwrap_or_else(|| API.to_owned());
        let base_url: Url = base_url.parse().map_err(Error::BaseUrl)?;
        if !matches!(base_url.scheme(), "http" | "https") {
            return Err(Error::BaseUrlScheme(base_url));
        }
        Ok(Self { token: needed("CLOUDFLARE_API_TOKEN")?, id: needed("CLOUDFLARE_ACCOUNT_ID")?, base_url })
    }
}

/// A client of the API for one account.
///
/// It keeps to the API's pace, and asks again, later and later, when the API is overloaded (429, as `Retry-After` says) or
/// fails (5xx, or no answer at all); never when it refuses. What makes something must therefore be safe to ask for twice: the
/// API knows names, and refuses the second.
#[derive(Debug)]
pub struct Cloudflare {
    account: Account,
    http: reqwest::Client,
    pace: Pace,
    first_delay: Duration,
    on_retry: OnRetry,
}

/// Who is told, once, that the API is asked again.
struct OnRetry {
    tell: fn(&str),
    told: AtomicBool,
}

impl OnRetry {
    const fn new(tell: fn(&str)) -> Self {
        Self { tell, told: AtomicBool::new(false) }
    }

    fn because(&self, why: &str) {
        if !self.told.swap(true, Ordering::Relaxed) {
            (self.tell)(why);
        }
    }
}

impl fmt::Debug for OnRetry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OnRetry(told: {:?})", self.told)
    }
}

/// A request that is being put together.
pub(super) struct Call<'c> {
    cloudflare: &'c Cloudflare,
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    body: Body,
    /// A name that would lead to another place than its own.
    misnomer: Option<String>,
}

/// What goes with a request.
enum Body {
    Empty,
    Json(Value),
    Text(String),
    /// Made anew for each attempt.
    Form(Box<dyn Fn() -> Form + Send + Sync>),
}

/// What came of a request that was answered.
struct Attempt {
    status: StatusCode,
    retry_after: Duration,
    body: Bytes,
}

/// How the API answers.
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

/// What the API says besides.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    message: String,
}

/// Where a list goes on.
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
    /// A client for an account.
    #[must_use]
    pub fn new(account: Account) -> Self {
        let http = http::client(&account.base_url);
        Self { account, http, pace: Pace::default(), first_delay: FIRST_DELAY, on_retry: OnRetry::new(|_| ()) }
    }

    /// Tells why the API is asked again, the first time that it is.
    #[must_use]
    pub fn on_retry(self, tell: fn(&str)) -> Self {
        Self { on_retry: OnRetry::new(tell), ..self }
    }

    /// Sets how long to wait before a request is sent for the second time; the wait doubles with each further attempt.
    #[must_use]
    pub fn with_first_delay(self, first_delay: Duration) -> Self {
        Self { first_delay, ..self }
    }

    /// A request about something of the account's, named by the segments of its path.
    pub(super) fn call(&self, method: Method, path: &[&str]) -> Call<'_> {
        let mut url = self.account.base_url.clone();
        // These are steps in a path, however they are written.
        let misnomer = path.iter().find(|name| matches!(**name, "" | "." | "..")).map(|name| (*name).to_owned());
        url.path_segments_mut()
            .expect("an http URL has a path")
            .pop_if_empty()
            .extend(["accounts", &self.account.id])
            .extend(path);
        Call { cloudflare: self, method, url, headers: Vec::new(), body: Body::Empty, misnomer }
    }
}

impl Call<'_> {
    /// Adds a parameter to the query.
    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Adds a header, if there is a value for it.
    pub(super) fn header(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.headers.extend(value.map(|value| (name, value.to_owned())));
        self
    }

    /// Sends JSON.
    pub(super) fn json(self, json: Value) -> Self {
        Self { body: Body::Json(json), ..self }
    }

    /// Sends text.
    pub(super) fn text(self, text: &str) -> Self {
        Self { body: Body::Text(text.to_owned()), ..self }
    }

    /// Sends a form.
    pub(super) fn form(self, form: impl Fn() -> Form + Send + Sync + 'static) -> Self {
        Self { body: Body::Form(Box::new(form)), ..self }
    }

    /// Sends the request, and returns the result.
    pub(super) async fn send<T: DeserializeOwned>(&self) -> Result<T, Error> {
        Ok(self.send_with_messages().await?.0)
    }

    /// Sends the request, and returns the result; `None` if the API answers 404.
    pub(super) async fn send_optional<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        Ok(self.send_optional_with_messages().await?.map(|(result, _)| result))
    }

    /// Sends the request, and returns the result and the API's messages; `None` if the API answers 404.
    pub(super) async fn send_optional_with_messages<T: DeserializeOwned>(
        &self,
    ) -> Result<Option<(T, Vec<String>)>, Error> {
        match self.send_with_messages().await {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends the request, and returns the result and the API's messages.
    pub(super) async fn send_with_messages<T: DeserializeOwned>(&self) -> Result<(T, Vec<String>), Error> {
        let Envelope { result, messages, .. } = self.envelope(&self.url).await?;
        Ok((self.parse(result)?, messages.into_iter().map(|message| message.message).collect()))
    }

    /// Sends the request, and returns the body as it is: these replies have no envelope. `None` if the API answers 404.
    pub(super) async fn send_bytes_optional(&self) -> Result<Option<Bytes>, Error> {
        let (status, body) = self.reply(&self.url).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            _ if status.is_success() => Ok(Some(body)),
            _ => self.read(status, &body).map(|_| None),
        }
    }

    /// Sends the request for what is to be gone afterwards, and may be gone already.
    pub(super) async fn send_delete(&self) -> Result<(), Error> {
        match self.envelope(&self.url).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks for a list, page by page to its end. Some lists are a member of the result, called `member`.
    pub(super) async fn list<T: DeserializeOwned>(&self, member: Option<&str>) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut url = self.url.clone();
        loop {
            let Envelope { mut result, result_info, .. } = self.envelope(&url).await?;
            let page: Vec<T> = self.parse(match member {
                Some(member) => result[member].take(),
                None => result,
            })?;
            let was_empty = page.is_empty();
            all.extend(page);
            url = self.url.clone();
            let more = result_info.page * result_info.per_page < result_info.total_count;
            if result_info.is_truncated == Some(false) {
                return Ok(all);
            }
            if !result_info.cursor.is_empty() {
                url.query_pairs_mut().append_pair("cursor", &result_info.cursor);
            } else if more && !was_empty {
                url.query_pairs_mut().append_pair("page", &(result_info.page + 1).to_string());
            } else {
                return Ok(all);
            }
        }
    }

    async fn envelope(&self, url: &Url) -> Result<Envelope, Error> {
        let (status, body) = self.reply(url).await?;
        self.read(status, &body)
    }

    /// Sends the request, again if that may help, and answers what came at last.
    async fn reply(&self, url: &Url) -> Result<(StatusCode, Bytes), Error> {
        if let Some(name) = &self.misnomer {
            return Err(Error::Name(name.clone()));
        }
        let mut delay = self.cloudflare.first_delay;
        for attempt in 1.. {
            self.cloudflare.pace.keep().await;
            let mut wait = delay;
            match self.attempt(url).await {
                Ok(Attempt { status, body, retry_after }) => {
                    let overloaded = status == StatusCode::TOO_MANY_REQUESTS;
                    let failed = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
                    if attempt == ATTEMPTS || !(overloaded || failed) {
                        return Ok((status, body));
                    }
                    wait = wait.max(retry_after);
                    self.cloudflare.on_retry.because(&format!("it answered {status}"));
                }
                Err(source) if attempt == ATTEMPTS || source.is_builder() => return Err(self.no_answer(source)),
                Err(_) => self.cloudflare.on_retry.because("it did not answer"),
            }
            sleep(wait).await;
            delay *= 2;
        }
        unreachable!("the last attempt returns")
    }

    /// Sends the request once. An answer that breaks off is none.
    async fn attempt(&self, url: &Url) -> Result<Attempt, reqwest::Error> {
        let reply = self.request(url).send().await?;
        let seconds = reply.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        Ok(Attempt {
            status: reply.status(),
            retry_after: Duration::from_secs(seconds.unwrap_or(0)),
            body: reply.bytes().await?,
        })
    }

    fn request(&self, url: &Url) -> RequestBuilder {
        let Cloudflare { http, account, .. } = self.cloudflare;
        let mut request = http.request(self.method.clone(), url.clone()).bearer_auth(&account.token).timeout(TIMEOUT);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        match &self.body {
            Body::Empty => request,
            Body::Json(json) => request.header("Content-Type", "application/json").body(json.to_string()),
            Body::Text(text) => request.header("Content-Type", "text/plain;charset=UTF-8").body(text.clone()),
            Body::Form(form) => request.multipart(form()),
        }
    }

    fn read(&self, status: StatusCode, body: &[u8]) -> Result<Envelope, Error> {
        // A deletion may answer with nothing at all.
        if status == StatusCode::NO_CONTENT || (status.is_success() && body.is_empty()) {
            return Ok(Envelope {
                success: true,
                errors: Vec::new(),
                messages: Vec::new(),
                result: Value::Null,
                result_info: ResultInfo::default(),
            });
        }
        match serde_json::from_slice::<Envelope>(body) {
            Ok(envelope) if status.is_success() && envelope.success => Ok(envelope),
            Ok(envelope) => Err(Error::Refused { request: self.name(), status, errors: envelope.errors }),
            Err(_) if !status.is_success() => Err(Error::Refused { request: self.name(), status, errors: Vec::new() }),
            Err(source) => Err(Error::Unexpected { request: self.name(), status, source }),
        }
    }

    fn parse<T: DeserializeOwned>(&self, result: Value) -> Result<T, Error> {
        serde_json::from_value(result).map_err(|source| Error::Unexpected {
            request: self.name(),
            status: StatusCode::OK,
            source,
        })
    }

    fn no_answer(&self, source: reqwest::Error) -> Error {
        Error::NoAnswer { request: self.name(), source: source.without_url() }
    }

    /// The request as errors name it.
    fn name(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }
}
