//! The log lines of scripts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tokio::sync::broadcast;

use super::account::now;
use super::lock::locked;
use super::log::Log;

/// How many lines are kept, and how many bytes of them.
const KEPT: usize = 10_000;
const KEPT_BYTES: usize = 16 << 20;

/// How many bytes of a message are kept.
const MAX_MESSAGE: usize = 16 << 10;

/// The number of lines that a reader may lag behind. It misses older lines.
const MAX_BEHIND: usize = 1_000;

/// A line of a script's log.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The time at which it was logged (RFC 3339).
    pub timestamp: String,
    /// The script's name.
    pub script: String,
    /// The level: `log`, `info`, `warn`, `error` or `debug`.
    pub level: String,
    /// The logged text.
    pub message: String,
}

/// Lines, and how many bytes their messages have.
#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Arc<Line>>,
    bytes: usize,
}

/// The latest lines of all scripts, which go to the platform's own output as well.
#[derive(Debug)]
pub struct ScriptLogs {
    kept: Mutex<Kept>,
    sender: broadcast::Sender<Arc<Line>>,
    output: Log,
}

impl ScriptLogs {
    /// Creates an empty log.
    pub fn new(output: Log) -> Self {
        Self { kept: Mutex::default(), sender: broadcast::Sender::new(MAX_BEHIND), output }
    }

    /// Returns the platform's output.
    pub fn output(&self) -> &Log {
        &self.output
    }

    /// Adds a line.
    pub fn add(&self, script: &str, level: &str, message: &str) {
        self.output.line(&format!("[{script}] {message}"));
        let end = (0..=MAX_MESSAGE.min(message.len())).rfind(|end| message.is_char_boundary(*end)).unwrap_or(0);
        let (script, level, message) = (script.to_owned(), level.to_owned(), message[..end].to_owned());
        let line = Arc::new(Line { timestamp: now(), script, level, message });
        let mut kept = locked(&self.kept);
        kept.bytes += line.message.len();
        kept.lines.push_back(line.clone());
        while kept.lines.len() > KEPT || kept.bytes > KEPT_BYTES {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes -= oldest.message.len();
        }
        // Nobody may be reading.
        let _ = self.sender.send(line);
    }

    /// Returns the lines that are kept, and a receiver of new lines.
    pub fn read(&self) -> (Vec<Arc<Line>>, broadcast::Receiver<Arc<Line>>) {
        let kept = locked(&self.kept);
        (kept.lines.iter().cloned().collect(), self.sender.subscribe())
    }
}
