//! Local platforms that a test starts and stops itself, with `cargo xtask dev`.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::LocalApi;
use crate::processes::{expect_gone, pids, processes};

/// How long a start or a stop may take.
const TIMEOUT: Duration = Duration::from_mins(5);

/// A running `cargo xtask dev`.
#[derive(Debug)]
pub struct Dev {
    process: Child,
    /// The dispatcher's URL.
    pub url: String,
    state: PathBuf,
    /// Its standard error, complete when it has ended.
    stderr: JoinHandle<String>,
}

impl Dev {
    /// Starts a platform with a state folder and other arguments, and waits until it is ready.
    pub async fn start(state: &Path, arguments: &[&str]) -> Self {
        Self::spawn(command(state, arguments), state).await
    }

    /// Starts a platform of another checkout of the repository, whose Workers are built already.
    pub async fn start_in(repository: &Path, state: &Path, arguments: &[&str]) -> Self {
        let mut command = command(state, arguments);
        command.env("CARGO_MANIFEST_DIR", repository.join("xtask"));
        Self::spawn(command, state).await
    }

    /// Starts a platform of another checkout that builds the Workers again when their sources change.
    pub async fn start_developing(repository: &Path, state: &Path) -> Self {
        let mut command = platform_command(state);
        command.env("CARGO_MANIFEST_DIR", repository.join("xtask"));
        Self::spawn(command, state).await
    }

    /// Starts a platform in a process group of its own, as a shell does.
    pub async fn start_in_process_group(state: &Path, arguments: &[&str]) -> Self {
        let mut command = command(state, arguments);
        command.process_group(0);
        Self::spawn(command, state).await
    }

    /// Starts a platform each of whose processes can open this number of files.
    pub async fn start_with_few_descriptors(number: u32, state: &Path, arguments: &[&str]) -> Self {
        let dev = command(state, arguments);
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={number}:{number}"));
        command.arg(dev.as_std().get_program()).args(dev.as_std().get_args());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(command, state).await
    }

    /// Starts a platform whose state folder is on a disk of its own.
    pub async fn start_on(disk: &Disk) -> Self {
        Self::spawn(disk.command(), disk.state.path()).await
    }

    /// Starts a platform, and returns its output as well, which nobody reads otherwise.
    pub async fn start_unread(state: &Path, arguments: &[&str]) -> (Self, Lines<BufReader<ChildStdout>>) {
        Self::spawn_unread(command(state, arguments), state).await
    }

    async fn spawn(command: Command, state: &Path) -> Self {
        let (dev, output) = Self::spawn_unread(command, state).await;
        drain(output);
        dev
    }

    async fn spawn_unread(mut command: Command, state: &Path) -> (Self, Lines<BufReader<ChildStdout>>) {
        let mut process = command.kill_on_drop(true).spawn().expect("xtask starts");
        let mut output = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let stderr = drain(BufReader::new(process.stderr.take().expect("a pipe")).lines());
        let ready = async {
            loop {
                let line = output.next_line().await.expect("text").expect("it prints `Ready on` before it ends");
                if let Some(url) = line.strip_prefix("Ready on ") {
                    return url.to_owned();
                }
            }
        };
        let url = timeout(TIMEOUT, ready).await.expect("it is ready in time");
        (Self { process, url, state: state.to_owned(), stderr }, output)
    }

