//! Where what wrangler and the Workers print goes.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, BufReader, Lines};

/// A sink for lines, shared by all that print.
#[derive(Clone)]
pub struct Log(Arc<Mutex<dyn Write + Send>>);

impl std::fmt::Debug for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Log")
    }
}

impl Log {
    /// This process's standard output.
    pub fn stdout() -> Self {
        Self(Arc::new(Mutex::new(io::stdout())))
    }

    /// A file, made anew.
    pub fn file(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write the log {}", path.display()))?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    /// Writes a line. Where it cannot be written, there is no place left to say so.
    pub fn line(&self, line: &str) {
        let _ = writeln!(self.0.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
    }

    /// Writes the lines that are `wanted` until there are no more.
    pub async fn lines(self, mut lines: Lines<BufReader<impl AsyncRead + Unpin>>, wanted: impl Fn(&str) -> bool) {
        while let Ok(Some(line)) = lines.next_line().await {
            if wanted(&line) {
                self.line(&line);
            }
        }
    }
}
