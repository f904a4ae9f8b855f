//! Writers that record which of their writes were acknowledged, and check every reply against that ledger.
//!
//! Reads must return the content of the last acknowledged write. A write that failed is in doubt: it may have taken
//! effect or not, until a read settles which.

mod content;
mod possible;
mod reads;
mod requests;
mod tally;
mod writer;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::possible::settled_entries;

pub use self::tally::Tally;
pub use self::writer::{ExpectedFailures, Writer};

/// Returns the sum of the writers' tallies.
#[must_use]
pub fn total(writers: &[Writer]) -> Tally {
    let mut sum = Tally::default();
    for writer in writers {
        sum += &writer.tally;
    }
    sum
}

/// Runs all writers concurrently until a point in time.
pub async fn run_until(writers: Vec<Writer>, end: Instant) -> Vec<Writer> {
    let mut tasks = JoinSet::new();
    for mut writer in writers {
        tasks.spawn(async move {
            while Instant::now() < end {
                writer.step().await;
            }
            writer
        });
    }
    tasks.join_all().await
}

/// Checks everything that a customer's writers have stored: each key's content, that there are no other keys, and that
/// `/stats` agrees. No write may be in progress. Nothing is in doubt afterwards.
pub async fn verify(writers: &mut [Writer]) {
    let (mut files, mut values) = (BTreeMap::new(), BTreeSet::new());
    for writer in &mut *writers {
        writer.verify().await;
        files.extend(settled_entries(&writer.files).map(|(key, content)| (key.clone(), content.length as u64)));
        values.extend(settled_entries(&writer.values).map(|(key, _)| key.clone()));
    }
    let writer = writers.first_mut().expect("a writer");
    let mut listed = BTreeMap::new();
    for file in writer.list("/files?limit=50", "files").await {
        let (key, size) = (file["key"].as_str().expect("a key"), file["size"].as_u64().expect("a size"));
        assert!(listed.insert(key.to_owned(), size).is_none(), "{key} is listed twice");
    }
    assert_eq!(listed, files);
    let listed = writer.list("/data?limit=50", "keys").await;
    let listed: Vec<&str> = listed.iter().map(|entry| entry["key"].as_str().expect("a key")).collect();
    assert_eq!(listed, values.iter().collect::<Vec<_>>());
    let stats = writer.retry(|user| user.get("/stats")).await.json();
    let size: u64 = files.values().sum();
    assert_eq!(stats["files"], json!({"count": files.len(), "totalSize": size}));
    assert_eq!(stats["storage"], json!({"kvKeys": values.len(), "r2Objects": files.len()}));
}
