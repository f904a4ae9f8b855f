//! Customers: their ids, their records, their usage, and what their Workers may reach.

mod outbound;
mod record;
mod stats;
mod usage;
mod user_id;

pub use outbound::{AllowedHosts, OutboundLog};
pub use record::{CustomerRecord, Limits, Plan};
pub use stats::{Activity, FileTotals, Stats, StoredCounts};
pub use usage::{Operation, Usage};
pub use user_id::{InvalidUserId, UserId};
