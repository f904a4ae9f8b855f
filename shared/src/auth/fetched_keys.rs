//! Keys that are fetched from elsewhere: when to use what is known, when to fetch, when to wait for who is fetching.

use std::rc::Rc;

/// The keys of one source, shared by all requests of an isolate. All times are in milliseconds.
#[derive(Debug)]
pub struct FetchedKeys<K> {
    known: Option<Known<K>>,
    fetching_since: Option<f64>,
    failure: Option<Failure>,
    unknown_key_at: Option<f64>,
}

#[derive(Debug)]
struct Known<K> {
    keys: Rc<K>,
    at: f64,
}

#[derive(Debug)]
struct Failure {
    cause: String,
    at: f64,
}

/// What a request that needs keys does next.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyAction<K> {
    /// Use these.
    Use(Rc<K>),
    /// Use these, and fetch them meanwhile.
    UseAndFetch(Rc<K>),
    /// Fetch them, and say what came of it with [`FetchedKeys::fetched`]; then ask again.
    Fetch,
    /// Somebody is fetching them: ask again a little later.
    Wait,
    /// There are none, for this reason.
    Fail(String),
}

impl<K> FetchedKeys<K> {
    /// From when on they are fetched again, so that under traffic nobody ever waits for it.
    pub const REFRESH_AGE: f64 = 480_000.0;

    /// How long keys are used without being fetched again.
    pub const MAX_AGE: f64 = 600_000.0;

    /// How long they are used at most where they cannot be fetched again.
    pub const MAX_STALE_AGE: f64 = 3_600_000.0;

    /// How often, at most, a token that names a key which is not among them makes them be fetched again.
    pub const UNKNOWN_KEY_INTERVAL: f64 = 60_000.0;

    /// How long after a failure it is tried again.
    pub const RETRY_INTERVAL: f64 = 5_000.0;

    /// How long fetching may take. Who has not said by then what came of it is not heard of again.
    pub const FETCH_TIMEOUT: f64 = 5_000.0;

    /// What to do for a token. `settles` says whether some keys settle the matter of it, in that the one that it names is
    /// among them or it names none.
    pub fn next(&mut self, settles: impl Fn(&K) -> bool, now: f64) -> KeyAction<K> {
        let age = self.known.as_ref().map_or(f64::INFINITY, |known| now - known.at);
        let known = self.known.as_ref().filter(|_| age < Self::MAX_STALE_AGE).map(|known| known.keys.clone());
        let fetching = self.fetching_since.is_some_and(|since| now - since <= Self::FETCH_TIMEOUT);
        let failure = self.failure.as_ref().filter(|failure| now - failure.at < Self::RETRY_INTERVAL);

        // Keys that settle it are used while they are young; once it is known that the source does not answer, old ones, too,
        // so that nobody waits for it again.
        let fails = self.failure.is_some();
        if let Some(keys) = known.clone().filter(|keys| settles(keys))
            && (age < Self::MAX_AGE || fails)
        {
            if age < Self::REFRESH_AGE || fetching || failure.is_some() {
                return KeyAction::Use(keys);
            }
            self.fetching_since = Some(now);
            return KeyAction::UseAndFetch(keys);
        }
        if fetching {
            return KeyAction::Wait;
        }
        if let Some(failure) = failure {
            return known.map_or_else(|| KeyAction::Fail(failure.cause.clone()), KeyAction::Use);
        }
        if let Some(keys) = known.filter(|_| age < Self::MAX_AGE) {
            // Perhaps the key was published since.
            if self.unknown_key_at.is_some_and(|at| now - at < Self::UNKNOWN_KEY_INTERVAL) {
                return KeyAction::Use(keys);
            }
            self.unknown_key_at = Some(now);
        }
        self.fetching_since = Some(now);
        KeyAction::Fetch
    }

    /// What came of fetching.
    pub fn fetched(&mut self, outcome: Result<K, String>, now: f64) {
        self.fetching_since = None;
        match outcome {
            Ok(keys) => {
                self.known = Some(Known { keys: Rc::new(keys), at: now });
                self.failure = None;
            }
            Err(cause) => self.failure = Some(Failure { cause, at: now }),
        }
    }
}

