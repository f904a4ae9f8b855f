//! Keeps the client below the API's rate limit, which is 1200 requests in five minutes for a user
//! (<https://developers.cloudflare.com/fundamentals/api/reference/limits/>).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Delays requests so that no time window has more than a maximum number of them.
#[derive(Debug)]
pub struct Pacer {
    max_requests: usize,
    window: Duration,
    /// When the latest requests were sent, the oldest first.
    sent: Mutex<VecDeque<Instant>>,
}

impl Pacer {
    /// Creates a pacer that allows `max_requests` in a `window`.
    pub fn new(max_requests: usize, window: Duration) -> Self {
        Self { max_requests, window, sent: Mutex::default() }
    }

    /// Waits until one more request may be sent. Waiting requests are sent in the order of their calls.
    pub async fn wait(&self) {
        let mut sent = self.sent.lock().await;
        if sent.len() == self.max_requests
            && let Some(oldest) = sent.pop_front()
        {
            sleep_until(oldest + self.window).await;
        }
        sent.push_back(Instant::now());
    }
}

impl Default for Pacer {
    /// Creates a pacer for 90 % of the API's limit. The rest is left for the account's other tools.
    fn default() -> Self {
        Self::new(1080, Duration::from_mins(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_window_has_more_than_the_maximum_number_of_requests() {
        let pacer = Pacer::new(3, Duration::from_secs(10));
        let start = Instant::now();
        let mut sent = Vec::new();
        for request in 0..8 {
            if request == 2 {
                tokio::time::sleep(Duration::from_secs(4)).await;
            }
            pacer.wait().await;
            sent.push(start.elapsed().as_secs());
        }
        assert_eq!(sent, [0, 0, 4, 10, 10, 14, 20, 20]);
    }
}
