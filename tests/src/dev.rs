//! `cargo xtask dev`, run as a user runs it, for tests that start and stop a platform themselves.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Api;
use crate::processes::{expect_gone, pids, processes};

/// How long a start or a stop may take before the test gives up.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running `cargo xtask dev`.
#[derive(Debug)]
pub struct Dev {
    process: Child,
    /// Where the dispatcher answers.
    pub url: String,
    /// The state folder.
    state: PathBuf,
    /// Its standard error.
    errors: JoinHandle<String>,
}

impl Dev {
    /// Starts it with a state folder and other arguments, and waits until it is ready.
    pub async fn start(state: &Path, arguments: &[&str]) -> Self {
        Self::of(command(state, arguments), state).await
    }

    /// The same with a disk of its own for the state folder, in memory; see [`Disk`].
    pub async fn start_on(disk: &Disk) -> Self {
        Self::of(disk.command(), disk.state.path()).await
    }

    async fn of(mut command: Command, state: &Path) -> Self {
        let mut process = command.kill_on_drop(true).spawn().expect("xtask starts");
        let mut output = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let errors = drain(BufReader::new(process.stderr.take().expect("a pipe")).lines());
        let ready = async {
            loop {
                let line = output.next_line().await.expect("text").expect("it does not end before it is ready");
                if let Some(url) = line.strip_prefix("Ready on ") {
                    return url.to_owned();
                }
            }
        };
        let url = timeout(PATIENCE, ready).await.expect("it gets ready");
        drain(output);
        Self { process, url, state: state.to_owned(), errors }
    }

    /// The local Cloudflare API.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::of(&self.state)
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().expect("it runs").cast_signed())
    }

    /// Kills it, which it cannot see coming, and waits for the end of all that it has started.
    pub async fn stop_hard(&mut self) {
        let all = pids(&processes(&self.state));
        kill(self.pid(), Signal::SIGKILL).expect("it runs");
        timeout(PATIENCE, self.process.wait()).await.expect("it stops").expect("it ends");
        expect_gone(&all).await;
    }

    /// Waits for it to end by itself, without success, and answers what it said.
    pub async fn failed(mut self) -> String {
        let status = self.process.wait().await.expect("it ends");
        let said = self.errors.await.expect("text");
        assert!(!status.success(), "{said}");
        said
    }

    /// Tells it to stop, and answers what it has said on standard error.
    pub async fn said(mut self) -> String {
        kill(self.pid(), Signal::SIGTERM).expect("it runs");
        let status = timeout(PATIENCE, self.process.wait()).await.expect("it stops").expect("it ends");
        let said = self.errors.await.expect("text");
        assert!(status.success(), "{said}");
        said
    }

    /// Sends a signal and waits for the end.
    pub async fn stop(mut self, signal: Signal) -> ExitStatus {
        kill(self.pid(), signal).expect("it runs");
        timeout(PATIENCE, self.process.wait()).await.expect("it stops").expect("it ends")
    }
}

/// Reads what it prints for as long as it prints, and answers all of it: a full pipe would halt it.
fn drain(mut output: Lines<BufReader<impl AsyncRead + Send + Unpin + 'static>>) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut text = String::new();
        while let Ok(Some(line)) = output.next_line().await {
            text += &line;
            text.push('\n');
        }
        text
    })
}

/// Runs it to its end, which it must reach by itself without success, and answers what it said.
pub async fn run_to_failure(state: &Path, arguments: &[&str]) -> String {
    fail(command(state, arguments)).await
}

/// The same with a disk of its own for the state folder.
pub async fn run_to_failure_on(disk: &Disk) -> String {
    fail(disk.command()).await
}

/// A disk in memory, mounted for one platform alone: smaller than what goes on it, or not to be written to.
#[derive(Debug)]
pub struct Disk {
    /// The folder that it is mounted at, which is empty for everybody else.
    pub state: TempDir,
    options: &'static str,
}

impl Disk {
    /// A disk with such options of `mount`; nothing where this machine does not let us mount one.
    #[must_use]
    pub fn new(options: &'static str) -> Option<Self> {
        let may_mount = std::process::Command::new("unshare").args(["--map-root-user", "--mount", "true"]).status();
        if !may_mount.is_ok_and(|status| status.success()) {
            eprintln!("this machine does not let us mount a disk: how the platform takes {options:?} is not tested");
            return None;
        }
        Some(Self { state: TempDir::new().expect("a folder"), options })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        let script = "mount -t tmpfs -o \"$0\" none \"$1\" && shift && exec \"$@\"";
        command.args(["--map-root-user", "--mount", "sh", "-c", script, self.options]).arg(self.state.path());
        let run = self::command(self.state.path(), &["--customer", "a"]);
        command.arg(run.as_std().get_program()).args(run.as_std().get_args());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

async fn fail(mut command: Command) -> String {
    let mut process = command.kill_on_drop(true).spawn().expect("xtask starts");
    let mut errors = String::new();
    let read = process.stderr.take().expect("a pipe").read_to_string(&mut errors).await;
    read.expect("text");
    let status = timeout(PATIENCE, process.wait()).await.expect("it ends").expect("it ends");
    assert!(!status.success(), "{errors}");
    errors
}

fn command(state: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
    let xtask = env::var_os("XTASK").expect("XTASK is not set: run the tests with `cargo xtask test`");
    let mut command = Command::new(xtask);
    command.args(["dev", "--port", "0", "--api-port", "0", "--state"]).arg(state).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
