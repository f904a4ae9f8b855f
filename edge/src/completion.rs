//! Runs handlers to completion.

use std::pin::pin;
use std::task::Poll;

use js_sys::{Function, Promise};
use wasm_bindgen::JsValue;
use worker::Context;

/// Runs a handler to completion, even if its client disconnects.
///
/// When a client disconnects, the runtime drops the request, and the promises that the handler awaits may never settle.
/// The handler's future, with everything that it owns, would then stay in memory until the isolate ends. A promise in
/// `ctx.wait_until` keeps the request alive, so that the handler can still abort an upload and release its memory.
///
/// Cloudflare cancels such work 30 seconds after the client has disconnected
/// (<https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil>). A handler that is still waiting then
/// stays in memory. So it must release resources that other requests need before those 30 seconds have passed, as the
/// customer Worker does for large bodies.
pub async fn run_to_completion<T>(ctx: &Context, handler: impl Future<Output = T>) -> T {
    let mut handler = pin!(handler);
    // A handler that completes without waiting needs no promise.
    if let Poll::Ready(result) = futures::poll!(&mut handler) {
        return result;
    }
    let _in_progress = InProgress::start(ctx);
    handler.await
}

/// A promise in `ctx.wait_until` that is resolved when this value is dropped.
struct InProgress {
    resolve: Function,
    #[cfg(feature = "faults")]
    _counted: crate::faults::CountedHandler,
}

impl InProgress {
    fn start(ctx: &Context) -> Self {
        let mut resolve = None;
        let promise = Promise::new(&mut |resolve_promise, _| resolve = Some(resolve_promise));
        ctx.as_ref().wait_until(&promise).expect("`wait_until` accepts promises until the request ends");
        Self {
            resolve: resolve.expect("`new Promise` calls its executor synchronously"),
            #[cfg(feature = "faults")]
            _counted: crate::faults::CountedHandler::default(),
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.resolve.call0(&JsValue::UNDEFINED).expect("`resolve` does not throw");
    }
}
