//! What the dispatcher is bound to. All of it is optional but `DISPATCHER`; wrangler.toml describes it.

use js_sys::{JSON, JsString, Object, Promise};
use shared::Plan;
use shared::reply::Deployment;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The Worker's `env`.
    pub type Bindings;

    #[wasm_bindgen(method, getter, js_name = DISPATCHER)]
    fn dispatcher(this: &Bindings) -> JsValue;

    /// The customers' records.
    #[wasm_bindgen(method, getter, js_name = CUSTOMERS)]
    pub fn customers(this: &Bindings) -> Option<KvNamespace>;

    /// The dataset that gets a data point for each request.
    #[wasm_bindgen(method, getter, js_name = ANALYTICS)]
    pub fn analytics(this: &Bindings) -> Option<AnalyticsDataset>;

    #[wasm_bindgen(method, getter, js_name = CF_VERSION_METADATA)]
    fn version_metadata(this: &Bindings) -> Option<VersionMetadata>;

    #[wasm_bindgen(method, getter, js_name = RATE_LIMIT_DEFAULT)]
    fn default_rate_limiter(this: &Bindings) -> Option<RateLimiter>;

    #[wasm_bindgen(method, indexing_getter)]
    fn any(this: &Bindings, name: &str) -> Option<Variable>;

    /// Keys to check tokens with, of the platform's own.
    #[wasm_bindgen(method, getter, js_name = TOKEN_SECRETS)]
    pub fn token_secrets(this: &Bindings) -> Option<Variable>;

    /// Keys to check tokens with, of identity providers.
    #[wasm_bindgen(method, getter, js_name = TOKEN_JWKS)]
    pub fn token_jwks(this: &Bindings) -> Option<Variable>;

    /// A variable that is there, of whatever type.
    pub type Variable;

    /// A KV namespace (<https://developers.cloudflare.com/kv/api/read-key-value-pairs/>).
    pub type KvNamespace;

    /// The value of a key; `null` if there is none.
    #[wasm_bindgen(method, catch)]
    pub fn get(this: &KvNamespace, key: &str, options: &Object) -> Result<Promise, JsValue>;

    /// An Analytics Engine dataset (<https://developers.cloudflare.com/analytics/analytics-engine/get-started/>).
    pub type AnalyticsDataset;

    #[wasm_bindgen(method, catch, js_name = writeDataPoint)]
    pub fn write_data_point(this: &AnalyticsDataset, point: &Object) -> Result<(), JsValue>;

    /// A rate limiter (<https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/>).
    pub type RateLimiter;

    #[wasm_bindgen(method, catch)]
    pub fn limit(this: &RateLimiter, options: &Object) -> Result<Promise, JsValue>;

    type VersionMetadata;

    #[wasm_bindgen(method, getter)]
    fn id(this: &VersionMetadata) -> Option<String>;

    #[wasm_bindgen(method, getter)]
    fn tag(this: &VersionMetadata) -> Option<String>;

    #[wasm_bindgen(method, getter)]
    fn timestamp(this: &VersionMetadata) -> Option<String>;
}

/// Variables and secrets, each as text: one that is not a string, as wrangler files may have them, as the JSON that it is.
///
/// Each has a getter of its own: a name that Wasm has to hand over costs more than reading what is not there.
macro_rules! variables {
    ($($variable:ident, $value:ident = $name:ident;)*) => {
        #[wasm_bindgen]
        extern "C" {
            $(#[wasm_bindgen(method, getter, js_name = $name)]
            fn $value(this: &Bindings) -> Option<Variable>;)*
        }

        impl Bindings {
            $(pub fn $variable(&self) -> Option<String> {
                self.$value().map(|value| value.as_string().unwrap_or_else(|| text(value).into()))
            })*
        }
    };
}

variables! {
    allowed_origins, allowed_origins_value = ALLOWED_ORIGINS;
    auth, auth_value = AUTH;
    default_customer, default_customer_value = DEFAULT_CUSTOMER;
    outbound, outbound_value = OUTBOUND;
    script_prefix, script_prefix_value = SCRIPT_PREFIX;
    token_audience, token_audience_value = TOKEN_AUDIENCE;
    token_issuer, token_issuer_value = TOKEN_ISSUER;
    token_jwks_url, token_jwks_url_value = TOKEN_JWKS_URL;
}

impl Bindings {
    /// Whether the dispatch namespace is there that holds the customers' Workers.
    pub fn has_dispatcher(&self) -> bool {
        self.dispatcher().is_object()
    }

    /// Whether customers' Workers go out through an outbound Worker, which is then told whose they are.
    pub fn has_outbound(&self) -> bool {
        self.outbound().is_some_and(|outbound| !matches!(&*outbound, "" | "false"))
    }

    /// The rate limiter of a plan, `RATE_LIMIT_<PLAN>`, if there is one.
    pub fn rate_limiter(&self, plan: &Plan) -> Option<RateLimiter> {
        if *plan == Plan::default() {
            return self.default_rate_limiter();
        }
        let limiter = self.any(&format!("RATE_LIMIT_{}", plan.in_bindings()))?;
        limiter.is_object().then(|| limiter.unchecked_into())
    }

    /// The period of that limiter in seconds, `RATE_PERIOD_<PLAN>`, if it is said.
    pub fn rate_period(&self, plan: &Plan) -> Option<u32> {
        String::from(text(self.any(&format!("RATE_PERIOD_{}", plan.in_bindings()))?)).parse().ok()
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

/// A variable's text: of one that is not a string, its JSON.
pub fn text(variable: Variable) -> JsString {
    variable.dyn_into().unwrap_or_else(|other| JSON::stringify(&other).unwrap_or_default())
}
