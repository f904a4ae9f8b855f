//! `cargo xtask dev`, run as a user runs it, for tests that start and stop a platform themselves.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, Command};
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
}

impl Dev {
    /// Starts it with a state folder and other arguments, and waits until it is ready.
    pub async fn start(state: &Path, arguments: &[&str]) -> Self {
        let mut process = command(state, arguments).kill_on_drop(true).spawn().expect("xtask starts");
        let mut output = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        drain(BufReader::new(process.stderr.take().expect("a pipe")).lines());
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
        Self { process, url, state: state.to_owned() }
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

    /// Sends a signal and waits for the end.
    pub async fn stop(mut self, signal: Signal) -> ExitStatus {
        kill(self.pid(), signal).expect("it runs");
        timeout(PATIENCE, self.process.wait()).await.expect("it stops").expect("it ends")
    }
}

/// Reads what it prints for as long as it prints: a full pipe would halt it.
fn drain(mut output: Lines<BufReader<impl AsyncRead + Send + Unpin + 'static>>) {
    tokio::spawn(async move { while let Ok(Some(_)) = output.next_line().await {} });
}

/// Runs it to its end, which it must reach by itself without success, and answers what it said.
pub async fn run_to_failure(state: &Path, arguments: &[&str]) -> String {
    let mut process = command(state, arguments).kill_on_drop(true).spawn().expect("xtask starts");
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
