//! A key set on the network, as identity providers publish theirs.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Date, JsString, Object, Promise};
use shared::Problem;
use shared::token::{Token, parse_jwks};
use wasm_bindgen::{JsCast, prelude::*};
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;
use worker::Context;

use super::key_ring::KeyRing;
use crate::bindings::object;
use crate::json::Parsed;

/// All times are in milliseconds. How long a set is used before it is fetched again.
const MAX_AGE: f64 = 600_000.0;

/// How long it is used at most where it cannot be fetched again.
const MAX_STALE_AGE: f64 = 3_600_000.0;

/// How often, at most, a token that names a key which is not in the set makes it be fetched again.
const UNKNOWN_KEY_INTERVAL: f64 = 60_000.0;

/// How long after a failure it is tried again.
const RETRY_INTERVAL: f64 = 5_000.0;

/// How long a fetch may take.
const FETCH_TIMEOUT: f64 = 5_000.0;

/// How often a request looks whether the fetch that it waits for has ended: one request must not await another's promise,
/// which never settles if that one goes away.
const POLL_INTERVAL: f64 = 10.0;

/// The largest set, in UTF-16 code units.
const MAX_LEN: u32 = 256 * 1024;

thread_local! {
    /// The set of one URL.
    static SET: RefCell<Set> = RefCell::default();
}

#[derive(Default)]
struct Set {
    url: String,
    ring: Option<Rc<KeyRing>>,
    fetched_at: f64,
    fetching_since: Option<f64>,
    failure: Option<(f64, String)>,
    unknown_key_at: Option<f64>,
}

enum Step {
    Use(Rc<KeyRing>),
    Fetch,
    Wait,
    GiveUp(Problem),
}

impl Set {
    fn next(&mut self, token: &Token<'_>, now: f64) -> Step {
        let age = now - self.fetched_at;
        let usable = self.ring.clone().filter(|_| age < MAX_STALE_AGE);
        let fresh = usable.clone().filter(|_| age < MAX_AGE);
        if let Some(ring) = &fresh
            && (ring.has_key_for(token) || !token.names_a_public_key())
        {
            return Step::Use(ring.clone());
        }
        if self.fetching_since.is_some_and(|since| now - since < FETCH_TIMEOUT + POLL_INTERVAL) {
            return Step::Wait;
        }
        if let Some((at, cause)) = &self.failure
            && now - at < RETRY_INTERVAL
        {
            return usable.map_or_else(|| Step::GiveUp(Problem::auth_unavailable(cause.clone())), Step::Use);
        }
        if let Some(ring) = fresh {
            // The set is young, and has no key of the name that the token has: perhaps it was published since.
            if self.unknown_key_at.is_some_and(|at| now - at < UNKNOWN_KEY_INTERVAL) {
                return Step::Use(ring);
            }
            self.unknown_key_at = Some(now);
        }
        self.fetching_since = Some(now);
        Step::Fetch
    }
}

/// The keys of the set at `url`, fetched if they are not known or a token names one that is not among them.
pub async fn fetched(url: &str, token: &Token<'_>, context: &Context) -> Result<Rc<KeyRing>, Problem> {
    SET.with_borrow_mut(|set| {
        if set.url != url {
            *set = Set { url: url.to_owned(), ..Set::default() };
        }
    });
    loop {
        match SET.with_borrow_mut(|set| set.next(token, Date::now())) {
            Step::Use(ring) => return Ok(ring),
            Step::GiveUp(problem) => return Err(problem),
            Step::Wait => {}
            // Others wait for it: it goes on when this request's client has gone.
            Step::Fetch => context.wait_until(fetch_set(url.to_owned())),
        }
        sleep(POLL_INTERVAL).await;
    }
}

async fn fetch_set(url: String) {
    let outcome = get(&url).await;
    SET.with_borrow_mut(|set| {
        if set.url != url {
            return;
        }
        set.fetching_since = None;
        match outcome {
            Ok(ring) => {
                set.ring = Some(Rc::new(ring));
                set.fetched_at = Date::now();
                set.failure = None;
            }
            Err(cause) => {
                let cause = format!("{url} gave no key set: {cause}");
                web_sys::console::error_1(&JsValue::from(&cause));
                set.failure = Some((Date::now(), cause));
            }
        }
    });
}

async fn get(url: &str) -> Result<KeyRing, String> {
    let thrown = |thrown: JsValue| edge::thrown_message(&thrown);
    let options = object([("signal", abort_after(FETCH_TIMEOUT))]);
    let reply: Response = fetch(url, &options).await.map_err(thrown)?.unchecked_into();
    if !reply.ok() {
        return Err(format!("status {}", reply.status()));
    }
    let text = JsFuture::from(reply.text().map_err(thrown)?).await.map_err(thrown)?;
    let text: JsString = text.unchecked_into();
    if text.length() > MAX_LEN {
        return Err(format!("it is longer than {MAX_LEN}"));
    }
    KeyRing::new(text.into(), parse_jwks::<Parsed>).map_err(|invalid| invalid.to_string())
}

async fn sleep(milliseconds: f64) {
    let timer = Promise::new(&mut |resolve, _| set_timeout(&resolve, milliseconds));
    JsFuture::from(timer).await.expect("a timer does not fail");
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn fetch(url: &str, options: &Object) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &js_sys::Function, milliseconds: f64);

    #[wasm_bindgen(js_namespace = AbortSignal, js_name = timeout)]
    fn abort_after(milliseconds: f64) -> JsValue;
}
