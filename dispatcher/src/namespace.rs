//! The dispatcher's bindings, the dispatch namespace above all
//! (<https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/reference/how-workers-for-platforms-works/>).
//!
//! `worker::DynamicDispatcher` is not used: it looks at the binding's name rather than at what it can do, and passes
//! neither arguments nor options to `get`.

use js_sys::Object;
use shared::Problem;
use wasm_bindgen::{JsCast, prelude::*};
use web_sys::{Request, Response};

#[wasm_bindgen]
extern "C" {
    /// The Worker's `env`.
    pub type Bindings;

    /// The dispatch namespace that holds the customers' Workers.
    #[wasm_bindgen(method, getter, js_name = DISPATCHER)]
    pub fn dispatcher(this: &Bindings) -> DispatchNamespace;

    /// What a script's name in the namespace begins with, before the user id: at most 15 characters, because a script's
    /// name has at most 63.
    #[wasm_bindgen(method, getter, js_name = SCRIPT_PREFIX)]
    pub fn script_prefix(this: &Bindings) -> Option<String>;

    /// A dispatch namespace, Cloudflare's or the local platform's.
    pub type DispatchNamespace;

    #[wasm_bindgen(method, catch, js_name = get)]
    fn get_worker(
        this: &DispatchNamespace,
        name: &str,
        args: &Object,
        options: &Object,
    ) -> Result<CustomerWorker, JsValue>;

    /// A Worker in the namespace.
    pub type CustomerWorker;

    #[wasm_bindgen(method, catch, js_name = fetch)]
    async fn fetch_response(this: &CustomerWorker, request: &Request) -> Result<JsValue, JsValue>;
}

impl DispatchNamespace {
    /// Finds a script by its name. That it answers does not mean that there is one: an unknown name may show at the
    /// first call only.
    pub fn get(&self, script: &str) -> Result<CustomerWorker, Problem> {
        self.get_worker(script, &Object::new(), &Object::new()).map_err(|thrown| problem(&thrown))
    }
}

impl CustomerWorker {
    /// Forwards a request; the reply comes as soon as its headers are there.
    pub async fn fetch(&self, request: &Request) -> Result<Response, Problem> {
        let response = self.fetch_response(request).await.map_err(|thrown| problem(&thrown))?;
        Ok(response.unchecked_into())
    }
}

/// Tells a customer that does not exist from one whose Worker threw; the runtime has nothing but a text for it.
fn problem(thrown: &JsValue) -> Problem {
    let message = edge::thrown_message(thrown);
    if message == "Worker not found." { Problem::unknown_user() } else { Problem::customer_worker_failed(message) }
}