impl<K> Default for FetchedKeys<K> {
    fn default() -> Self {
        Self { known: None, fetching_since: None, failure: None, unknown_key_at: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Keys = FetchedKeys<Vec<&'static str>>;

    const SECOND: f64 = 1000.0;
    const MINUTE: f64 = 60.0 * SECOND;

    fn next(keys: &mut Keys, key: &str, now: f64) -> KeyAction<Vec<&'static str>> {
        keys.next(|known| known.contains(&key), now)
    }

    fn used(keys: &[&'static str]) -> KeyAction<Vec<&'static str>> {
        KeyAction::Use(Rc::new(keys.to_vec()))
    }

    /// Keys that were fetched at 0.
    fn keys(known: &[&'static str]) -> Keys {
        let mut keys = Keys::default();
        assert_eq!(next(&mut keys, "a", 0.0), KeyAction::Fetch);
        keys.fetched(Ok(known.to_vec()), 0.0);
        keys
    }

    #[test]
    fn one_fetches_and_the_others_wait() {
        let mut keys = Keys::default();
        assert_eq!(next(&mut keys, "a", 0.0), KeyAction::Fetch);
        for key in ["a", "b"] {
            assert_eq!(next(&mut keys, key, 4.0 * SECOND), KeyAction::Wait);
        }
        keys.fetched(Ok(vec!["a"]), 4.5 * SECOND);
        assert_eq!(next(&mut keys, "a", 5.0 * SECOND), used(&["a"]));
    }

    #[test]
    fn who_never_comes_back_is_not_waited_for() {
        let mut keys = Keys::default();
        assert_eq!(next(&mut keys, "a", 0.0), KeyAction::Fetch);
        assert_eq!(next(&mut keys, "a", 5.0 * SECOND), KeyAction::Wait);
        assert_eq!(next(&mut keys, "a", 5.1 * SECOND), KeyAction::Fetch);
        assert_eq!(next(&mut keys, "a", 5.2 * SECOND), KeyAction::Wait);
    }

    #[test]
    fn keys_are_used_for_ten_minutes() {
        let mut keys = keys(&["a"]);
        assert_eq!(next(&mut keys, "a", 8.0 * MINUTE - 1.0), used(&["a"]));
        assert_eq!(next(&mut keys, "a", 10.0 * MINUTE), KeyAction::Fetch);
        // A key that is gone by then is not used.
        keys.fetched(Ok(vec!["b"]), 10.0 * MINUTE);
        assert_eq!(next(&mut keys, "b", 10.0 * MINUTE), used(&["b"]));
        assert_eq!(next(&mut keys, "a", 10.0 * MINUTE), KeyAction::Fetch);
        keys.fetched(Ok(vec!["b"]), 10.0 * MINUTE);
        assert_eq!(next(&mut keys, "a", 10.0 * MINUTE), used(&["b"]));
    }

    #[test]
    fn under_traffic_nobody_waits() {
        let mut keys = keys(&["a"]);
        assert_eq!(next(&mut keys, "a", 8.0 * MINUTE), KeyAction::UseAndFetch(Rc::new(vec!["a"])));
        assert_eq!(next(&mut keys, "a", 8.0 * MINUTE), used(&["a"]));
        keys.fetched(Ok(vec!["a", "b"]), 8.0 * MINUTE);
        assert_eq!(next(&mut keys, "b", 15.0 * MINUTE), used(&["a", "b"]));
        // Not even where the source hangs.
        assert_eq!(next(&mut keys, "a", 16.0 * MINUTE), KeyAction::UseAndFetch(Rc::new(vec!["a", "b"])));
        keys.fetched(Err("slow".to_owned()), 16.1 * MINUTE);
        assert_eq!(next(&mut keys, "a", 16.11 * MINUTE), used(&["a", "b"]));
        assert_eq!(next(&mut keys, "a", 19.0 * MINUTE), KeyAction::UseAndFetch(Rc::new(vec!["a", "b"])));
        assert_eq!(next(&mut keys, "a", 19.0 * MINUTE), used(&["a", "b"]));
    }

    #[test]
    fn where_they_cannot_be_fetched_the_last_are_used_for_an_hour() {
        let mut keys = keys(&["a"]);
        assert_eq!(next(&mut keys, "a", 10.0 * MINUTE), KeyAction::Fetch);
        assert_eq!(next(&mut keys, "a", 10.0 * MINUTE), KeyAction::Wait);
        keys.fetched(Err("down".to_owned()), 10.0 * MINUTE);
        assert_eq!(next(&mut keys, "a", 10.0 * MINUTE), used(&["a"]));
        // Once it is known that the source does not answer, nobody waits for it.
        for minute in [10.5, 30.0, 59.9] {
            assert_eq!(next(&mut keys, "a", minute * MINUTE), KeyAction::UseAndFetch(Rc::new(vec!["a"])), "{minute}");
            assert_eq!(next(&mut keys, "a", minute * MINUTE), used(&["a"]), "{minute}");
            keys.fetched(Err("down".to_owned()), minute * MINUTE);
            assert_eq!(next(&mut keys, "a", minute * MINUTE), used(&["a"]), "{minute}");
        }
        assert_eq!(next(&mut keys, "a", 60.0 * MINUTE), KeyAction::Fetch);
        keys.fetched(Err("down".to_owned()), 60.0 * MINUTE);
        assert_eq!(next(&mut keys, "a", 60.0 * MINUTE), KeyAction::Fail("down".to_owned()));
    }

    #[test]
    fn a_failure_is_tried_again_after_five_seconds() {
        let mut keys = Keys::default();
        assert_eq!(next(&mut keys, "a", 0.0), KeyAction::Fetch);
        keys.fetched(Err("down".to_owned()), SECOND);
        assert_eq!(next(&mut keys, "a", 5.9 * SECOND), KeyAction::Fail("down".to_owned()));
        assert_eq!(next(&mut keys, "a", 6.0 * SECOND), KeyAction::Fetch);
    }

    #[test]
    fn an_unknown_key_is_asked_for_once_a_minute() {
        let mut keys = keys(&["a"]);
        assert_eq!(next(&mut keys, "b", SECOND), KeyAction::Fetch);
        assert_eq!(next(&mut keys, "c", SECOND), KeyAction::Wait);
        // Who has a key that is known need not wait.
        assert_eq!(next(&mut keys, "a", SECOND), used(&["a"]));
        keys.fetched(Ok(vec!["a", "b"]), 2.0 * SECOND);
        assert_eq!(next(&mut keys, "b", 2.0 * SECOND), used(&["a", "b"]));
        assert_eq!(next(&mut keys, "c", 60.9 * SECOND), used(&["a", "b"]));
        assert_eq!(next(&mut keys, "c", 61.0 * SECOND), KeyAction::Fetch);
        // Even a failure does not make it ask more often than that.
        keys.fetched(Err("down".to_owned()), 61.0 * SECOND);
        for second in [61.0, 67.0, 120.9] {
            assert_eq!(next(&mut keys, "c", second * SECOND), used(&["a", "b"]), "{second}");
        }
        assert_eq!(next(&mut keys, "c", 121.0 * SECOND), KeyAction::Fetch);
    }
}
