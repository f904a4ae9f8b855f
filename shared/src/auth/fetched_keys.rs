//! Caching of a key set that is fetched over the network: when to use the cached keys, when to fetch, and when to wait
//! for a fetch that another request has started.

use std::rc::Rc;

/// The keys of one source, cached for all requests of an isolate. All times and durations are in milliseconds.
#[derive(Debug)]
pub struct FetchedKeys<K> {
    cached: Option<CachedKeys<K>>,
    /// The start of the fetch that is in progress.
    fetching_since: Option<f64>,
    /// The failure of the last fetch, if it failed.
    failure: Option<FetchFailure>,
    /// The time of the last fetch that an unknown key caused.
    unknown_key_at: Option<f64>,
}

#[derive(Debug)]
struct CachedKeys<K> {
    keys: Rc<K>,
    fetched_at: f64,
}

#[derive(Debug)]
struct FetchFailure {
    cause: String,
    at: f64,
}

/// What a request that needs keys must do next.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyAction<K> {
    /// Use these keys.
    Use(Rc<K>),
    /// Use these keys, and fetch new ones in the background.
    UseAndFetch(Rc<K>),
    /// Fetch the keys, pass the result to [`FetchedKeys::finish_fetch`], and call [`FetchedKeys::next_action`] again.
    Fetch,
    /// Another request is fetching the keys: call [`FetchedKeys::next_action`] again after a short delay.
    Wait,
    /// The keys are unavailable, for this reason.
    Fail(String),
}

impl<K> FetchedKeys<K> {
    /// The age at which keys are fetched again in the background. So under steady traffic, no request waits for a
    /// fetch.
    pub const REFRESH_AGE: f64 = 480_000.0;

    /// The age up to which requests use keys without waiting for a new fetch.
    pub const MAX_AGE: f64 = 600_000.0;

    /// The age up to which requests use keys if fetching them again has failed.
    const MAX_STALE_AGE: f64 = 3_600_000.0;

    /// The shortest time between two fetches caused by tokens that name an unknown key.
    const UNKNOWN_KEY_INTERVAL: f64 = 60_000.0;

    /// The time after a failed fetch before the next attempt.
    const RETRY_INTERVAL: f64 = 5_000.0;

    /// The time limit of a fetch. If a fetch has no result by then, it was dropped together with its request.
    pub const FETCH_TIMEOUT: f64 = 5_000.0;

    /// Decides what to do for a token. `is_sufficient` returns whether the given keys suffice to check the token: they
    /// include the key that it names, or it names no key.
    pub fn next_action(&mut self, is_sufficient: impl Fn(&K) -> bool, now: f64) -> KeyAction<K> {
        let age = self.cached.as_ref().map_or(f64::INFINITY, |cached| now - cached.fetched_at);
        let usable = self.cached.as_ref().filter(|_| age < Self::MAX_STALE_AGE).map(|cached| cached.keys.clone());
        let fetching = self.fetching_since.is_some_and(|since| now - since <= Self::FETCH_TIMEOUT);
        let recent_failure = self.failure.as_ref().filter(|failure| now - failure.at < Self::RETRY_INTERVAL);

        // Sufficient keys are used up to `MAX_AGE`. After a failed fetch, older ones are used as well, so that requests
        // do not wait for a source that is down.
        let last_fetch_failed = self.failure.is_some();
        if let Some(keys) = usable.clone().filter(|keys| is_sufficient(keys))
            && (age < Self::MAX_AGE || last_fetch_failed)
        {
            if age < Self::REFRESH_AGE || fetching || recent_failure.is_some() {
                return KeyAction::Use(keys);
            }
            self.fetching_since = Some(now);
            return KeyAction::UseAndFetch(keys);
        }
        if fetching {
            return KeyAction::Wait;
        }
        if let Some(failure) = recent_failure {
            return usable.map_or_else(|| KeyAction::Fail(failure.cause.clone()), KeyAction::Use);
        }
        if let Some(keys) = usable.filter(|_| age < Self::MAX_AGE) {
            // The key may have been published after the last fetch.
            if self.unknown_key_at.is_some_and(|at| now - at < Self::UNKNOWN_KEY_INTERVAL) {
                return KeyAction::Use(keys);
            }
            self.unknown_key_at = Some(now);
        }
        self.fetching_since = Some(now);
        KeyAction::Fetch
    }

