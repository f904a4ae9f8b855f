//! What the dispatcher is bound to. All of it is optional but `DISPATCHER`; wrangler.toml describes it.

use edge::name;
use js_sys::{Array, JSON, JsString, Object, Promise};
use shared::Plan;
use shared::reply::Deployment;
use wasm_bindgen::prelude::*;

/// The Worker's `env`, and which of [`Name::ALL`] are there.
pub struct Bindings {
    env: Env,
    bound: u32,
}

macro_rules! names {
    ($($name:ident = $text:literal,)*) => {
        /// What is looked at for every request. Most of it is mostly not there, which one call tells of all.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Name { $($name,)* }

        impl Name {
            const ALL: &[&str] = &[$($text,)*];

            fn text(self) -> &'static str {
                Self::ALL[self as usize]
            }
        }
    };
}

names! {
    AllowedOrigins = "ALLOWED_ORIGINS",
    Analytics = "ANALYTICS",
    Auth = "AUTH",
    Customers = "CUSTOMERS",
    DefaultCustomer = "DEFAULT_CUSTOMER",
    Dispatcher = "DISPATCHER",
    Outbound = "OUTBOUND",
    RateLimitDefault = "RATE_LIMIT_DEFAULT",
    ScriptPrefix = "SCRIPT_PREFIX",
    TokenAudience = "TOKEN_AUDIENCE",
    TokenIssuer = "TOKEN_ISSUER",
    TokenJwks = "TOKEN_JWKS",
    TokenJwksUrl = "TOKEN_JWKS_URL",
    TokenSecrets = "TOKEN_SECRETS",
}

impl Bindings {
    /// Takes the `env` of a request.
    pub fn new(env: Env) -> Self {
        let bound = edge::read::with(Name::ALL, |names| bound(&env, names));
        Self { env, bound }
    }

    /// A binding or a variable, if it is there and not `null`.
    fn get<T: JsCast>(&self, name: Name) -> Option<T> {
        self.is_bound(name).then(|| name::with(name.text(), |name| self.env.get(name)).unchecked_into())
    }

    /// A variable's or a secret's text, and of one that is not a string its JSON, if it is there and not `null`.
    pub fn variable(&self, name: Name) -> Option<String> {
        self.is_bound(name).then(|| name::with(name.text(), |name| text(&self.env, name)))
    }

    /// The same, left outside Wasm.
    pub fn text(&self, name: Name) -> Option<JsString> {
        let value: JsValue = self.get(name)?;
        Some(value.dyn_into().unwrap_or_else(|other| JSON::stringify(&other).unwrap_or_default()))
    }

    fn is_bound(&self, name: Name) -> bool {
        self.bound & 1 << name as u32 != 0
    }

    /// Whether there are customers' Workers at all: [`Env`] finds them.
    pub fn has_dispatcher(&self) -> bool {
        self.is_bound(Name::Dispatcher)
    }

    /// The `env` itself.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// The customers' records.
    pub fn customers(&self) -> Option<KvNamespace> {
        self.get(Name::Customers)
    }

    /// The dataset that gets a data point for each request.
    pub fn analytics(&self) -> Option<AnalyticsDataset> {
        self.get(Name::Analytics)
    }

    /// Whether customers' Workers go out through an outbound Worker, which is then told whose they are.
    pub fn has_outbound(&self) -> bool {
        self.variable(Name::Outbound).is_some_and(|outbound| !matches!(&*outbound, "" | "false"))
    }

    /// The rate limiter of a plan, `RATE_LIMIT_<PLAN>`, if there is one.
    pub fn rate_limiter(&self, plan: &Plan) -> Option<RateLimiter> {
        if *plan == Plan::default() {
            return self.get(Name::RateLimitDefault);
        }
        let limiter = self.env.get(&format!("RATE_LIMIT_{}", plan.in_bindings()).into());
        limiter.is_object().then(|| limiter.unchecked_into())
    }

    /// The period of that limiter in seconds, `RATE_PERIOD_<PLAN>`, if it is said.
    pub fn rate_period(&self, plan: &Plan) -> Option<u32> {
        text(&self.env, &format!("RATE_PERIOD_{}", plan.in_bindings()).into()).parse().ok()
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

#[wasm_bindgen]
extern "C" {
    /// The Worker's `env`.
    pub type Env;

    #[wasm_bindgen(method, indexing_getter)]
    fn get(this: &Env, name: &JsString) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = CF_VERSION_METADATA)]
    fn version_metadata(this: &Env) -> Option<VersionMetadata>;

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

#[wasm_bindgen(module = "/src/bindings.js")]
extern "C" {
    fn bound(env: &Env, names: &Array) -> u32;

    fn text(env: &Env, name: &JsString) -> String;
}
