//! What the dispatcher is bound to. All of it is optional but `DISPATCHER`; wrangler.toml describes it.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{JSON, JsString, Object, Promise};
use shared::reply::Deployment;
use shared::{Plan, lines};
use wasm_bindgen::prelude::*;

/// The Worker's `env`, and what of it every request is asked for.
pub struct Bindings<'a> {
    /// The `env` itself.
    pub env: &'a Env,
    /// What of it was handed over before.
    pub settings: Rc<Settings>,
}

/// The variables of most requests, and of what is optional whether it is bound: see `entry.js`.
#[derive(Default)]
pub struct Settings {
    /// The pages that may read replies.
    pub allowed_origins: Option<String>,
    /// How it is found out who is asking.
    pub auth: Option<String>,
    /// What a customer's record says if it does not say otherwise.
    pub default_customer: Option<String>,
    /// What customers' scripts are named before their user ids.
    pub script_prefix: Option<String>,
    outbound: Option<String>,
    has_analytics: bool,
    has_customers: bool,
    has_default_rate_limiter: bool,
}

thread_local! {
    static SETTINGS: RefCell<(u32, Rc<Settings>)> = RefCell::default();
}

/// For `entry.js` alone: the number of the settings that this instance has, and 0 if it has none but those of an `env` without any.
/// Called before [`fetch`](crate::fetch), it is to the dispatcher what [`edge::ready`] is to the customer Worker, too.
#[wasm_bindgen]
#[must_use]
pub fn configured() -> u32 {
    SETTINGS.with_borrow(|(number, _)| *number)
}

/// For `entry.js` alone: takes settings, each on a line of its own. Requests that are being served keep those that they have.
#[wasm_bindgen]
pub fn configure(number: u32, settings: &str) {
    let [allowed_origins, auth, default_customer, outbound, script_prefix, analytics, customers, rate_limiter] =
        lines(settings).map(|setting| setting.map(str::to_owned));
    let settings = Settings {
        allowed_origins,
        auth,
        default_customer,
        script_prefix,
        outbound,
        has_analytics: analytics.is_some(),
        has_customers: customers.is_some(),
        has_default_rate_limiter: rate_limiter.is_some(),
    };
    SETTINGS.set((number, Rc::new(settings)));
}

#[wasm_bindgen]
extern "C" {
    /// The Worker's `env`.
    pub type Env;

    #[wasm_bindgen(method, getter, js_name = DISPATCHER)]
    fn dispatcher(this: &Env) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = CUSTOMERS)]
    fn customers(this: &Env) -> KvNamespace;

    #[wasm_bindgen(method, getter, js_name = ANALYTICS)]
    fn analytics(this: &Env) -> AnalyticsDataset;

    #[wasm_bindgen(method, getter, js_name = CF_VERSION_METADATA)]
    fn version_metadata(this: &Env) -> Option<VersionMetadata>;

    #[wasm_bindgen(method, getter, js_name = RATE_LIMIT_DEFAULT)]
    fn default_rate_limiter(this: &Env) -> RateLimiter;

    #[wasm_bindgen(method, indexing_getter)]
    fn any(this: &Env, name: &str) -> Option<Variable>;

    /// Keys to check tokens with, of the platform's own.
    #[wasm_bindgen(method, getter, js_name = TOKEN_SECRETS)]
    pub fn token_secrets(this: &Env) -> Option<Variable>;

    /// Keys to check tokens with, of identity providers.
    #[wasm_bindgen(method, getter, js_name = TOKEN_JWKS)]
    pub fn token_jwks(this: &Env) -> Option<Variable>;

    /// A variable that is there, of whatever type.
    pub type Variable;

    /// A KV namespace (<https://developers.cloudflare.com/kv/api/read-key-value-pairs/>).
    pub type KvNamespace;

    /// The value of a key; `null` if there is none.
    #[wasm_bindgen(method, catch)]
    pub fn get(this: &KvNamespace, key: &str, options: &Object) -> Result<Promise, JsValue>;

    /// An Analytics Engine dataset (<https://developers.cloudflare.com/analytics/analytics-engine/get-started/>).
    pub type AnalyticsDataset;

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
            fn $value(this: &Env) -> Option<Variable>;)*
        }

        impl Env {
            $(pub fn $variable(&self) -> Option<String> {
                self.$value().map(|value| value.as_string().unwrap_or_else(|| text(value).into()))
            })*
        }
    };
}

variables! {
    token_audience, token_audience_value = TOKEN_AUDIENCE;
    token_issuer, token_issuer_value = TOKEN_ISSUER;
    token_jwks_url, token_jwks_url_value = TOKEN_JWKS_URL;
}

impl<'a> Bindings<'a> {
    /// Takes the `env`.
    pub fn new(env: &'a Env) -> Self {
        Self { env, settings: SETTINGS.with_borrow(|(_, settings)| settings.clone()) }
    }

    /// The customers' records.
    pub fn customers(&self) -> Option<KvNamespace> {
        self.settings.has_customers.then(|| self.env.customers())
    }

    /// The dataset that gets a data point for each request.
    pub fn analytics(&self) -> Option<AnalyticsDataset> {
        self.settings.has_analytics.then(|| self.env.analytics())
    }

    /// Whether the dispatch namespace is there that holds the customers' Workers.
    pub fn has_dispatcher(&self) -> bool {
        self.env.dispatcher().is_object()
    }

    /// Whether customers' Workers go out through an outbound Worker, which is then told whose they are.
    pub fn has_outbound(&self) -> bool {
        self.settings.outbound.as_deref().is_some_and(|outbound| !matches!(outbound, "" | "false"))
    }

    /// The rate limiter of a plan, `RATE_LIMIT_<PLAN>`, if there is one.
    pub fn rate_limiter(&self, plan: &Plan) -> Option<RateLimiter> {
        if *plan == Plan::default() {
            return self.settings.has_default_rate_limiter.then(|| self.env.default_rate_limiter());
        }
        let limiter = self.env.any(&format!("RATE_LIMIT_{}", plan.in_bindings()))?;
        limiter.is_object().then(|| limiter.unchecked_into())
    }

    /// The period of that limiter in seconds, `RATE_PERIOD_<PLAN>`, if it is said.
    pub fn rate_period(&self, plan: &Plan) -> Option<u32> {
        String::from(text(self.env.any(&format!("RATE_PERIOD_{}", plan.in_bindings()))?)).parse().ok()
    }

    /// The version of the dispatcher that runs.
    pub fn deployment(&self) -> Option<Deployment> {
        let version = self.env.version_metadata()?;
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