    /// Stores the result of a fetch. An error is the reason why it failed.
    pub fn finish_fetch(&mut self, result: Result<K, String>, now: f64) {
        self.fetching_since = None;
        match result {
            Ok(keys) => {
                self.cached = Some(CachedKeys { keys: Rc::new(keys), fetched_at: now });
                self.failure = None;
            }
            Err(cause) => self.failure = Some(FetchFailure { cause, at: now }),
        }
    }
}

impl<K> Default for FetchedKeys<K> {
    fn default() -> Self {
        Self { cached: None, fetching_since: None, failure: None, unknown_key_at: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestKeys = FetchedKeys<Vec<&'static str>>;

    const SECOND: f64 = 1000.0;
    const MINUTE: f64 = 60.0 * SECOND;

    fn next(keys: &mut TestKeys, key: &str, now: f64) -> KeyAction<Vec<&'static str>> {
        keys.next_action(|cached| cached.contains(&key), now)
    }

    fn use_keys(keys: &[&'static str]) -> KeyAction<Vec<&'static str>> {
        KeyAction::Use(Rc::new(keys.to_vec()))
    }

    /// Returns keys that were fetched at the time 0.
    fn fetched_keys(names: &[&'static str]) -> TestKeys {
        let mut keys = TestKeys::default();
        assert_eq!(next(&mut keys, "a", 0.0), KeyAction::Fetch);
        keys.finish_fetch(Ok(names.to_vec()), 0.0);
        keys
    }

    #[test]
    fn one_request_fetches_and_the_others_wait() {
        let mut keys = TestKeys::default();
        assert_eq!(next(&mut keys, "a", 0.0), KeyAction::Fetch);
        for key in ["a", "b"] {
            assert_eq!(next(&mut keys, key, 4.0 * SECOND), KeyAction::Wait);
        }
        keys.finish_fetch(Ok(vec!["a"]), 4.5 * SECOND);
        assert_eq!(next(&mut keys, "a", 5.0 * SECOND), use_keys(&["a"]));
    }

    #[test]
    fn a_fetch_without_a_result_is_repeated_after_its_timeout() {
        let mut keys = TestKeys::default();
        assert_eq!(next(&mut keys, "a", 0.0), KeyAction::Fetch);
        assert_eq!(next(&mut keys, "a", 5.0 * SECOND), KeyAction::Wait);
        assert_eq!(next(&mut keys, "a", 5.1 * SECOND), KeyAction::Fetch);
        assert_eq!(next(&mut keys, "a", 5.2 * SECOND), KeyAction::Wait);
    }

    #[test]
    fn keys_are_used_for_ten_minutes() {
        let mut keys = fetched_keys(&["a"]);
        assert_eq!(next(&mut keys, "a", 8.0 * MINUTE - 1.0), use_keys(&["a"]));
        assert_eq!(next(&mut keys, "a", 10.0 * MINUTE), KeyAction::Fetch);
        // A key that the source has removed is no longer used.
        keys.finish_fetch(Ok(vec!["b"]), 10.0 * MINUTE);
        assert_eq!(next(&mut keys, "b", 10.0 * MINUTE), use_keys(&["b"]));
        assert_eq!(next(&mut keys, "a", 10.0 * MINUTE), KeyAction::Fetch);
        keys.finish_fetch(Ok(vec!["b"]), 10.0 * MINUTE);
        assert_eq!(next(&mut keys, "a", 10.0 * MINUTE), use_keys(&["b"]));
    }

    #[test]
    fn under_steady_traffic_no_request_waits() {
        let mut keys = fetched_keys(&["a"]);
        assert_eq!(next(&mut keys, "a", 8.0 * MINUTE), KeyAction::UseAndFetch(Rc::new(vec!["a"])));
        assert_eq!(next(&mut keys, "a", 8.0 * MINUTE), use_keys(&["a"]));
        keys.finish_fetch(Ok(vec!["a", "b"]), 8.0 * MINUTE);
        assert_eq!(next(&mut keys, "b", 15.0 * MINUTE), use_keys(&["a", "b"]));
        // No request waits even if the source hangs.
        assert_eq!(next(&mut keys, "a", 16.0 * MINUTE), KeyAction::UseAndFetch(Rc::new(vec!["a", "b"])));
        keys.finish_fetch(Err("slow".to_owned()), 16.1 * MINUTE);
        assert_eq!(next(&mut keys, "a", 16.11 * MINUTE), use_keys(&["a", "b"]));
        assert_eq!(next(&mut keys, "a", 19.0 * MINUTE), KeyAction::UseAndFetch(Rc::new(vec!["a", "b"])));
        assert_eq!(next(&mut keys, "a", 19.0 * MINUTE), use_keys(&["a", "b"]));
    }

    #[test]
    fn if_fetches_fail_the_cached_keys_are_used_for_an_hour() {
        let mut keys = fetched_keys(&["a"]);
        assert_eq!(next(&mut keys, "a", 10.0 * MINUTE), KeyAction::Fetch);
        assert_eq!(next(&mut keys, "a", 10.0 * MINUTE), KeyAction::Wait);
        keys.finish_fetch(Err("down".to_owned()), 10.0 * MINUTE);
        assert_eq!(next(&mut keys, "a", 10.0 * MINUTE), use_keys(&["a"]));
        // After a failed fetch, no request waits for the source.
        for minute in [10.5, 30.0, 59.9] {
            assert_eq!(next(&mut keys, "a", minute * MINUTE), KeyAction::UseAndFetch(Rc::new(vec!["a"])), "{minute}");
            assert_eq!(next(&mut keys, "a", minute * MINUTE), use_keys(&["a"]), "{minute}");
            keys.finish_fetch(Err("down".to_owned()), minute * MINUTE);
            assert_eq!(next(&mut keys, "a", minute * MINUTE), use_keys(&["a"]), "{minute}");
        }
        assert_eq!(next(&mut keys, "a", 60.0 * MINUTE), KeyAction::Fetch);
        keys.finish_fetch(Err("down".to_owned()), 60.0 * MINUTE);
        assert_eq!(next(&mut keys, "a", 60.0 * MINUTE), KeyAction::Fail("down".to_owned()));
    }

    #[test]
    fn a_failed_fetch_is_repeated_after_five_seconds() {
        let mut keys = TestKeys::default();
        assert_eq!(next(&mut keys, "a", 0.0), KeyAction::Fetch);
        keys.finish_fetch(Err("down".to_owned()), SECOND);
        assert_eq!(next(&mut keys, "a", 5.9 * SECOND), KeyAction::Fail("down".to_owned()));
        assert_eq!(next(&mut keys, "a", 6.0 * SECOND), KeyAction::Fetch);
    }

    #[test]
    fn unknown_keys_cause_one_fetch_a_minute() {
        let mut keys = fetched_keys(&["a"]);
        assert_eq!(next(&mut keys, "b", SECOND), KeyAction::Fetch);
        assert_eq!(next(&mut keys, "c", SECOND), KeyAction::Wait);
        // Requests with a cached key do not wait.
        assert_eq!(next(&mut keys, "a", SECOND), use_keys(&["a"]));
        keys.finish_fetch(Ok(vec!["a", "b"]), 2.0 * SECOND);
        assert_eq!(next(&mut keys, "b", 2.0 * SECOND), use_keys(&["a", "b"]));
        assert_eq!(next(&mut keys, "c", 60.9 * SECOND), use_keys(&["a", "b"]));
        assert_eq!(next(&mut keys, "c", 61.0 * SECOND), KeyAction::Fetch);
        // The same interval applies after a failed fetch.
        keys.finish_fetch(Err("down".to_owned()), 61.0 * SECOND);
        for second in [61.0, 67.0, 120.9] {
            assert_eq!(next(&mut keys, "c", second * SECOND), use_keys(&["a", "b"]), "{second}");
        }
        assert_eq!(next(&mut keys, "c", 121.0 * SECOND), KeyAction::Fetch);
    }
}
