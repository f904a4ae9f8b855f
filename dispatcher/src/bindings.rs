//! The dispatcher's bindings and variables. All except `DISPATCHER` are optional. wrangler.toml describes them.

use edge::BindingError;
use js_sys::{Object, Promise};
use shared::customer::Plan;
use shared::http::{Deployment, Problem};
use wasm_bindgen::prelude::*;
use worker::worker_sys::{Fetcher, RateLimiter};
use worker::{AnalyticsEngineDataset, Env};

#[wasm_bindgen]
extern "C" {
    /// `worker::Env`, with a getter for each name that many requests read. With lookups by name, the dispatcher would
    /// exceed its CPU budget (docs/performance.md). Values are read again for every request, because they can change
    /// while an isolate runs
    /// (<https://developers.cloudflare.com/workers/runtime-apis/bindings/#making-changes-to-bindings>).
    #[wasm_bindgen(extends = Env)]
    pub type Bindings;

    #[wasm_bindgen(method, getter, js_name = ALLOWED_HEADERS)]
    fn allowed_headers_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = ALLOWED_ORIGINS)]
    fn allowed_origins_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = ANALYTICS)]
    fn analytics_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = AUTH)]
    fn auth_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = CUSTOMERS)]
    fn customers_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = DEFAULT_CUSTOMER)]
    fn default_customer_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = DISPATCHER)]
    fn dispatcher_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = EXPOSED_HEADERS)]
    fn exposed_headers_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = OUTBOUND)]
    fn outbound_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = SCRIPT_PREFIX)]
    fn script_prefix_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = TOKEN_AUDIENCE)]
    fn token_audience_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = TOKEN_ISSUER)]
    fn token_issuer_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = TOKEN_JWKS)]
    fn token_jwks_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = TOKEN_JWKS_URL)]
    fn token_jwks_url_value(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = TOKEN_SECRETS)]
    fn token_secrets_value(this: &Bindings) -> JsValue;
}

#[wasm_bindgen]
extern "C" {
    /// The binding `DISPATCHER`, a dispatch namespace. `worker::DynamicDispatcher` is not used, because its `get` takes
    /// neither arguments nor options.
    #[wasm_bindgen(extends = Object)]
    pub type NamespaceBinding;

    #[wasm_bindgen(method, catch)]
    pub fn get(this: &NamespaceBinding, script: &str, args: &Object, options: &Object) -> Result<Fetcher, JsValue>;

    /// The binding `CUSTOMERS`, a KV namespace. `worker::kv::KvStore` is not used, because its serde code makes the
    /// dispatcher larger.
    #[wasm_bindgen(extends = Object)]
    pub type RecordsBinding;

    #[wasm_bindgen(method, catch)]
    pub fn get(this: &RecordsBinding, user_id: &str, options: &Object) -> Result<Promise, JsValue>;
}

impl Bindings {
    /// Wraps the `env` of a request.
    pub fn new(env: Env) -> Self {
        env.unchecked_into()
    }

    /// Returns a variable or secret by its name.
    pub fn variable(&self, name: &str) -> Option<String> {
        edge::variable(&edge::property(self, name))
    }

    /// `ALLOWED_ORIGINS`: the origins of the web pages that may call the platform.
    pub fn allowed_origins(&self) -> Option<String> {
        edge::variable(&self.allowed_origins_value())
    }

    /// `ALLOWED_HEADERS`: more request headers that those pages may send.
    pub fn allowed_headers(&self) -> Option<String> {
        edge::variable(&self.allowed_headers_value())
    }

    /// `EXPOSED_HEADERS`: more reply headers that those pages may read.
    pub fn exposed_headers(&self) -> Option<String> {
        edge::variable(&self.exposed_headers_value())
    }

    /// `AUTH`: how requests are authenticated.
    pub fn auth(&self) -> Option<String> {
        edge::variable(&self.auth_value())
    }

    /// `DEFAULT_CUSTOMER`: default values for customers' records, as JSON.
    pub fn default_customer(&self) -> Option<String> {
        edge::variable(&self.default_customer_value())
    }

    /// `SCRIPT_PREFIX`: the prefix of script names, before the user id.
    pub fn script_prefix(&self) -> Option<String> {
        edge::variable(&self.script_prefix_value())
    }

    /// `TOKEN_AUDIENCE`: the required `aud` of tokens.
    pub fn token_audience(&self) -> Option<String> {
        edge::variable(&self.token_audience_value())
    }

