//! `cargo xtask bench`: it works, and the Workers keep the limits that do not depend on the machine. Times are not
//! checked.

use std::env;
use std::process::{Command, Output};
use std::time::Instant;

/// The storage operations of one request to each measured route.
const OPERATIONS: [(&str, &str); 20] = [
    ("GET / (dispatcher)", "none"),
    ("GET / (dispatcher, token)", "none"),
    ("GET /", "none"),
    ("GET /data, small", "1 KV read"),
    ("POST /data, small", "1 KV write"),
    ("GET /files, 1 KB", "1 R2 read"),
    ("GET /files, 304", "1 R2 read"),
    ("GET /files, 404", "1 R2 read"),
    ("PUT /files, 1 KB", "1 R2 write"),
    ("POST /files, 10 KB", "1 R2 write"),
    ("GET /files, 1 MB", "1 R2 read"),
    ("PUT /files, 1 MB", "1 R2 write"),
    ("POST /files, 1 MB", "1 R2 write"),
    ("POST /data, 5 MB", "1 KV write"),
    ("GET /files, 100 MB", "1 R2 read"),
    ("PUT /files, 100 MB", "1 R2 write"),
    // Creating the multipart upload, ten parts, completing it.
    ("POST /files, 50 MB", "12 R2 write"),
    ("GET /files, list of 1000", "1 R2 list"),
    ("GET /data, list of 1000", "1 KV list"),
    // One KV list has the values, the other one the usage counts.
    ("GET /stats of 1000", "2 KV list, 1 R2 list"),
];

/// The maximum compressed sizes of each Worker's code and of its text modules, in bytes.
const MAX_SIZES: [(&str, u64, u64); 2] = [("dispatcher", 80_000, 6_000), ("customer-worker", 170_000, 0)];

#[test]
fn workers_keep_their_operation_counts_and_sizes() {
    let started = Instant::now();
    let output = bench(&["--short"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = String::from_utf8_lossy(&output.stdout);

    let rows: Vec<&str> = report.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert_eq!(rows.len(), OPERATIONS.len(), "{report}");
    for (row, (route, operations)) in rows.into_iter().zip(OPERATIONS) {
        assert!(row.starts_with(&format!("| {route} |")), "expected {route}: {row}");
        assert!(row.ends_with(&format!("| {operations} |")), "expected {operations}: {row}");
    }
    // Each of the two customers has one isolate, which writes its counts every five seconds at most.
    let intervals = started.elapsed().as_secs() / 5 + 1;
    assert!(number_after(&report, "usage counts were written ") <= 2 * intervals, "{report}");
    for (worker, max_code, max_text) in MAX_SIZES {
        let (_, sizes) = report.split_once(&format!("- {worker}: ")).expect(worker);
        assert!((1..=max_code).contains(&number_after(sizes, "Size ")), "{sizes}");
        assert!(number_after(sizes, "; text ") <= max_text, "{sizes}");
    }
}

#[test]
fn bench_explains_its_options_and_rejects_invalid_ones() {
    let help = bench(&["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--short"));
    for (arguments, message) in [(["no such route"], "no route's name contains"), (["--rounds"], "unexpected argument")]
    {
        let output = bench(&arguments);
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains(message), "{arguments:?}");
    }
}

fn bench(arguments: &[&str]) -> Output {
    Command::new(env::var("XTASK").expect("run this with `cargo xtask test`"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("CARGO_MANIFEST_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/../xtask"))
        .arg("bench")
        .args(arguments)
        .output()
        .expect("the program runs")
}

/// Returns the number that follows some words in a text.
fn number_after(text: &str, words: &str) -> u64 {
    let (_, rest) = text.split_once(words).expect(words);
    let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().expect("a number")
}
