//! A key set on the network, as identity providers publish theirs.

use std::cell::RefCell;
use std::rc::Rc;

use edge::object;
use edge::task::settled;
use js_sys::{Date, Object, Promise, Reflect, Uint8Array};
use shared::Problem;
use shared::token::{FetchedKeys, Step, Token, parse_jwks};
use wasm_bindgen::{JsCast, prelude::*};
use web_sys::{ReadableStreamDefaultReader, Response};

use super::key_ring::KeyRing;
use crate::json::Parsed;
use crate::telemetry;

/// How often a request looks whether the fetch that it waits for has ended, in milliseconds. One request must not await
/// another's promise, which never settles if that one goes away.
const POLL_INTERVAL: f64 = 10.0;

/// The largest set, in bytes.
const MAX_LEN: usize = 256 * 1024;

type Keys = FetchedKeys<KeyRing>;

thread_local! {
    /// A URL, and the keys that are known of it.
    static KEYS: RefCell<(String, Keys)> = RefCell::default();
}

/// The keys of the set at `url`, fetched if they are not known or a token names one that is not among them.
pub async fn fetched(url: &str, token: &Token<'_>) -> Result<Rc<KeyRing>, Problem> {
    let settles = |ring: &KeyRing| ring.has_key_for(token) || !token.names_a_key();
    loop {
        match KEYS.with_borrow_mut(|known| keys_of(url, known).next(settles, Date::now())) {
            Step::Use(ring) => return Ok(ring),
            Step::UseAndFetch(ring) => {
                edge::wait_until(fetch_keys(url.to_owned()));
                return Ok(ring);
            }
            Step::GiveUp(cause) => return Err(Problem::auth_unavailable(cause)),
            Step::Wait => {}
            // Others wait for it: it goes on when this request's client has gone.
            Step::Fetch => edge::wait_until(fetch_keys(url.to_owned())),
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Keys that were fetched from another URL are none of this one's.
fn keys_of<'k>(url: &str, (known_url, keys): &'k mut (String, Keys)) -> &'k mut Keys {
    if known_url != url {
        url.clone_into(known_url);
        *keys = Keys::default();
    }
    keys
}

async fn fetch_keys(url: String) {
    // The URL may have a password in it, and what the runtime says may have the URL.
    let failure = |cause: String| format!("TOKEN_JWKS_URL gave no key set: {}", cause.replace(&url, "TOKEN_JWKS_URL"));
    let outcome = get(&url).await.map_err(failure);
    if let Err(cause) = &outcome {
        telemetry::log_failure(cause);
    }
    KEYS.with_borrow_mut(|(known_url, keys)| {
        if *known_url == url {
            keys.fetched(outcome, Date::now());
        }
    });
}

async fn get(url: &str) -> Result<KeyRing, String> {
    let thrown = |thrown: JsValue| edge::thrown_message(&thrown);
    // No redirects: they might lead to where anybody can answer.
    let options = object(&[
        ("signal", abort_after(Keys::FETCH_TIMEOUT)),
        ("cache", "no-store".into()),
        ("redirect", "manual".into()),
    ]);
    let reply: Response = settled(fetch(url, &options)).await.map_err(thrown)?.unchecked_into();
    if !reply.ok() {
        return Err(format!("status {}", reply.status()));
    }
    KeyRing::new(&text(&reply).await?, parse_jwks::<Parsed>).map_err(|invalid| invalid.to_string())
}

/// The body of a reply, read up to where it is too long: one that does not end would fill the isolate's memory.
async fn text(reply: &Response) -> Result<String, String> {
    let thrown = |thrown: JsValue| edge::thrown_message(&thrown);
    let body = reply.body().ok_or("it is empty")?;
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    loop {
        let piece = settled(Ok(reader.read())).await.map_err(thrown)?;
        let member = |name: &str| Reflect::get(&piece, &name.into()).map_err(thrown);
        if member("done")?.is_truthy() {
            return String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned());
        }
        bytes.extend(member("value")?.unchecked_into::<Uint8Array>().to_vec());
        if bytes.len() > MAX_LEN {
            settled(Ok(reader.cancel())).await.map_err(thrown)?;
            return Err(format!("it has more than {MAX_LEN} bytes"));
        }
    }
}

async fn sleep(milliseconds: f64) {
    let timer = Promise::new(&mut |resolve, _| set_timeout(&resolve, milliseconds));
    settled(Ok(timer)).await.expect("a timer does not fail");
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch)]
    fn fetch(url: &str, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &js_sys::Function, milliseconds: f64);

    #[wasm_bindgen(js_namespace = AbortSignal, js_name = timeout)]
    fn abort_after(milliseconds: f64) -> JsValue;
}
