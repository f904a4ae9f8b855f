//! How many requests a customer may send
//! (<https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/>).

use shared::customer::{Plan, UserId};
use shared::http::Problem;

use crate::bindings::Bindings;

/// The longer of the two periods that a rate limiter can have, in seconds.
const DEFAULT_PERIOD: u32 = 60;

/// Counts a request against its customer's plan: with the binding `RATE_LIMIT_<PLAN>`, under the user id. A plan without a
/// binding has no limit. A limiter that fails lets the request pass, and is logged.
///
/// A limiter cannot tell its period, so `RATE_PERIOD_<PLAN>` does, if it is not a minute.
pub async fn check(bindings: &Bindings, user_id: &UserId, plan: &Plan) -> Result<(), Problem> {
    let Some(limiter) = bindings.rate_limiter(plan) else { return Ok(()) };
    let options = edge::object(&[("key", user_id.as_str().into())]);
    match edge::await_promise(limiter.limit(options)).await {
        Ok(outcome) if edge::property(&outcome, "success").is_truthy() => Ok(()),
        Ok(_) => {
            let period = bindings.variable(&format!("RATE_PERIOD_{}", plan.binding_suffix()));
            let period = period.and_then(|period| period.parse().ok()).unwrap_or(DEFAULT_PERIOD);
            Err(Problem::rate_limited(period))
        }
        Err(thrown) => {
            let message = edge::error_message(&thrown);
            edge::log_error(&format!("RATE_LIMIT_{} failed: {message}", plan.binding_suffix()));
            Ok(())
        }
    }
}
