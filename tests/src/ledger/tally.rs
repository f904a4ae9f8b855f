//! Counts of what writers did.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// The outcomes of requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Writes and deletes that were acknowledged.
    pub acknowledged: u64,
    /// Writes and deletes that were not acknowledged.
    pub in_doubt: u64,
    /// Reads and lists that succeeded and were checked.
    pub reads: u64,
    /// Problems, by their codes.
    pub problems: BTreeMap<String, u64>,
    /// Requests without a complete reply.
    pub lost: u64,
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        self.acknowledged += other.acknowledged;
        self.in_doubt += other.in_doubt;
        self.reads += other.reads;
        self.lost += other.lost;
        for (code, count) in &other.problems {
            *self.problems.entry(code.clone()).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, in_doubt, reads, problems, lost } = self;
        write!(
            formatter,
            "{acknowledged} writes acknowledged, {in_doubt} not; {reads} reads checked; problems {problems:?}; {lost} \
             requests without a reply"
        )
    }
}
