//! The rate limits of plans
//! (<https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/>).

use shared::customer::{Plan, UserId};
use shared::http::Problem;

use crate::bindings::Bindings;

/// The default period of a rate limiter, in seconds. A rate limiter has a period of 10 or 60 seconds.
const DEFAULT_PERIOD: u32 = 60;

/// Counts a request in the rate limiter of the customer's plan, `RATE_LIMIT_<PLAN>`, with the user id as the key.
/// Refuses the request if the customer has reached the limit. A plan without a rate limiter has no limit. If the rate
/// limiter fails, the failure is logged and the request is allowed.
///
/// The period for `Retry-After` is in the variable `RATE_PERIOD_<PLAN>`, because a rate limiter does not return its
/// period. Without the variable, it is [`DEFAULT_PERIOD`].
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
