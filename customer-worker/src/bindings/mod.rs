//! The customer's storage, used here and nowhere else. Each call names its binding in the Worker's `env` and uses what is there at
//! that moment; that nothing is there shows when the call fails. To look first would cost calls into JavaScript.
//!
//! `worker`'s own types are not used: they turn streams into Rust streams and back, and look at a binding's name rather
//! than at what it can do.

pub mod d1;
pub mod kv;
pub mod r2;

use edge::name;
use edge::task::settled;
use js_sys::{Date, Promise, Reflect};
use shared::Problem;
use wasm_bindgen::{JsCast, prelude::*};

#[wasm_bindgen(module = "cloudflare:workers")]
extern "C" {
    /// The Worker's `env`. A request's handler is given the same; an RPC method is not.
    #[wasm_bindgen(thread_local_v2, js_name = env)]
    static ENV: JsValue;
}

/// A binding that a customer may have.
pub struct Binding {
    name: &'static str,
    /// What the client calls it.
    what: &'static str,
}

impl Binding {
    /// Refuses a request before its body is read, where it could do nothing with it.
    pub fn require(&self) -> Result<(), Problem> {
        if self.is_attached() { Ok(()) } else { Err(Problem::binding_not_attached(self.what)) }
    }

    /// Whether the customer has it.
    pub fn is_attached(&self) -> bool {
        ENV.with(|env| Reflect::get(env, name::of(self.name))).is_ok_and(|binding| binding.is_object())
    }

    /// What a call of it that failed for no reason of the caller's comes to.
    fn failed(&self, thrown: &JsValue) -> Problem {
        self.require().err().unwrap_or_else(|| Problem::storage_unavailable(edge::thrown_message(thrown)))
    }
}

/// Lets what was begun run to its end even when the client has gone, for up to 30 seconds from then
/// (<https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil>). Answers what it comes to.
pub fn see_through(begun: JsValue) -> JsValue {
    if let Some(promise) = begun.dyn_ref::<Promise>() {
        // The runtime would log a failure that its own caller hears of.
        let end = settled(Ok(promise.clone()));
        edge::wait_until(async { drop(end.await) });
    }
    begun
}

/// A moment in milliseconds since 1970, as replies have it (RFC 3339, UTC).
pub fn rfc3339(milliseconds: f64) -> String {
    Date::new(&milliseconds.into()).to_iso_string().into()
}

fn nullable<T: JsCast>(value: JsValue) -> Option<T> {
    (!value.is_null()).then(|| value.unchecked_into())
}
