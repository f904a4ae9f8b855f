//! The log of the platform under test.

use std::env;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Waits until at least `count` JSON lines in the log match, and returns them. A line may be written after its reply
/// was sent.
pub async fn lines(count: usize, matches: impl Fn(&Value) -> bool) -> Vec<Value> {
    let started = Instant::now();
    loop {
        let found: Vec<Value> = read().lines().filter_map(json).filter(|line| matches(line)).collect();
        if found.len() >= count {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{} of {count} lines: {found:#?}", found.len());
        sleep(Duration::from_millis(100)).await;
    }
}

/// Parses the JSON in a line. wrangler adds colours around lines that are logged as errors.
fn json(line: &str) -> Option<Value> {
    let (start, end) = (line.find('{')?, line.rfind('}')?);
    serde_json::from_str(line.get(start..=end)?).ok()
}

/// Returns what the Workers have logged so far, without wrangler's own lines, which have the requests' paths.
#[must_use]
pub fn text() -> String {
    read().lines().filter(|line| !line.starts_with("[wrangler:info]")).collect::<Vec<_>>().join("\n")
}

fn read() -> String {
    let path = env::var("PLATFORM_LOG").expect("PLATFORM_LOG is not set: run the tests with `cargo xtask test`");
    String::from_utf8_lossy(&fs::read(path).expect("the log can be read")).into_owned()
}
