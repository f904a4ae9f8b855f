//! A workerd process.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use platform::token::write_private;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::lock::locked;
use super::ping::answers;
use super::run_folder::RunFolder;
use super::workerd::{
    Config, Failure, Printed, Worker, Workerd, explained, is_out_of_memory, missing_class, without_warnings,
};

/// The time that a process may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// The interval at which a busy process is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_millis(500);

/// The time that a process has to give a sign of life.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The CPU time between two pings that makes a process without connections count as busy.
const BUSY: Duration = Duration::from_millis(50);

/// How much of a line that a process prints is read, in bytes.
const MAX_LINE: usize = 256 << 10;

/// How much of what a process prints on standard error is kept, in bytes.
const MAX_ERRORS: usize = 16 << 10;

/// How long a process may be busy without a sign of life.
#[derive(Clone, Copy, Debug)]
pub struct HangLimit {
    /// The limit of the CPU time.
    pub cpu: Duration,
    /// The limit of the elapsed time, if there is one. It only applies to a process that has used CPU time.
    pub time: Option<Duration>,
}

/// Receives each line that a process's Workers log: its level and its message.
pub type LogSink = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// A process that is ready to serve. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    /// The socket that accepts connections.
    socket: PathBuf,
    /// The socket on which the process gives signs of life.
    ping: PathBuf,
    /// The time at which the last connection ended, or at which the process started.
    last_used: Mutex<Instant>,
    /// The time that the start took.
    startup: Duration,
    /// The number of connections.
    connections: watch::Sender<usize>,
    /// Why the process has ended, or `None` while it runs.
    ended: watch::Receiver<Option<Failure>>,
    killer: Arc<Killer>,
    /// Whether the process has Durable Objects.
    has_objects: bool,
    /// The first part of the process's standard error.
    stderr: Arc<Mutex<String>>,
    id: u32,
}

/// Kills a process, and remembers the reason.
#[derive(Debug, Default)]
struct Killer {
    wanted: Notify,
    reason: Mutex<Option<Failure>>,
}

impl Killer {
    fn kill(&self, reason: Failure) {
        locked(&self.reason).get_or_insert(reason);
        self.wanted.notify_one();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.killer.kill(Failure::Stopped);
    }
}

/// A connection to a process. The process counts it until it is dropped.
#[derive(Debug)]
pub struct Connection {
    process: Arc<Process>,
}

impl Connection {
    /// Opens the connection.
    pub async fn open(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.process.socket).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        *locked(&self.process.last_used) = Instant::now();
        self.process.connections.send_modify(|count| *count -= 1);
    }
}

