//! The customer's record.

use std::borrow::Cow;

use edge::object;
use edge::task::{apart, settled};
use shared::{CustomerRecord, Limits, Malformed, Plan, Problem, UserId};

use crate::bindings::{Bindings, KvNamespace};
use crate::json::Parsed;

/// How long a record may be served from KV's cache, in seconds: so much later, and as late as KV itself is, a change takes
/// effect (<https://developers.cloudflare.com/kv/api/read-key-value-pairs/#cachettl-parameter>).
const CACHE_TTL: u32 = 60;

/// A customer whose requests are served.
pub struct Customer<'id> {
    /// The name of its script in the dispatch namespace.
    pub script: Cow<'id, str>,
    /// Its plan.
    pub plan: Plan,
    /// What one request may cost.
    pub limits: Limits,
}

/// Finds a customer, with one KV read at most. Where no records are bound, every user id may be a customer, and the
/// dispatch namespace knows.
pub async fn find<'id>(bindings: &Bindings<'_>, user_id: &'id UserId) -> Result<Customer<'id>, Problem> {
    let defaults = match bindings.settings.default_customer.as_deref() {
        Some(json) => {
            CustomerRecord::parse_defaults::<Parsed>(json).map_err(|Malformed| malformed("DEFAULT_CUSTOMER"))?
        }
        None => CustomerRecord::default(),
    };
    let record = match bindings.customers() {
        Some(customers) => apart(read(&customers, user_id)).await?.or(defaults),
        None => defaults,
    };
    if record.suspended == Some(true) {
        return Err(Problem::customer_suspended());
    }
    let id = user_id.as_str();
    let script = match (record.script, bindings.settings.script_prefix.as_deref()) {
        (Some(script), _) => Cow::Owned(script),
        (None, Some(prefix)) => Cow::Owned([prefix, id].concat()),
        (None, None) => Cow::Borrowed(id),
    };
    Ok(Customer { script, plan: record.plan.unwrap_or_default(), limits: record.limits })
}

async fn read(customers: &KvNamespace, user_id: &UserId) -> Result<CustomerRecord, Problem> {
    let options = object(&[("type", "text".into()), ("cacheTtl", CACHE_TTL.into())]);
    let value = settled(customers.get(user_id.as_str(), &options))
        .await
        .map_err(|thrown| Problem::storage_unavailable(edge::thrown_message(&thrown)))?;
    let json = value.as_string().ok_or_else(Problem::unknown_user)?;
    CustomerRecord::parse::<Parsed>(&json).map_err(|Malformed| malformed("the customer's record"))
}

fn malformed(what: &str) -> Problem {
    Problem::internal_error(format!("{what} is malformed"))
}
