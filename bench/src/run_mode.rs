//! The full and the short run.

use std::time::Duration;

use crate::routes::Class;

/// How much the benchmark measures.
#[derive(Clone, Copy, Debug)]
pub enum RunMode {
    /// Enough to judge the times.
    Full,
    /// A few requests of each route, to check that the benchmark works.
    Short,
}

impl RunMode {
    /// How many times the workerd processes are started. Two processes that run the same code differ in speed, because
    /// their memory layouts and V8's optimizations differ.
    pub fn runs(self) -> usize {
        match self {
            Self::Full => 4,
            Self::Short => 1,
        }
    }

    /// How long a route is served before it is measured.
    pub fn warm_up(self, class: Class) -> Duration {
        match self {
            Self::Full => class.warm_up(),
            Self::Short => Duration::ZERO,
        }
    }

    /// How long both sides of a route are measured.
    pub fn measuring_time(self, class: Class) -> Duration {
        match self {
            Self::Full => class.measuring_time(),
            Self::Short => Duration::ZERO,
        }
    }

    /// How long a side is measured before the other side's turn.
    pub fn slice(self) -> Duration {
        match self {
            Self::Full => Duration::from_millis(40),
            Self::Short => Duration::from_millis(4),
        }
    }

    /// How many times the start of each Worker is measured.
    pub fn starts(self) -> usize {
        match self {
            Self::Full => 30,
            Self::Short => 1,
        }
    }
}
