//! The output of the hub and of all Workers.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, BufReader, Lines};

use super::lock::locked;

/// A destination for lines of output. Clones share it.
#[derive(Clone)]
pub struct Log(Arc<Mutex<dyn Write + Send>>);

impl std::fmt::Debug for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Log")
    }
}

impl Log {
    /// Writes to the standard output of this process.
    pub fn stdout() -> Self {
        Self(Arc::new(Mutex::new(io::stdout())))
    }

    /// Writes to a file. An existing file is replaced.
    pub fn file(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write the log {}", path.display()))?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    /// Writes a line. Errors are ignored, because there is no other place to report them.
    pub fn line(&self, line: &str) {
        let _ = writeln!(locked(&self.0), "{line}");
    }

    /// Writes the lines that `wanted` selects, until the input ends.
    pub async fn lines(self, mut lines: Lines<BufReader<impl AsyncRead + Unpin>>, wanted: impl Fn(&str) -> bool) {
        while let Ok(Some(line)) = lines.next_line().await {
            if wanted(&line) {
                self.line(&line);
            }
        }
    }
}
