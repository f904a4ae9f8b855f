//! A key set on the network, as identity providers publish theirs.

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
use crate::json::Parsed;

/// How often a request checks whether the fetch that it waits for has ended. It must not wait for another request's
/// promise, which never settles if that request's client disconnects.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The largest key set, in bytes.
const MAX_LEN: usize = 256 * 1024;

type Keys = FetchedKeys<KeyRing>;

thread_local! {
    /// A URL, and the keys that were fetched from it.
    static KEYS: RefCell<(String, Keys)> = RefCell::default();
}

/// The keys of the set at `url`. They are fetched if they are not known, or if a token names one that is not among them.
pub async fn fetched(url: &str, token: &Token<'_>, ctx: &Context) -> Result<Rc<KeyRing>, Problem> {
    let settles = |ring: &KeyRing| ring.has_key_for(token) || !token.has_key_id();
    loop {
        match KEYS.with_borrow_mut(|known| keys_of(url, known).next_action(settles, Date::now())) {
            KeyAction::Use(ring) => return Ok(ring),
            KeyAction::UseAndFetch(ring) => {
                ctx.wait_until(fetch_keys(url.to_owned()));
                return Ok(ring);
            }
            KeyAction::Fail(cause) => return Err(Problem::auth_unavailable(cause)),
            KeyAction::Wait => {}
            // Others wait for it: it continues if this request's client disconnects.
            KeyAction::Fetch => ctx.wait_until(fetch_keys(url.to_owned())),
        }
        Delay::from(POLL_INTERVAL).await;
    }
}

/// Keys that were fetched from another URL are not this one's.
fn keys_of<'k>(url: &str, (known_url, keys): &'k mut (String, Keys)) -> &'k mut Keys {
    if known_url != url {
        url.clone_into(known_url);
        *keys = Keys::default();
    }
    keys
}

async fn fetch_keys(url: String) {
    // The URL may contain a password, and the runtime's message may contain the URL.
    let failure = |cause: String| format!("TOKEN_JWKS_URL gave no key set: {}", cause.replace(&url, "TOKEN_JWKS_URL"));
    let outcome = get(&url).await.map_err(failure);
    if let Err(cause) = &outcome {
        edge::log_error(cause);
    }
    KEYS.with_borrow_mut(|(known_url, keys)| {
        if *known_url == url {
            keys.finish_fetch(outcome, Date::now());
        }
    });
}

async fn get(url: &str) -> Result<KeyRing, String> {
    let init = RequestInit::new();
    init.set_signal(Some(&AbortSignal::timeout_with_f64(Keys::FETCH_TIMEOUT)));
    init.set_cache(RequestCache::NoStore);
    // A redirect might lead to where anybody can answer.
    init.set_redirect(RequestRedirect::Manual);
    let reply = edge::await_promise(Ok(edge::global().fetch_with_str_and_init(url, &init))).await;
    let reply: Response = reply.map_err(|thrown| edge::error_message(&thrown))?.unchecked_into();
    if !reply.ok() {
        return Err(format!("status {}", reply.status()));
    }
    KeyRing::new(&text(&reply).await?, parse_jwks::<Parsed>).map_err(|invalid| invalid.to_string())
}

/// The body of a reply, read until it is too long: an endless one would fill the isolate's memory.
async fn text(reply: &Response) -> Result<String, String> {
    let message = |thrown: JsValue| edge::error_message(&thrown);
    let body = reply.body().ok_or("it is empty")?;
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    loop {
        let chunk = edge::await_promise(Ok(reader.read())).await.map_err(message)?;
        let member = |name: &str| Reflect::get(&chunk, &name.into()).map_err(message);
        if member("done")?.is_truthy() {
            return String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned());
        }
        bytes.extend(member("value")?.unchecked_into::<Uint8Array>().to_vec());
        if bytes.len() > MAX_LEN {
            edge::await_promise(Ok(reader.cancel())).await.map_err(message)?;
            return Err(format!("it has more than {MAX_LEN} bytes"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_another_url_are_forgotten() {
        let mut known = (String::new(), Keys::default());
        let now = Keys::REFRESH_AGE;
        keys_of("https://a", &mut known).finish_fetch(Ok(KeyRing::default()), now);
        assert!(matches!(keys_of("https://a", &mut known).next_action(|_| true, now), KeyAction::Use(_)));
        assert!(matches!(keys_of("https://b", &mut known).next_action(|_| true, now), KeyAction::Fetch));
    }
}
