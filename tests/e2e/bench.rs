//! The benchmark: that it runs, that the twins answer as the Workers do, and what does not depend on the machine. Times are
//! not judged here.

use std::env;
use std::process::Command;

use serde_json::Value;

/// What each route may ask of the storage: the operation and how often, and nothing else.
const OPERATIONS: [(&str, &[(&str, f64)]); 20] = [
    ("GET /", &[]),
    ("GET /data, small", &[("kvRead", 1.0)]),
    ("GET /data, 100 KB", &[("kvRead", 1.0)]),
    ("POST /data, small", &[("kvWrite", 1.0)]),
    ("POST /data, 100 KB", &[("kvWrite", 1.0)]),
    ("POST /data, 5 MB", &[("kvWrite", 1.0)]),
    ("GET /files, 1 KB", &[("r2Read", 1.0)]),
    ("GET /files, 1 MB", &[("r2Read", 1.0)]),
    ("GET /files, 100 MB", &[("r2Read", 1.0)]),
    ("GET /files, 1 MB of 100", &[("r2Read", 1.0)]),
    ("GET /files, 304", &[("r2Read", 1.0)]),
    ("PUT /files, 1 KB", &[("r2Write", 1.0)]),
    ("PUT /files, 100 MB", &[("r2Write", 1.0)]),
    ("POST /files, 1 MB", &[("r2Write", 1.0)]),
    // The beginning, ten parts, the end.
    ("POST /files, 50 MB", &[("r2Write", 12.0)]),
    ("GET /files, list of 1000", &[("r2List", 1.0)]),
    ("GET /data, list of 1000", &[("kvList", 1.0)]),
    // The values and the counts of operations.
    ("GET /stats, 1000 objects", &[("kvList", 2.0), ("r2List", 1.0)]),
    ("GET /files, 404", &[("r2Read", 1.0)]),
    ("GET /files, 400", &[]),
];

/// The most that a Worker may have, compressed, in bytes: Wasm and glue, and text beside them.
const SIZES: [(&str, u64, u64); 2] = [("dispatcher", 60_000, 6_000), ("customer-worker", 150_000, 0)];

#[test]
fn it_runs_and_the_workers_ask_no_more_of_the_storage_than_they_must() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("results.json");
    let output = Command::new(env::var("XTASK").expect("run this with `cargo xtask test`"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("CARGO_MANIFEST_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/../xtask"))
        .args(["bench", "--short", "--output"])
        .arg(&file)
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("| `GET /data, small` | 1.00 KV read |"), "{table}");

    let results = std::fs::read(&file).expect("the results");
    let results: Value = serde_json::from_slice(&results).expect("JSON");
    let routes = results["routes"].as_array().expect("routes");
    assert_eq!(routes.len(), 26);
    for route in routes {
        for side in ["rust", "javascript"] {
            let cpu = route[side]["cpu"]["median"].as_f64().expect("a number");
            assert!(cpu > 0.0 && cpu < 60.0, "{route}");
        }
        assert_eq!(route["rust"]["operations"], route["javascript"]["operations"], "{}", route["name"]);
    }
    for (name, operations) in OPERATIONS {
        let route = routes.iter().find(|route| route["name"] == name && route["through"] == "both").expect(name);
        let found = route["rust"]["operations"].as_object().expect("operations");
        let found: Vec<(&str, f64)> =
            found.iter().map(|(operation, count)| (operation.as_str(), count.as_f64().expect("a number"))).collect();
        assert_eq!(found, operations, "{name}");
        // One an interval of five seconds at most, of which a short run has a few.
        assert!(route["rust"]["usageWrites"].as_u64().is_some_and(|writes| writes <= 12), "{name}");
    }
    for (name, most, most_text) in SIZES {
        let sizes = results["sizes"].as_array().expect("sizes");
        let size = sizes.iter().find(|size| size["worker"] == name).expect(name);
        let bytes: u64 = ["glue", "wasm"].iter().filter_map(|part| size[part].as_u64()).sum();
        assert!((1..=most).contains(&bytes), "{name} has {bytes} bytes");
        assert!(size["text"].as_u64().is_some_and(|text| text <= most_text), "{size}");
    }
}

#[test]
fn its_options_are_explained_and_bad_ones_are_refused() {
    let bench = |arguments: &[&str]| {
        Command::new(env::var("XTASK").expect("run this with `cargo xtask test`"))
            .env("CARGO_MANIFEST_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/../xtask"))
            .arg("bench")
            .args(arguments)
            .output()
            .expect("the program runs")
    };
    let help = bench(&["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--rounds"));
    for (arguments, said) in [
        (&["no such route"][..], "no route's name contains"),
        (&["--rounds", "0"], "as many as --runs at least"),
        (&["--short", "--rounds", "2"], "cannot be used with"),
    ] {
        let output = bench(arguments);
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{arguments:?}");
    }
}
