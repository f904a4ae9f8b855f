//! What scripts log, by script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::broadcast;

use super::account::now;
use super::log::Log;

/// How many lines are kept.
const KEPT: usize = 10_000;

/// How many lines a reader may be behind. It misses those that are older.
const MAX_BEHIND: usize = 1_000;

/// A line of a script's log.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// When it was logged (RFC 3339).
    pub timestamp: String,
    /// The script.
    pub script: String,
    /// `log`, `info`, `warn`, `error` or `debug`.
    pub level: String,
    /// What was logged.
    pub message: String,
}

/// The latest lines of all scripts, which go to the platform's own output as well.
#[derive(Debug)]
pub struct ScriptLogs {
    kept: Mutex<VecDeque<Arc<Line>>>,
    sender: broadcast::Sender<Arc<Line>>,
    output: Log,
}

impl ScriptLogs {
    /// Without a line.
    pub fn new(output: Log) -> Self {
        Self { kept: Mutex::default(), sender: broadcast::Sender::new(MAX_BEHIND), output }
    }

    /// The platform's own output.
    pub fn output(&self) -> &Log {
        &self.output
    }

    /// Adds a line.
    pub fn add(&self, script: &str, level: &str, message: &str) {
        self.output.line(&format!("[{script}] {message}"));
        let (script, level, message) = (script.to_owned(), level.to_owned(), message.to_owned());
        let line = Arc::new(Line { timestamp: now(), script, level, message });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(line.clone());
        // Nobody may be reading.
        let _ = self.sender.send(line);
    }

    /// The lines that are kept, and those that come from now on.
    pub fn read(&self) -> (Vec<Arc<Line>>, broadcast::Receiver<Arc<Line>>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.iter().cloned().collect(), self.sender.subscribe())
    }
}