    /// `TOKEN_ISSUER`: the required `iss` of tokens.
    pub fn token_issuer(&self) -> Option<String> {
        edge::variable(&self.token_issuer_value())
    }

    /// `TOKEN_JWKS`: the key set with the public keys for tokens.
    pub fn token_jwks(&self) -> Option<String> {
        edge::variable(&self.token_jwks_value())
    }

    /// `TOKEN_JWKS_URL`: the URL of a key set with public keys for tokens.
    pub fn token_jwks_url(&self) -> Option<String> {
        edge::variable(&self.token_jwks_url_value())
    }

    /// `TOKEN_SECRETS`: the platform's own secret keys for tokens.
    pub fn token_secrets(&self) -> Option<String> {
        edge::variable(&self.token_secrets_value())
    }

    /// `TRUST_WEBSOCKET_PROTOCOL`: whether the user id in `Sec-WebSocket-Protocol` is trusted, with
    /// `AUTH = "trusted-header"`.
    pub fn trusts_websocket_protocol(&self) -> bool {
        is_on(self.variable("TRUST_WEBSOCKET_PROTOCOL"))
    }

    /// `OUTBOUND`: whether there is an outbound Worker, which receives the user id and the plan.
    pub fn has_outbound(&self) -> bool {
        is_on(edge::variable(&self.outbound_value()))
    }

    /// `DISPATCHER`: the dispatch namespace with the customers' Workers.
    pub fn dispatcher(&self) -> Result<NamespaceBinding, Problem> {
        edge::binding(self.dispatcher_value(), "DISPATCHER", "get").map_err(|error| match error {
            BindingError::NotBound => Problem::internal_error("DISPATCHER is not bound".to_owned()),
            BindingError::PlainValue(cause) | BindingError::WrongType(cause) => Problem::internal_error(cause),
        })
    }

    /// `CUSTOMERS`: the KV namespace with the customers' records, if one is bound. A binding of another type is an
    /// error: if it were treated as absent, user ids without a record would be accepted.
    pub fn customers(&self) -> Result<Option<RecordsBinding>, Problem> {
        match edge::binding(self.customers_value(), "CUSTOMERS", "get") {
            Ok(records) => Ok(Some(records)),
            Err(BindingError::NotBound) => Ok(None),
            Err(BindingError::PlainValue(cause) | BindingError::WrongType(cause)) => {
                Err(Problem::storage_unavailable(cause))
            }
        }
    }

    /// `RATE_LIMIT_<PLAN>`: the rate limiter of a plan, if one is bound.
    pub fn rate_limiter(&self, plan: &Plan) -> Option<RateLimiter> {
        let name = format!("RATE_LIMIT_{}", plan.binding_suffix());
        optional(edge::property(self, &name), &name, "limit")
    }

    /// `ANALYTICS`: the dataset for a data point of each request, if one is bound.
    pub fn analytics(&self) -> Option<AnalyticsEngineDataset> {
        optional(self.analytics_value(), "ANALYTICS", "writeDataPoint")
    }

    /// `CF_VERSION_METADATA`: the deployed version of the dispatcher, if it is bound. `worker::WorkerVersionMetadata`
    /// is not used, because it throws an exception that ends the Wasm instance if the binding has another type.
    pub fn deployment(&self) -> Option<Deployment> {
        const NAME: &str = "CF_VERSION_METADATA";
        let version: Object = optional(edge::property(self, NAME), NAME, "timestamp")?;
        let text = |name: &str| edge::property(&version, name).as_string().unwrap_or_default();
        Some(Deployment { id: text("id"), tag: text("tag"), timestamp: text("timestamp") })
    }
}

/// Returns whether a variable that switches something on is set.
fn is_on(variable: Option<String>) -> bool {
    variable.is_some_and(|value| !matches!(&*value, "" | "false"))
}

/// Looks up an optional binding by a member that only its type has. A binding of another type is logged and ignored.
fn optional<T: JsCast>(value: JsValue, name: &str, member: &str) -> Option<T> {
    match edge::binding(value, name, member) {
        Ok(binding) => Some(binding),
        Err(BindingError::NotBound) => None,
        Err(BindingError::PlainValue(cause) | BindingError::WrongType(cause)) => {
            edge::log_error(&cause);
            None
        }
    }
}
