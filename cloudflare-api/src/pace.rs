//! Stays under the API's limit by itself: 1200 requests in five minutes for a user
//! (<https://developers.cloudflare.com/fundamentals/api/reference/limits/>).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// So many requests in so much time.
#[derive(Debug)]
pub struct Pace {
    requests: usize,
    window: Duration,
    /// When the latest requests went, the oldest first.
    sent: Mutex<VecDeque<Instant>>,
}

impl Pace {
    /// A pace of `requests` in a `window`.
    pub fn new(requests: usize, window: Duration) -> Self {
        Self { requests, window, sent: Mutex::default() }
    }

    /// Waits until one more may go. They go in the order in which they come.
    pub async fn keep(&self) {
        let mut sent = self.sent.lock().await;
        if sent.len() == self.requests
            && let Some(oldest) = sent.pop_front()
        {
            sleep_until(oldest + self.window).await;
        }
        sent.push_back(Instant::now());
    }
}

impl Default for Pace {
    /// The API's own limit, less a tenth for whatever else the account's tools do.
    fn default() -> Self {
        Self::new(1080, Duration::from_mins(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_window_has_more_requests_than_it_may() {
        let pace = Pace::new(3, Duration::from_secs(10));
        let start = Instant::now();
        let mut sent = Vec::new();
        for request in 0..8 {
            if request == 2 {
                tokio::time::sleep(Duration::from_secs(4)).await;
            }
            pace.keep().await;
            sent.push(start.elapsed().as_secs());
        }
        assert_eq!(sent, [0, 0, 4, 10, 10, 14, 20, 20]);
    }
}
