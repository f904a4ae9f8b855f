//! The `wrangler dev` process, and all that it starts.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStdin};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::config::Command;
use super::door;
use super::log::Log;

/// How long wrangler may take to start.
pub const START_TIMEOUT: Duration = Duration::from_mins(2);

/// How long it has to get ready after it has printed an error.
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// How long it has to end by itself before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What wrangler prints before its address.
const READY: &str = "eady on http://";

/// What wrangler prints when a runtime has crashed. It starts it again, but not always so that requests reach it.
const CRASHED: &str = "The Workers runtime crashed";

/// Ends wrangler, and with it workerd, when its standard input closes: should this process be killed, the kernel closes
/// the pipe, and nothing is left running. Preloaded into Node.
const END_WITH_PARENT: &str = "data:text/javascript,\
    process.stdin.on('end',()=>process.kill(process.pid,'SIGTERM')).resume();process.stdin.unref()";

/// A running `wrangler dev`, in a process group of its own.
#[derive(Debug)]
pub struct Runtime {
    process: Child,
    group: Group,
    address: SocketAddr,
    crash: Arc<Notify>,
    /// Never written to; see [`END_WITH_PARENT`].
    _stdin: ChildStdin,
}

impl Runtime {
    /// Starts wrangler and waits until it listens. What it prints from then on, the Workers' logs among it, is passed on.
    pub async fn start(command: &Command, log: &Log, verbose: bool) -> Result<Self> {
        let mut process = tokio::process::Command::new(&command.node)
            .args(["--import", END_WITH_PARENT])
            .arg(&command.wrangler)
            .args(&command.arguments)
            .envs(command.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in the terminal is for this process, which then stops the group in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.node.display()))?;
        let group = Group::of(&process)?;
        let stdin = process.stdin.take().context("stdin is piped")?;
        let mut output = BufReader::new(process.stdout.take().context("stdout is piped")?).lines();
        let mut errors = BufReader::new(process.stderr.take().context("stderr is piped")?).lines();

        let (mut seen, mut complaints) = (Vec::new(), Vec::new());
        let started = timeout(START_TIMEOUT, async {
            tokio::select! {
                address = wait_until_listening(&mut output, &mut seen, verbose.then_some(log)) => address,
                () = wait_for_error(&mut errors, &mut complaints) => None,
            }
        });
        match started.await {
            Ok(Some(address)) => {
                let crash = Arc::new(Notify::new());
                let crashed = crash.clone();
                tokio::spawn(log.clone().lines(output, move |line| {
                    if line.contains(CRASHED) {
                        crashed.notify_one();
                    }
                    // The address is for the front alone: nobody else may go past it.
                    listening(line).is_none() && !line.contains(&format!("POST {} ", door::PATH))
                }));
                tokio::spawn(log.clone().lines(errors, |_| true));
                Ok(Self { process, group, address, crash, _stdin: stdin })
            }
            ended => {
                group.kill()?;
                let reason = if ended.is_err() { "did not get ready in two minutes" } else { "could not start" };
                complaints.extend(all_lines(errors).await);
                // Not what it prints of bindings: secrets are among them.
                let said = seen.into_iter().filter(|line| !line.trim_start().starts_with("env."));
                let said: Vec<String> = said.chain(complaints).collect();
                bail!("wrangler dev {reason}; it printed:\n{}", said.join("\n"))
            }
        }
    }

    /// Where wrangler listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for what should not happen, and says what it was: wrangler has ended by itself, or a runtime has crashed.
    pub async fn failed(&mut self) -> String {
        tokio::select! {
            status = self.process.wait() => {
                status.map_or_else(|error| error.to_string(), |status| format!("wrangler dev has ended ({status})"))
            }
            () = self.crash.notified() => "the local runtime has crashed".to_owned(),
        }
    }

    /// Stops wrangler, and returns when none of its processes is left.
    pub async fn stop(&mut self) -> Result<()> {
        let deadline = Instant::now() + STOP_TIMEOUT;
        // wrangler alone first: it stops its runtimes in order, and waits for them.
        ignore_gone(kill(self.group.0, Signal::SIGTERM))?;
        if timeout_at(deadline, self.process.wait()).await.is_err() || self.group.lives() {
            self.group.kill()?;
            self.process.wait().await.context("cannot wait for wrangler")?;
        }
        while self.group.lives() {
            if Instant::now() > deadline + STOP_TIMEOUT {
                bail!("processes of wrangler's group {} are still there", self.group.0);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// wrangler's process group, of which it is the leader. Dropped, it is killed: a start that is given up leaves nothing.
#[derive(Debug)]
struct Group(Pid);

impl Group {
    fn of(leader: &Child) -> Result<Self> {
        let id = leader.id().context("wrangler ended at once")?;
        Ok(Self(Pid::from_raw(i32::try_from(id).context("a process id is an i32")?)))
    }

    /// Whether one of its processes runs. One that has ended stays in its group until somebody takes note, which whoever adopts
    /// orphans may do seconds later.
    fn lives(&self) -> bool {
        killpg(self.0, None) != Err(Errno::ESRCH) && self.runs().unwrap_or(true)
    }

    /// The same by Linux's own account of all processes; an error on other systems. See `proc_pid_stat(5)`.
    fn runs(&self) -> io::Result<bool> {
        let group = self.0.to_string();
        let runs = |stat: &str| {
            let (_, after_name) = stat.rsplit_once(')')?;
            let mut fields = after_name.split_whitespace();
            let (state, of_group) = (fields.next()?, fields.nth(1)?);
            Some(of_group == group && !matches!(state, "Z" | "X"))
        };
        let processes =
            fs::read_dir("/proc")?.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
        Ok(processes.into_iter().any(|stat| runs(&stat).unwrap_or(false)))
    }

    fn kill(&self) -> Result<()> {
        ignore_gone(killpg(self.0, Signal::SIGKILL))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{error:#}");
        }
    }
}

fn ignore_gone(result: nix::Result<()>) -> Result<()> {
    match result {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).context("cannot stop wrangler"),
    }
}

/// The address in a line that says it.
fn listening(line: &str) -> Option<SocketAddr> {
    line.split_once(READY)?.1.trim().parse().ok()
}

/// Reads what wrangler prints until it says where it listens; `None` if it ends before.
async fn wait_until_listening(
    output: &mut Lines<BufReader<impl AsyncRead + Unpin>>,
    seen: &mut Vec<String>,
    log: Option<&Log>,
) -> Option<SocketAddr> {
    while let Ok(Some(line)) = output.next_line().await {
        if let Some(address) = listening(&line) {
            return Some(address);
        }
        if let Some(log) = log {
            log.line(&line);
        }
        seen.push(line);
    }
    None
}

/// Reads what wrangler complains of until there is an error, and a little longer: it then neither ends nor gets ready.
async fn wait_for_error(errors: &mut Lines<BufReader<impl AsyncRead + Unpin>>, complaints: &mut Vec<String>) {
    let mut deadline = None;
    loop {
        let line = match deadline {
            None => errors.next_line().await,
            Some(deadline) => match timeout_at(deadline, errors.next_line()).await {
                Ok(line) => line,
                Err(_) => return,
            },
        };
        // Whether it has ended is seen on its standard output.
        let Ok(Some(line)) = line else { return std::future::pending().await };
        if line.contains("ERROR") {
            deadline.get_or_insert(Instant::now() + AFTER_ERROR);
        }
        complaints.push(line);
    }
}

async fn all_lines(mut lines: Lines<BufReader<impl AsyncRead + Unpin>>) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        all.push(line);
    }
    all
}
