//! The customer's storage, looked up here and nowhere else.
//!
//! `worker`'s own types are not used: they turn streams into Rust streams and back, and look at a binding's name rather
//! than at what it can do.

mod d1;
mod kv;
mod r2;

use edge::task::settled;
use js_sys::{Date, Promise};
use shared::Problem;
use wasm_bindgen::{JsCast, prelude::*};

pub use d1::{D1Result, Database};
pub use kv::{Data, KeyPage};
pub use r2::{FilePage, Files, Found, MAX_PUT_LEN, MultipartUpload, OnlyIf, PartOnItsWay, R2Object, Stored};

#[wasm_bindgen(module = "cloudflare:workers")]
extern "C" {
    /// The Worker's `env`. A request's handler is given the same; an RPC method is not.
    #[wasm_bindgen(thread_local_v2, js_name = env)]
    static ENV: Env;
}

/// A binding that is attached is an object. These are not asked for as an `Option`, which JavaScript would have to put into a table
/// of objects, with a call out of the engine.
#[wasm_bindgen]
extern "C" {
    type Env;

    #[wasm_bindgen(method, getter, js_name = USER_KV)]
    fn user_kv(this: &Env) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = USER_R2)]
    fn user_r2(this: &Env) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = USER_DB)]
    fn user_db(this: &Env) -> JsValue;
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

/// The customer's files.
pub fn files() -> Result<Files, Problem> {
    attached(Env::user_r2, "file storage").map(Files::new)
}

/// The customer's values.
pub fn data() -> Result<Data, Problem> {
    attached(Env::user_kv, "data storage").map(Data::new)
}

/// The customer's database.
pub fn database() -> Result<Database, Problem> {
    attached(Env::user_db, "database").map(Database::new)
}

/// A moment in milliseconds since 1970, as replies have it (RFC 3339, UTC).
pub fn rfc3339(milliseconds: f64) -> String {
    Date::new(&milliseconds.into()).to_iso_string().into()
}

fn attached<T: JsCast>(binding: fn(&Env) -> JsValue, what: &'static str) -> Result<T, Problem> {
    let binding = ENV.with(binding);
    if binding.is_object() { Ok(binding.unchecked_into()) } else { Err(Problem::binding_not_attached(what)) }
}

fn nullable<T: JsCast>(value: JsValue) -> Option<T> {
    (!value.is_null()).then(|| value.unchecked_into())
}

fn unavailable(thrown: &JsValue) -> Problem {
    Problem::storage_unavailable(edge::thrown_message(thrown))
}
