//! Routes for tests. They fail on purpose, or report the state of the Wasm instance. Only `cargo xtask build --faults`
//! enables them, so deployed Workers do not have them.

use std::cell::Cell;
use std::time::Duration;

use futures::future;
use js_sys::Promise;
use js_sys::futures::JsFuture;
use shared::http::{CUSTOMER_ROUTES, Problem, Route};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Response;
use worker::Delay;

/// The message of all panics.
pub const PANIC_MESSAGE: &str = "a fault for tests";

/// Runs a fault. `fault` is the rest of the path after the prefix of these routes.
pub async fn run(fault: &str) -> Result<Response, Problem> {
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
    /// The number of handlers that this Wasm instance is running. A panic ends the instance, and with it the count.
    static IN_PROGRESS: Cell<usize> = const { Cell::new(0) };
}

/// A guard that counts a handler as running until it is dropped.
pub struct CountedHandler(());

impl Default for CountedHandler {
    fn default() -> Self {
        IN_PROGRESS.set(IN_PROGRESS.get() + 1);
        Self(())
    }
}

impl Drop for CountedHandler {
    fn drop(&mut self) {
        IN_PROGRESS.set(IN_PROGRESS.get() - 1);
    }
}

/// Returns the size of the Wasm memory, in bytes. It never shrinks.
fn memory() -> u32 {
    let memory: js_sys::WebAssembly::Memory = wasm_bindgen::memory().unchecked_into();
    memory.buffer().unchecked_into::<js_sys::ArrayBuffer>().byte_length()
}

/// Awaits promises and timers concurrently, in all the ways in which handlers do.
async fn futures() -> [Option<f64>; 3] {
    let promise = |value: f64| async move {
        JsFuture::from(Promise::resolve(&JsValue::from(value))).await.expect("a fulfilled promise").as_f64()
    };
    let delayed = async {
        Delay::from(Duration::from_millis(20)).await;
        promise(3.0).await
    };
    let (first, second, third) = futures::join!(promise(1.0), future::ready(Some(2.0)), delayed);
    [first, second, third]
}