impl Process {
    /// Starts a process in the run folder. Returns the process when it is ready to serve, or why it does not start.
    pub async fn start(
        workerd: &Workerd,
        folder: &RunFolder,
        config: &Config,
        log: LogSink,
    ) -> Result<Result<Arc<Self>, Failure>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("p{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let file = format!("{name}.capnp");
        let path = folder.path().join(&file);
        write_private(&path, workerd.config(&name, config))?;
        // The configuration contains secrets, so the file is deleted after the start.
        let config_file = Files(vec![path]);
        let started = Instant::now();
        let mut child = workerd
            .command(folder.path(), &name, &file, config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in the terminal is for this program, which then lets requests end.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a process: are setpriv and prlimit (util-linux) installed?")?;
        let id = child.id().context("the process ended at once")?;
        let output = child.stdout.take().context("stdout is piped")?;
        let stderr = Arc::new(Mutex::new(String::new()));
        let errors = tokio::spawn(read_errors(child.stderr.take().context("stderr is piped")?, stderr.clone()));
        let (ready, readiness) = watch::channel(false);
        tokio::spawn(read_output(output, ready, log));
        let serves =
            timeout(START_TIMEOUT, async move { readiness.clone().wait_for(|ready| *ready).await.is_ok() }).await;
        let startup = started.elapsed();
        drop(config_file);
        let sockets = Files(["", ".ping", ".http"].map(|kind| folder.path().join(format!("{name}{kind}"))).to_vec());
        if serves != Ok(true) {
            child.kill().await.context("cannot end a process")?;
            errors.await.context("nothing panics")?;
            let stderr = locked(&stderr).clone();
            return Ok(Err(match serves {
                Ok(_) if is_out_of_memory(&stderr) => Failure::Memory,
                Ok(_) => Failure::Start(explained(&without_warnings(&stderr))),
                Err(_) => {
                    Failure::Start(format!("the script did not start within {} seconds", START_TIMEOUT.as_secs()))
                }
            }));
        }
        let killer = Arc::new(Killer::default());
        let (end, ended) = watch::channel(None);
        tokio::spawn(wait(child, errors, killer.clone(), sockets, stderr.clone(), end));
        let socket = match config {
            Config::Worker(_) => folder.socket(&name),
            Config::Storage(_) | Config::Dispatcher(_) | Config::Database { .. } => {
                folder.socket(&format!("{name}.http"))
            }
        };
        let ping = folder.socket(&format!("{name}.ping"));
        let has_objects = matches!(config, Config::Worker(worker) if !worker.durable_objects.is_empty());
        let last_used = Mutex::new(Instant::now());
        Ok(Ok(Arc::new(Self {
            socket,
            ping,
            last_used,
            startup,
            connections: watch::Sender::new(0),
            ended,
            killer,
            has_objects,
            stderr,
            id,
        })))
    }

    /// Starts a Worker with its Durable Objects in memory, and ends it. Returns how long the start took, or why it does
    /// not start.
    pub async fn check(workerd: &Workerd, folder: &RunFolder, worker: &Worker) -> Result<Result<Duration, Failure>> {
        let config = Config::Worker(Worker { objects: None, ..worker.clone() });
        let logged = Arc::new(Mutex::new(String::new()));
        let log: LogSink = {
            let logged = logged.clone();
            Arc::new(move |_, message| {
                let mut logged = locked(&logged);
                if logged.len() + message.len() < MAX_LINE {
                    logged.extend([message, "\n"]);
                }
            })
        };
        let process = match Self::start(workerd, folder, &config, log).await? {
            Ok(process) => process,
            Err(failure) => return Ok(Err(failure)),
        };
        process.kill(Failure::Stopped);
        process.ended().await;
        // workerd only warns about a missing class, on standard output or standard error.
        let output = format!("{}{}", locked(&process.stderr), locked(&logged));
        Ok(match missing_class(&output, worker.durable_objects.keys()) {
            Some(class) => Err(Failure::NoClass(class.to_owned())),
            None => Ok(process.startup),
        })
    }

    /// Returns how long the start took.
    pub fn startup(&self) -> Duration {
        self.startup
    }

    /// Whether the process is still running.
    pub fn is_running(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// Waits until the process has ended. Returns why.
    pub async fn ended(&self) -> Failure {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await;
        end.ok().and_then(|end| end.clone()).unwrap_or(Failure::Crash("the process has ended".to_owned()))
    }

    /// Returns a new connection, which counts from now on.
    pub fn connection(self: &Arc<Self>) -> Connection {
        self.connections.send_modify(|count| *count += 1);
        Connection { process: self.clone() }
    }

    /// Whether the process has connections.
    pub fn has_connections(&self) -> bool {
        *self.connections.borrow() > 0
    }

    /// Whether the process has Durable Objects. Such a process keeps running without connections, because the objects
    /// may have alarms. No other process may use their files at the same time.
    pub fn has_objects(&self) -> bool {
        self.has_objects
    }

    /// Whether the process has had no connections for this time.
    pub fn is_idle(&self, time: Duration) -> bool {
        !self.has_connections() && locked(&self.last_used).elapsed() >= time
    }

    /// Waits until the process has no connections.
    pub async fn without_connections(&self) {
        // This cannot fail, because `self` owns the sender.
        let _ = self.connections.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Kills the process.
    pub fn kill(&self, reason: Failure) {
        self.killer.kill(reason);
    }

    /// Waits until the process has been busy without a sign of life for longer than the limit. `limit` is called each
    /// time, because the limit may change.
    pub async fn hangs(&self, limit: impl Fn() -> HangLimit) {
        let mut at_last_sign = self.cpu_time();
        let mut last_sign = Instant::now();
        let mut before = at_last_sign;
        loop {
            sleep(PING_EVERY).await;
            let now = self.cpu_time();
            let has_work = self.has_connections() || now.saturating_sub(before) > BUSY;
            before = now;
            if !has_work || answers(&self.ping, PING_TIMEOUT).await {
                at_last_sign = self.cpu_time();
                last_sign = Instant::now();
                continue;
            }
            let (used, limit) = (self.cpu_time().saturating_sub(at_last_sign), limit());
            let is_late = limit.time.is_some_and(|time| last_sign.elapsed() >= time && used >= BUSY);
            if used >= limit.cpu || is_late {
                return;
            }
        }
    }

    /// Returns the CPU time that the process has used; see `proc_pid_stat(5)`.
    fn cpu_time(&self) -> Duration {
        let ticks = |stat: String| {
            let (_, after_name) = stat.rsplit_once(')')?;
            let mut fields = after_name.split_whitespace().skip(11);
            let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
        };
        fs::read_to_string(format!("/proc/{}/stat", self.id)).ok().and_then(ticks).unwrap_or_default()
    }
}

/// `sysconf(_SC_CLK_TCK)` on Linux.
const TICKS_PER_SECOND: u64 = 100;

/// Files that are deleted when this is dropped.
#[derive(Debug)]
struct Files(Vec<PathBuf>);

impl Drop for Files {
    fn drop(&mut self) {
        for file in &self.0 {
            match fs::remove_file(file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    eprintln!("cannot remove {}: {error}", file.display());
                }
                _ => {}
            }
        }
    }
}

/// Waits until the process ends, and kills it on request. Then records why it has ended.
async fn wait(
    mut child: Child,
    errors: tokio::task::JoinHandle<()>,
    killer: Arc<Killer>,
    sockets: Files,
    stderr: Arc<Mutex<String>>,
    end: watch::Sender<Option<Failure>>,
) {
    let status = tokio::select! {
        status = child.wait() => status,
        () = killer.wanted.notified() => match child.start_kill() {
            Ok(()) => child.wait().await,
            Err(error) => Err(error),
        },
    };
    drop(sockets);
    // This fails only if the task panics.
    let _ = errors.await;
    let reason = locked(&killer.reason).clone();
    end.send_replace(Some(reason.unwrap_or_else(|| failure(status, &locked(&stderr)))));
}

/// Returns why a process ended by itself.
fn failure(status: io::Result<ExitStatus>, stderr: &str) -> Failure {
    if is_out_of_memory(stderr) {
        return Failure::Memory;
    }
    let status = match status {
        Ok(status) => status,
        Err(error) => return Failure::Crash(format!("the process cannot be waited for: {error}")),
    };
    match without_warnings(stderr).lines().last() {
        Some(line) => Failure::Crash(format!("the process ended ({status}): {line}")),
        None => Failure::Crash(format!("the process ended ({status})")),
    }
}

/// Reads the next line, without what is beyond [`MAX_LINE`] bytes; `None` at the end.
async fn next_line(output: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut line = Vec::new();
    loop {
        // A pipe that cannot be read is at its end.
        let piece = output.fill_buf().await.ok()?;
        if piece.is_empty() {
            return (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned());
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let content = &piece[..end.unwrap_or(piece.len())];
        line.extend_from_slice(&content[..content.len().min(MAX_LINE.saturating_sub(line.len()))]);
        let read = end.map_or(piece.len(), |end| end + 1);
        output.consume(read);
        if end.is_some() {
            return Some(String::from_utf8_lossy(&line).into_owned());
        }
    }
}

async fn read_output(output: ChildStdout, ready: watch::Sender<bool>, log: LogSink) {
    let mut output = BufReader::new(output);
    while let Some(line) = next_line(&mut output).await {
        match Printed::read(&line) {
            Printed::Ready => drop(ready.send_replace(true)),
            Printed::Log { level, message } => log(&level, &message),
            Printed::Other => {}
        }
    }
}

/// Reads standard error to its end, and keeps the first part.
async fn read_errors(errors: ChildStderr, stderr: Arc<Mutex<String>>) {
    let mut errors = BufReader::new(errors);
    while let Some(line) = next_line(&mut errors).await {
        let line = match Printed::read(&line) {
            Printed::Log { message, .. } => message,
            _ => line,
        };
        let mut stderr = locked(&stderr);
        if stderr.len() + line.len() < MAX_ERRORS {
            stderr.push_str(&line);
            stderr.push('\n');
        }
    }
}
