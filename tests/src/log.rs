//! What the platform under test has logged.

use std::env;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

/// The lines of JSON in the log that say something, as soon as there are `count` of them: they come a little later than the
/// replies.
pub async fn lines(count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let started = Instant::now();
    loop {
        let found: Vec<Value> = read().lines().filter_map(json).filter(|line| wanted(line)).collect();
        if found.len() >= count {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{} of {count} lines: {found:#?}", found.len());
        sleep(Duration::from_millis(100)).await;
    }
}

/// The JSON in a line. wrangler paints what is logged as an error.
fn json(line: &str) -> Option<Value> {
    let (start, end) = (line.find('{')?, line.rfind('}')?);
    serde_json::from_str(line.get(start..=end)?).ok()
}

/// What the Workers have logged so far; wrangler's own lines, which have the requests' paths, left out.
#[must_use]
pub fn text() -> String {
    read().lines().filter(|line| !line.starts_with("[wrangler:info]")).collect::<Vec<_>>().join("\n")
}

fn read() -> String {
    let path = env::var("PLATFORM_LOG").expect("PLATFORM_LOG is not set: run the tests with `cargo xtask test`");
    String::from_utf8_lossy(&fs::read(path).expect("a log")).into_owned()
}