    /// Returns a client of its local Cloudflare API.
    #[must_use]
    pub fn api(&self) -> LocalApi {
        LocalApi::from_state_folder(&self.state)
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().expect("the platform runs").cast_signed())
    }

    /// Kills it with SIGKILL, and waits until the processes that it started have ended.
    pub async fn kill(&mut self) {
        let all = pids(&processes(&self.state));
        kill(self.pid(), Signal::SIGKILL).expect("the platform runs");
        timeout(TIMEOUT, self.process.wait()).await.expect("it ends in time").expect("it can be waited for");
        expect_gone(&all).await;
    }

    /// Waits until it ends by itself, expects it to fail, and returns its standard error.
    pub async fn wait_for_failure(mut self) -> String {
        let status = self.process.wait().await.expect("it can be waited for");
        let stderr = self.stderr.await.expect("text");
        assert!(!status.success(), "{stderr}");
        stderr
    }

    /// Stops it, expects it to succeed, and returns its standard error.
    pub async fn stop_and_get_stderr(mut self) -> String {
        kill(self.pid(), Signal::SIGTERM).expect("the platform runs");
        let status =
            timeout(TIMEOUT, self.process.wait()).await.expect("it ends in time").expect("it can be waited for");
        let stderr = self.stderr.await.expect("text");
        assert!(status.success(), "{stderr}");
        stderr
    }

    /// Sends a signal and waits until it ends.
    pub async fn stop(self, signal: Signal) -> ExitStatus {
        kill(self.pid(), signal).expect("the platform runs");
        self.wait().await
    }

    /// Sends a signal to all processes of its process group, as a terminal does, and waits until it ends. It must have
    /// a process group of its own.
    pub async fn stop_process_group(self, signal: Signal) -> ExitStatus {
        killpg(self.pid(), signal).expect("the platform runs");
        self.wait().await
    }

    async fn wait(mut self) -> ExitStatus {
        timeout(TIMEOUT, self.process.wait()).await.expect("it ends in time").expect("it can be waited for")
    }
}

/// Reads an output to its end in the background, because a full pipe would block the platform.
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

/// Runs `cargo xtask dev`, expects it to fail, and returns its standard error.
pub async fn run_to_failure(state: &Path, arguments: &[&str]) -> String {
    expect_failure(command(state, arguments)).await
}

/// Like [`run_to_failure`], with a state folder on a disk of its own.
pub async fn run_to_failure_on(disk: &Disk) -> String {
    expect_failure(disk.command()).await
}

/// A disk in memory for one platform's state folder, for example a small or a read-only one. Only the platform's
/// processes see it.
#[derive(Debug)]
pub struct Disk {
    /// The mount point. It is empty for other processes.
    pub state: TempDir,
    options: &'static str,
}

impl Disk {
    /// Creates a disk with options of `mount`. Returns `None` if this machine does not allow mounts.
    #[must_use]
    pub fn new(options: &'static str) -> Option<Self> {
        let may_mount = std::process::Command::new("unshare").args(["--map-root-user", "--mount", "true"]).status();
        if !may_mount.is_ok_and(|status| status.success()) {
            eprintln!("this machine does not allow mounts: a disk with {options:?} is not tested");
            return None;
        }
        Some(Self { state: TempDir::new().expect("a folder"), options })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        let script = "mount -t tmpfs -o \"$0\" none \"$1\" && shift && exec \"$@\"";
        command.args(["--map-root-user", "--mount", "sh", "-c", script, self.options]).arg(self.state.path());
        let dev = self::command(self.state.path(), &["--customer", "a"]);
        command.arg(dev.as_std().get_program()).args(dev.as_std().get_args());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

async fn expect_failure(mut command: Command) -> String {
    let mut process = command.kill_on_drop(true).spawn().expect("xtask starts");
    let mut stderr = String::new();
    let read = process.stderr.take().expect("a pipe").read_to_string(&mut stderr).await;
    read.expect("text");
    let status = timeout(TIMEOUT, process.wait()).await.expect("it ends in time").expect("it can be waited for");
    assert!(!status.success(), "{stderr}");
    stderr
}

/// Returns the command that starts a platform on free ports.
fn command(state: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = platform_command(state);
    command.args(arguments);
    // The tests run what is deployed.
    if !arguments.iter().any(|argument| argument.as_ref() == "--builds") {
        command.arg("--release");
    }
    command
}

fn platform_command(state: &Path) -> Command {
    let xtask = env::var_os("XTASK").expect("XTASK is not set: run the tests with `cargo xtask test`");
    let mut command = Command::new(xtask);
    command.args(["dev", "--port", "0", "--api-port", "0", "--state"]).arg(state);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
