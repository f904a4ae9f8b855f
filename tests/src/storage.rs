//! Queries on the local simulators' own databases.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a query on every database of a simulator (`kv`, `r2`, `d1`) of the platform under test, and returns the first
/// column of all rows.
#[must_use]
pub fn query(simulator: &str, sql: &str) -> Vec<String> {
    query_in(&state_folder(), simulator, sql)
}

/// Like [`query`], for the platform with this state folder.
#[must_use]
pub fn query_in(state: &Path, simulator: &str, sql: &str) -> Vec<String> {
    /// Uses Node's built-in `SQLite`, in the version of Node that `cargo xtask setup` installs.
    const SCRIPT: &str = "const { DatabaseSync } = require('node:sqlite');
        for (const file of process.argv.slice(2)) {
            const database = new DatabaseSync(file, { readOnly: true });
            for (const row of database.prepare(process.argv[1]).all()) console.log(String(Object.values(row)[0]));
            database.close();
        }";
    let databases = databases(&simulator_folder(state, simulator));
    assert!(!databases.is_empty(), "no database of {simulator} in {}", state.display());
    let node = crate::repository().join("node_modules/node/bin/node");
    let output =
        Command::new(node).args(["--no-warnings", "-e", SCRIPT, sql]).args(databases).output().expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// Returns the database files of a simulator (`kv`, `r2`, `d1`) of the platform under test.
#[must_use]
pub fn database_files(simulator: &str) -> Vec<PathBuf> {
    databases(&simulator_folder(&state_folder(), simulator))
}

fn state_folder() -> PathBuf {
    env::var_os("PLATFORM_STATE").expect("PLATFORM_STATE is not set: run the tests with `cargo xtask test`").into()
}

fn simulator_folder(state: &Path, simulator: &str) -> PathBuf {
    state.join("storage/v3").join(simulator)
}

/// Returns the database files below a folder, without the simulators' metadata.
fn databases(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { databases(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|kind| kind == "sqlite") && !path.ends_with("metadata.sqlite"))
        .collect()
}
