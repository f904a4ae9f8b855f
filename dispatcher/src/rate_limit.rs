//! How many requests a customer may send
//! (<https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/>).

use edge::object;
use edge::task::settled;
use js_sys::Reflect;
use shared::{Plan, Problem, UserId};

use crate::bindings::Bindings;
use crate::telemetry;

/// The longer of the two periods that a rate limiter can have, in seconds.
const DEFAULT_PERIOD: u32 = 60;

/// Counts a request against its customer's plan: at the binding `RATE_LIMIT_<PLAN>`, under the user id. A plan without a
/// binding has no limit.
///
/// A limiter cannot say what its period is, so `RATE_PERIOD_<PLAN>` does, if it is not a minute.
pub async fn check(bindings: &Bindings<'_>, user_id: &UserId, plan: &Plan) -> Result<(), Problem> {
    let Some(limiter) = bindings.rate_limiter(plan) else { return Ok(()) };
    let outcome = match settled(limiter.limit(&object(&[("key", user_id.as_str().into())]))).await {
        Ok(outcome) => outcome,
        // Better too many requests than none.
        Err(thrown) => {
            let message = edge::thrown_message(&thrown);
            telemetry::log_failure(&format!("RATE_LIMIT_{} failed: {message}", plan.in_bindings()));
            return Ok(());
        }
    };
    let success = Reflect::get(&outcome, &"success".into()).is_ok_and(|success| success.is_truthy());
    if success {
        return Ok(());
    }
    Err(Problem::rate_limited(bindings.rate_period(plan).unwrap_or(DEFAULT_PERIOD)))
}
