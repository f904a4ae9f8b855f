//! Routes that fail on purpose, for tests. Only `cargo xtask build --faults` enables this feature: no deployed Worker has
//! them.

use std::cell::Cell;
use std::time::Duration;

use futures::future;
use js_sys::Promise;
use js_sys::futures::JsFuture;
use shared::http::{CUSTOMER_ROUTES, Problem, Route};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Response;
use worker::Delay;

/// What the panics say.
pub const PANIC_MESSAGE: &str = "a fault that was asked for";

/// Does what a path says after its prefix.
pub async fn act(fault: &str) -> Result<Response, Problem> {
    match fault {
        "panic" => panic!("{PANIC_MESSAGE}"),
        "panic-later" => {
            Delay::from(Duration::from_millis(1)).await;
            panic!("{PANIC_MESSAGE}")
        }
        "waiting" => Ok(crate::json_reply(&IN_PROGRESS.get())),
        "memory" => Ok(crate::json_reply(&memory())),
        "futures" => Ok(crate::json_reply(&futures().await)),
        _ => Err(Route::not_found(CUSTOMER_ROUTES)),
    }
}

thread_local! {
    /// How many handlers this instance of the Wasm is running. A panic ends the instance, and the count with it.
    static IN_PROGRESS: Cell<usize> = const { Cell::new(0) };
}

/// A handler that is counted for as long as this lives.
pub struct Counted(());

impl Default for Counted {
    fn default() -> Self {
        IN_PROGRESS.set(IN_PROGRESS.get() + 1);
        Self(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        IN_PROGRESS.set(IN_PROGRESS.get() - 1);
    }
}

/// The size of Wasm's memory, in bytes. It never shrinks.
fn memory() -> u32 {
    let memory: js_sys::WebAssembly::Memory = wasm_bindgen::memory().unchecked_into();
    memory.buffer().unchecked_into::<js_sys::ArrayBuffer>().byte_length()
}

/// Waits for promises and timers side by side, in every way that a handler may.
async fn futures() -> [Option<f64>; 3] {
    let promise = |value: f64| async move {
        JsFuture::from(Promise::resolve(&JsValue::from(value))).await.expect("it is fulfilled").as_f64()
    };
    let later = async {
        Delay::from(Duration::from_millis(20)).await;
        promise(3.0).await
    };
    let (one, two, three) = futures::join!(promise(1.0), future::ready(Some(2.0)), later);
    [one, two, three]
}
