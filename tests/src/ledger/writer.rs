//! A writer and its ledger.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::json;

use super::content::GeneratedContent;
use super::possible::PossibleContents;
use super::tally::Tally;
use crate::{Customer, escaped};

/// How many keys a writer uses for files, and for values. There are few, so that each is often written again.
const KEYS: u64 = 8;

/// The failures that a writer accepts. It panics at any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedFailures {
    /// Every request succeeds.
    None,
    /// Storage fails, and the reply is a problem.
    Storage,
    /// The runtime is killed: connections break, and problems say that the runtime is unavailable.
    Crashes,
}

/// A client that writes, reads and deletes, one request after another, under keys of its own. One customer may have
/// many writers.
#[derive(Debug)]
pub struct Writer {
    pub(super) user: Customer,
    pub(super) name: String,
    pub(super) expected_failures: ExpectedFailures,
    pub(super) random: Rng,
    pub(super) files: BTreeMap<String, PossibleContents>,
    pub(super) values: BTreeMap<String, PossibleContents>,
    pub(super) rows: BTreeMap<u64, PossibleContents>,
    /// The outcomes of its requests so far.
    pub tally: Tally,
}

impl Writer {
    /// Creates a writer. No other writer of the customer may have the same name.
    pub async fn new(user: Customer, name: &str, expected_failures: ExpectedFailures, seed: u64) -> Self {
        let mut writer = Self {
            user,
            name: name.to_owned(),
            expected_failures,
            random: Rng::with_seed(seed),
            files: BTreeMap::new(),
            values: BTreeMap::new(),
            rows: BTreeMap::new(),
            tally: Tally::default(),
        };
        let table = "CREATE TABLE IF NOT EXISTS ledger (writer TEXT, id INTEGER, half INTEGER, length INTEGER)";
        writer.retry(|user| user.post_json("/db/query", json!({ "sql": table }).to_string())).await;
        writer
    }

    /// Replaces the customer's client, after the platform was started again at another URL.
    #[must_use]
    pub fn with_customer(mut self, user: Customer) -> Self {
        self.user = user;
        self
    }

    /// Runs one randomly chosen operation.
    pub(super) async fn step(&mut self) {
        match self.random.u32(0..1000) {
            0..180 => self.put_file().await,
            180..230 => self.upload_form().await,
            230..233 => self.upload_in_parts().await,
            233..430 => self.read_file().await,
            430..480 => self.read_range().await,
            480..530 => self.delete_file().await,
            530..680 => self.set_value().await,
            680..800 => self.read_value().await,
            800..840 => self.delete_value().await,
            840..880 => self.list_files().await,
            880..920 => self.list_values().await,
            920..925 => self.read_stats().await,
            // The reply to a HEAD has no body and so no problem code.
            925..928 if self.expected_failures == ExpectedFailures::None => self.head_file().await,
            928..930 => self.read_health().await,
            930..970 => self.insert_rows().await,
            _ => self.read_rows().await,
        }
    }

    /// Whether a read settles which content is stored. After a crash it does not: a write whose connection broke may
    /// still be in progress.
    pub(super) fn read_settles(&self) -> bool {
        self.expected_failures != ExpectedFailures::Crashes
    }

    /// Returns the prefix of the writer's keys.
    pub(super) fn prefix(&self) -> String {
        format!("{}/", self.name)
    }

    /// Returns one of the writer's keys at random.
    pub(super) fn random_key(&mut self) -> String {
        format!("{}{}", self.prefix(), self.random.u64(..KEYS))
    }

    /// Returns random content that is shorter than `limit` bytes.
    pub(super) fn random_content(&mut self, limit: usize) -> GeneratedContent {
        GeneratedContent { seed: self.random.u64(..), length: self.random.usize(..limit) }
    }
}

/// Returns a path with a key in its query.
pub(super) fn path_with_key(path: &str, key: &str) -> String {
    format!("{path}?key={}", escaped(key))
}
