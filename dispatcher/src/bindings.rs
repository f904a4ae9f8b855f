//! What the dispatcher is bound to. All of it is optional but `DISPATCHER`; wrangler.toml describes it.

use js_sys::{JSON, Object};
use shared::reply::Deployment;
use shared::{Plan, Problem};
use wasm_bindgen::prelude::*;

use crate::namespace::DispatchNamespace;

#[wasm_bindgen]
extern "C" {
    /// The Worker's `env`.
    pub type Bindings;

    #[wasm_bindgen(method, getter, js_name = DISPATCHER)]
    fn dispatch_namespace(this: &Bindings) -> Option<DispatchNamespace>;

    /// The customers' records.
    #[wasm_bindgen(method, getter, js_name = CUSTOMERS)]
    pub fn customers(this: &Bindings) -> Option<KvNamespace>;

    /// The dataset that gets a data point for each request.
    #[wasm_bindgen(method, getter, js_name = ANALYTICS)]
    pub fn analytics(this: &Bindings) -> Option<AnalyticsDataset>;

    #[wasm_bindgen(method, getter, js_name = CF_VERSION_METADATA)]
    fn version_metadata(this: &Bindings) -> Option<VersionMetadata>;

    // A getter for each variable, because a name that Wasm has to hand over costs more than reading what is not there.
    #[wasm_bindgen(method, getter, js_name = AUTH)]
    fn auth_var(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = TOKEN_SECRETS)]
    fn token_secrets_var(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = TOKEN_JWKS)]
    fn token_jwks_var(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = TOKEN_JWKS_URL)]
    fn token_jwks_url_var(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = TOKEN_AUDIENCE)]
    fn token_audience_var(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = TOKEN_ISSUER)]
    fn token_issuer_var(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = ALLOWED_ORIGINS)]
    fn allowed_origins_var(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = DEFAULT_CUSTOMER)]
    fn default_customer_var(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = SCRIPT_PREFIX)]
    fn script_prefix_var(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = OUTBOUND)]
    fn outbound_var(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = RATE_LIMIT_DEFAULT)]
    fn default_rate_limiter(this: &Bindings) -> Option<RateLimiter>;

    #[wasm_bindgen(method, indexing_getter)]
    fn any(this: &Bindings, name: &str) -> JsValue;

    /// A KV namespace (<https://developers.cloudflare.com/kv/api/read-key-value-pairs/>).
    pub type KvNamespace;

    /// The value of a key; `null` if there is none.
    #[wasm_bindgen(method, catch)]
    pub async fn get(this: &KvNamespace, key: &str, options: &Object) -> Result<JsValue, JsValue>;

    /// An Analytics Engine dataset (<https://developers.cloudflare.com/analytics/analytics-engine/get-started/>).
    pub type AnalyticsDataset;

    #[wasm_bindgen(method, catch, js_name = writeDataPoint)]
    pub fn write_data_point(this: &AnalyticsDataset, point: &Object) -> Result<(), JsValue>;

    /// A rate limiter (<https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/>).
    pub type RateLimiter;

    #[wasm_bindgen(method, catch)]
    pub async fn limit(this: &RateLimiter, options: &Object) -> Result<JsValue, JsValue>;

    type VersionMetadata;

    #[wasm_bindgen(method, getter)]
    fn id(this: &VersionMetadata) -> Option<String>;

    #[wasm_bindgen(method, getter)]
    fn tag(this: &VersionMetadata) -> Option<String>;

    #[wasm_bindgen(method, getter)]
    fn timestamp(this: &VersionMetadata) -> Option<String>;
}

impl Bindings {
    /// The dispatch namespace that holds the customers' Workers.
    pub fn dispatcher(&self) -> Result<DispatchNamespace, Problem> {
        self.dispatch_namespace().ok_or_else(|| Problem::internal_error("DISPATCHER is not bound".to_owned()))
    }

    /// `AUTH`.
    pub fn auth(&self) -> Option<String> {
        text(&self.auth_var())
    }

    /// `TOKEN_SECRETS`.
    pub fn token_secrets(&self) -> Option<String> {
        text(&self.token_secrets_var())
    }

    /// `TOKEN_JWKS`.
    pub fn token_jwks(&self) -> Option<String> {
        text(&self.token_jwks_var())
    }

    /// `TOKEN_JWKS_URL`.
    pub fn token_jwks_url(&self) -> Option<String> {
        text(&self.token_jwks_url_var())
    }

    /// `TOKEN_AUDIENCE`; one that is empty, perhaps by mistake, is one that no token has.
    pub fn token_audience(&self) -> Option<String> {
        let value = self.token_audience_var();
        (!value.is_undefined() && !value.is_null()).then(|| text(&value).unwrap_or_default())
    }

    /// `TOKEN_ISSUER`; one that is empty, perhaps by mistake, is one that no token has.
    pub fn token_issuer(&self) -> Option<String> {
        let value = self.token_issuer_var();
        (!value.is_undefined() && !value.is_null()).then(|| text(&value).unwrap_or_default())
    }

    /// `ALLOWED_ORIGINS`.
    pub fn allowed_origins(&self) -> Option<String> {
        text(&self.allowed_origins_var())
    }

    /// `DEFAULT_CUSTOMER`.
    pub fn default_customer(&self) -> Option<String> {
        text(&self.default_customer_var())
    }

    /// `SCRIPT_PREFIX`.
    pub fn script_prefix(&self) -> Option<String> {
        text(&self.script_prefix_var())
    }

    /// Whether customers' Workers go out through an outbound Worker, which is then told whose they are.
    pub fn outbound(&self) -> bool {
        text(&self.outbound_var()).is_some_and(|outbound| outbound != "false")
    }

    /// The rate limiter of a plan, `RATE_LIMIT_<PLAN>`, if there is one.
    pub fn rate_limiter(&self, plan: &Plan) -> Option<RateLimiter> {
        if *plan == Plan::default() {
            return self.default_rate_limiter();
        }
        let limiter = self.any(&format!("RATE_LIMIT_{}", plan.in_bindings()));
        limiter.is_object().then(|| limiter.unchecked_into())
    }

    /// The period of that limiter in seconds, `RATE_PERIOD_<PLAN>`, if it is said.
    pub fn rate_period(&self, plan: &Plan) -> Option<u32> {
        text(&self.any(&format!("RATE_PERIOD_{}", plan.in_bindings())))?.parse().ok()
    }

    /// The version of the dispatcher that runs.
    pub fn deployment(&self) -> Option<Deployment> {
        let version = self.version_metadata()?;
        Some(Deployment {
            id: version.id().unwrap_or_default(),
            tag: version.tag().unwrap_or_default(),
            timestamp: version.timestamp().unwrap_or_default(),
        })
    }
}

/// A variable or secret as text: one that is not a string, as wrangler files may have them, as the JSON that it is. An empty
/// one is none.
fn text(value: &JsValue) -> Option<String> {
    if value.is_undefined() || value.is_null() {
        return None;
    }
    let text = value.as_string().or_else(|| JSON::stringify(value).ok()?.as_string())?;
    (!text.is_empty()).then_some(text)
}

/// An object with these members.
pub fn object<const N: usize>(members: [(&str, JsValue); N]) -> Object {
    let object = Object::new();
    for (name, value) in members {
        set(&object, name, &value);
    }
    object
}

/// Sets a member of an object of ours.
pub fn set(object: &Object, name: &str, value: &JsValue) {
    js_sys::Reflect::set(object, &name.into(), value).expect("the object is ours");
}
