//! The output of the hub and of all Workers.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, BufReader, Lines};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// The number of lines that may wait to be written.
const MAX_WAITING: usize = 10_000;

/// The time that [`Log::flush`] waits.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// A destination for lines of output. Clones share it.
///
/// A thread writes the lines, because the output may block: a terminal can be paused, and nobody may read a pipe. The
/// platform goes on meanwhile, and drops lines when too many wait.
#[derive(Clone, Debug)]
pub struct Log {
    entries: mpsc::Sender<Entry>,
    dropped: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Entry {
    Line(String),
    Flush(oneshot::Sender<()>),
}

impl Log {
    /// Writes to the standard output of this process.
    pub fn stdout() -> Self {
        Self::new(io::stdout(), MAX_WAITING)
    }

    /// Writes to a file. An existing file is replaced.
    pub fn file(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write the log {}", path.display()))?;
        Ok(Self::new(file, MAX_WAITING))
    }

    fn new(mut output: impl Write + Send + 'static, max_waiting: usize) -> Self {
        let (entries, mut waiting) = mpsc::channel(max_waiting);
        let dropped = Arc::new(AtomicUsize::new(0));
        let log = Self { entries, dropped: dropped.clone() };
        thread::spawn(move || {
            while let Some(entry) = waiting.blocking_recv() {
                let missing = dropped.swap(0, Ordering::Relaxed);
                if missing > 0 {
                    // Errors are ignored, because there is no other place to report them.
                    let _ = writeln!(output, "({missing} lines were dropped, because the output was too slow)");
                }
                match entry {
                    Entry::Line(line) => drop(writeln!(output, "{line}")),
                    // Nobody may be waiting any more.
                    Entry::Flush(done) => drop(done.send(())),
                }
            }
        });
        log
    }

    /// Writes a line.
    pub fn line(&self, line: &str) {
        if self.entries.try_send(Entry::Line(line.to_owned())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all lines so far have been written, but not for longer than a second.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let flush = async {
            if self.entries.send(Entry::Flush(done)).await.is_ok() {
                // The thread answers unless it has panicked.
                let _ = written.await;
            }
        };
        // Lines that cannot be written are lost.
        let _ = timeout(FLUSH_TIMEOUT, flush).await;
    }

    /// Writes the lines of an input, until it ends.
    pub async fn lines(self, mut lines: Lines<BufReader<impl AsyncRead + Unpin>>) {
        while let Ok(Some(line)) = lines.next_line().await {
            self.line(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;
    use crate::lock::locked;

    /// An output that blocks until it may write.
    struct Slow {
        may_write: mpsc::Receiver<()>,
        written: Arc<Mutex<String>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // After the sender is dropped, everything is written.
            let _ = self.may_write.recv();
            locked(&self.written).push_str(&String::from_utf8_lossy(bytes));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_blocked_output_blocks_nobody_and_drops_are_reported() {
        let (allow, may_write) = mpsc::channel();
        let written = Arc::new(Mutex::new(String::new()));
        let (max_waiting, extra) = (10, 5);
        let log = Log::new(Slow { may_write, written: written.clone() }, max_waiting);
        for number in 0..=max_waiting + extra {
            log.line(&number.to_string());
        }
        log.flush().await;
        assert_eq!(*locked(&written), "");
        drop(allow);
        log.flush().await;
        let written = locked(&written).clone();
        let (reports, lines): (Vec<&str>, Vec<&str>) = written.lines().partition(|line| line.starts_with('('));
        assert_eq!(lines.first(), Some(&"0"));
        let count = |report: &&str| report[1..].split(' ').next()?.parse::<usize>().ok();
        let dropped: usize = reports.iter().filter_map(count).sum();
        assert!((1..=extra + 1).contains(&dropped), "{written}");
        assert_eq!(lines.len() + dropped, max_waiting + extra + 1, "{written}");
    }
}
