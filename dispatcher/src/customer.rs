//! Finds the customer of a request: reads its record, and refuses suspended customers.

use futures::FutureExt;
use shared::customer::{CustomerRecord, Limits, Plan, UserId};
use shared::http::Problem;
use shared::json::Malformed;

use crate::bindings::{Bindings, RecordsBinding};
use crate::json::JsJson;

/// How long KV may return a record from its cache, in seconds. A change takes effect after this time plus KV's
/// propagation delay (<https://developers.cloudflare.com/kv/api/read-key-value-pairs/#cachettl-parameter>).
const CACHE_TTL: u32 = 60;

/// The customer of a request. Fields are `None` until they are known.
#[derive(Default)]
pub struct ResolvedCustomer {
    pub user_id: Option<UserId>,
    pub plan: Option<Plan>,
}

/// A customer whose requests are served.
pub struct ActiveCustomer {
    /// The name of the customer's script in the dispatch namespace.
    pub script: String,
    /// The customer's plan.
    pub plan: Plan,
    /// The limits of one request.
    pub limits: Limits,
}

/// Finds a customer, with at most one KV read. If `CUSTOMERS` is not bound, this accepts every user id. A user id
/// without a script in the dispatch namespace is then refused when the request is forwarded.
pub async fn find(bindings: &Bindings, user_id: &UserId) -> Result<ActiveCustomer, Problem> {
    let defaults = match bindings.default_customer() {
        Some(json) => {
            CustomerRecord::parse_defaults::<JsJson>(&json).map_err(|Malformed| malformed("DEFAULT_CUSTOMER"))?
        }
        None => CustomerRecord::default(),
    };
    let record = match bindings.customers()? {
        // Boxed as a trait object, so that its code stays a separate function, which V8 compiles only when it is
        // called.
        Some(customers) => read(&customers, user_id).boxed_local().await?.or(defaults),
        None => defaults,
    };
    active(record, user_id, bindings.script_prefix().as_deref())
}

async fn read(customers: &RecordsBinding, user_id: &UserId) -> Result<CustomerRecord, Problem> {
    let options = edge::object(&[("cacheTtl", CACHE_TTL.into())]);
    let json = edge::await_promise(customers.get(user_id.as_str(), &options)).await;
    let json = json.map_err(|thrown| Problem::storage_unavailable(edge::error_message(&thrown)))?;
    let json = json.as_string().ok_or_else(Problem::unknown_user)?;
    CustomerRecord::parse::<JsJson>(&json).map_err(|Malformed| malformed("the customer's record"))
}

fn malformed(what: &str) -> Problem {
    Problem::internal_error(format!("{what} is malformed"))
}

/// Refuses a suspended customer. Fills in the script and the plan if the record does not have them.
fn active(record: CustomerRecord, user_id: &UserId, prefix: Option<&str>) -> Result<ActiveCustomer, Problem> {
    if record.suspended == Some(true) {
        return Err(Problem::customer_suspended());
    }
    let script = record.script.unwrap_or_else(|| [prefix.unwrap_or_default(), user_id.as_str()].concat());
    Ok(ActiveCustomer { script, plan: record.plan.unwrap_or_default(), limits: record.limits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_named_in_the_record_or_after_the_user_id() {
        let user_id = UserId::parse("user1").expect("valid");
        let script = |script: Option<&str>, prefix| {
            let record = CustomerRecord { script: script.map(str::to_owned), ..CustomerRecord::default() };
            active(record, &user_id, prefix).expect("active").script
        };
        assert_eq!(script(None, None), "user1");
        assert_eq!(script(None, Some("team-a-")), "team-a-user1");
        assert_eq!(script(Some("special"), Some("team-a-")), "special");
    }

    #[test]
    fn a_suspended_customer_is_refused() {
        let user_id = UserId::parse("user1").expect("valid");
        for (suspended, code) in [(None, None), (Some(false), None), (Some(true), Some("customer_suspended"))] {
            let record = CustomerRecord { suspended, ..CustomerRecord::default() };
            assert_eq!(active(record, &user_id, None).err().map(|problem| problem.code().name()), code);
        }
    }
}
