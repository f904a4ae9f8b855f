//! Customers: user ids, records, plans, usage, stats, and the hosts that customers' Workers may call.

mod outbound;
mod record;
mod stats;
mod usage;
mod user_id;

pub use outbound::{AllowedHosts, OutboundLog};
pub use record::{CustomerRecord, InvalidPlan, Limits, Plan};
pub use stats::{Activity, FileTotals, Stats, StoredCounts};
pub use usage::{Operation, Usage};
pub use user_id::{InvalidUserId, UserId};
