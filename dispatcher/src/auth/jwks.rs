//! The key set at `TOKEN_JWKS_URL`, for example that of an identity provider.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use js_sys::{Date, Reflect, Uint8Array};
use shared::auth::{FetchedKeys, KeyAction, Token, parse_jwks};
use shared::http::Problem;
use wasm_bindgen::prelude::*;
use web_sys::{AbortSignal, ReadableStreamDefaultReader, RequestCache, RequestInit, RequestRedirect, Response};
use worker::{Context, Delay};

use super::key_ring::KeyRing;
use crate::json::JsJson;

/// How often a request checks whether another request has fetched the keys. It cannot await the other request's
/// promise, which never settles if that request's client disconnects.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The maximum length of a key set, in bytes.
const MAX_LEN: usize = 256 * 1024;

/// The key set's keys, with the state of fetching them.
type FetchedKeyRing = FetchedKeys<KeyRing>;

thread_local! {
    /// A URL, and the keys that were fetched from it.
    static KEYS: RefCell<(String, FetchedKeyRing)> = RefCell::default();
}

/// Returns the keys of the set at `url`. Fetches them if they are not cached, or if the token names a key that is not
/// among the cached ones.
pub async fn key_ring(url: &str, token: &Token<'_>, ctx: &Context) -> Result<Rc<KeyRing>, Problem> {
    let settles = |ring: &KeyRing| ring.has_key_for(token) || !token.has_key_id();
    loop {
        match KEYS.with_borrow_mut(|cached| keys_of(url, cached).next_action(settles, Date::now())) {
            KeyAction::Use(ring) => return Ok(ring),
            KeyAction::UseAndFetch(ring) => {
                ctx.wait_until(fetch_keys(url.to_owned()));
                return Ok(ring);
            }
            KeyAction::Fail(cause) => return Err(Problem::auth_unavailable(cause)),
            KeyAction::Wait => {}
            // Other requests wait for these keys, so the fetch continues even if this request's client disconnects.
            KeyAction::Fetch => ctx.wait_until(fetch_keys(url.to_owned())),
        }
        Delay::from(POLL_INTERVAL).await;
    }
}

/// Returns the cached keys of `url`. Discards keys that were fetched from another URL.
fn keys_of<'k>(url: &str, (cached_url, keys): &'k mut (String, FetchedKeyRing)) -> &'k mut FetchedKeyRing {
    if cached_url != url {
        url.clone_into(cached_url);
        *keys = FetchedKeyRing::default();
    }
    keys
}

/// Fetches the keys, and stores them for all requests of the isolate.
async fn fetch_keys(url: String) {
    // The runtime's message may contain the URL, and the URL may contain a password.
    let failure = |cause: String| format!("cannot use TOKEN_JWKS_URL: {}", cause.replace(&url, "TOKEN_JWKS_URL"));
    let fetched = get(&url).await.map_err(failure);
    if let Err(cause) = &fetched {
        edge::log_error(cause);
    }
    KEYS.with_borrow_mut(|(cached_url, keys)| {
        if *cached_url == url {
            keys.finish_fetch(fetched, Date::now());
        }
    });
}

async fn get(url: &str) -> Result<KeyRing, String> {
    let init = RequestInit::new();
    init.set_signal(Some(&AbortSignal::timeout_with_f64(FetchedKeyRing::FETCH_TIMEOUT)));
    init.set_cache(RequestCache::NoStore);
    // A redirect could lead to a host that the operator does not trust.
    init.set_redirect(RequestRedirect::Manual);
    let reply = edge::await_promise(Ok(edge::global().fetch_with_str_and_init(url, &init))).await;
    let reply: Response = reply.map_err(|thrown| edge::error_message(&thrown))?.unchecked_into();
    if !reply.ok() {
        return Err(format!("status {}", reply.status()));
    }
    KeyRing::new(&text(&reply).await?, parse_jwks::<JsJson>).map_err(|invalid| invalid.to_string())
}

/// Reads a reply's body as text. Stops at [`MAX_LEN`] bytes, because an endless body would fill the isolate's memory.
async fn text(reply: &Response) -> Result<String, String> {
    let message = |thrown: JsValue| edge::error_message(&thrown);
    let body = reply.body().ok_or("empty body")?;
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    loop {
        let chunk = edge::await_promise(Ok(reader.read())).await.map_err(message)?;
        let member = |name: &str| Reflect::get(&chunk, &name.into()).map_err(message);
        if member("done")?.is_truthy() {
            return String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned());
        }
        bytes.extend(member("value")?.unchecked_into::<Uint8Array>().to_vec());
        if bytes.len() > MAX_LEN {
            edge::await_promise(Ok(reader.cancel())).await.map_err(message)?;
            return Err(format!("more than {MAX_LEN} bytes"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_another_url_are_discarded() {
        let mut cached = (String::new(), FetchedKeyRing::default());
        let now = FetchedKeyRing::REFRESH_AGE;
        keys_of("https://a", &mut cached).finish_fetch(Ok(KeyRing::default()), now);
        assert!(matches!(keys_of("https://a", &mut cached).next_action(|_| true, now), KeyAction::Use(_)));
        assert!(matches!(keys_of("https://b", &mut cached).next_action(|_| true, now), KeyAction::Fetch));
    }
}
