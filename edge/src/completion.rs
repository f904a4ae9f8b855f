//! Running a request's handler to its end.

use std::pin::pin;
use std::task::Poll;

use js_sys::{Function, Promise};
use wasm_bindgen::JsValue;
use worker::Context;

/// Runs a handler to its end, even if its client disconnects.
///
/// When a client disconnects, the runtime drops the request, and promises that the handler is waiting for may never
/// settle. The handler's future would then stay in memory, with everything that it holds, for as long as the isolate
/// lives. A promise in `ctx.wait_until` keeps the request alive: an upload can still be aborted, and memory is released.
///
/// Cloudflare ends such work 30 seconds after the client has gone
/// (<https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil>). A handler that still waits then does
/// stay in memory. What others need must be given back before: see `Body::store` in the customer Worker.
pub async fn run_to_completion<T>(ctx: &Context, handler: impl Future<Output = T>) -> T {
    let mut handler = pin!(handler);
    // A handler that waits for nothing needs no promise.
    if let Poll::Ready(result) = futures::poll!(&mut handler) {
        return result;
    }
    let _in_progress = InProgress::start(ctx);
    handler.await
}

/// A promise that is in `ctx.wait_until` for as long as this lives.
struct InProgress {
    end: Function,
    #[cfg(feature = "faults")]
    _counted: crate::faults::Counted,
}

impl InProgress {
    fn start(ctx: &Context) -> Self {
        let mut end = None;
        let promise = Promise::new(&mut |resolve, _| end = Some(resolve));
        ctx.as_ref().wait_until(&promise).expect("a request that is being handled takes more work");
        Self {
            end: end.expect("a promise calls its executor at once"),
            #[cfg(feature = "faults")]
            _counted: crate::faults::Counted::default(),
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.end.call0(&JsValue::UNDEFINED).expect("a promise can be resolved");
    }
}
