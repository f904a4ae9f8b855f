//! Runs the fuzz targets without a fuzzer: on their seeds, on changed seeds, and on random bytes.

#[path = "fuzz/bodies.rs"]
mod bodies;

use std::env;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

/// The number of cases for each target, unless `PROPTEST_CASES` is set.
const CASES: u32 = 4000;

fn run(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).expect("the target's seeds").map(|entry| entry.expect("an entry").path());
    let seeds: Vec<Vec<u8>> = files.map(|file| fs::read(file).expect("a file")).collect();
    assert!(seeds.len() > 2, "{} has seeds", folder.display());
    for seed in &seeds {
        body(seed);
    }
    let significant: [&[u8]; 14] =
        [b"\r\n", b"--x", b"--x--", b"\r", b"-", b"\"", b"\\", b";", b":", b"=", b".", b"\0", b"\xff", b"bytes=0-"];
    let replacement = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        select(significant.to_vec()).prop_map(<[u8]>::to_vec),
        select(seeds.clone()),
    ];
    // Replaces up to five bytes at each of several positions of a seed.
    let changed = (select(seeds), prop::collection::vec((any::<Index>(), 0_usize..6, replacement), 1..6));
    let changed = changed.prop_map(|(mut bytes, changes)| {
        for (at, removed, replacement) in changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, replacement);
        }
        bytes
    });
    let bytes = prop_oneof![4 => changed, 1 => prop::collection::vec(any::<u8>(), 0..300)];
    let cases = env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&bytes, |bytes| {
        body(&bytes);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn forms() {
    run("form", bodies::form);
}

#[test]
fn ranges() {
    run("range", bodies::range);
}

#[test]
fn tokens() {
    run("token", bodies::token);
}
