//! The local platform: dispatcher, dispatch namespace and customers in one `wrangler dev`, with simulated KV, R2 and D1
//! on disk, and a listener in front that lets nothing in but HTTP for the dispatcher.
//!
//! ```text
//! client -> front (--port) -> wrangler dev (a loopback port) -> dispatcher -> DISPATCHER.get(...) -> customer-user1
//!                                                                                                 -> customer-user2
//! ```

mod config;
mod front;
mod log;
mod runtime;

use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use shared::UserId;
use tokio::sync::watch;

use config::Command;
use front::Front;
use log::Log;
use runtime::Runtime;

/// How long the first request may take to succeed.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// How often the runtime is started again within [`RESTART_WINDOW`].
const MAX_RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_mins(1);

/// What to run, and where.
#[derive(Debug)]
pub struct Options {
    /// The repository's root, whose Workers are built and whose npm packages are installed.
    pub repository: PathBuf,
    /// Where the platform keeps its storage between runs. One platform uses it at a time.
    pub state: PathBuf,
    /// The dispatcher's port on 127.0.0.1; 0 for any that is free.
    pub port: u16,
    /// How the dispatcher knows who is asking.
    pub auth: Auth,
    /// Variables of the dispatcher, besides those of its wrangler file.
    pub vars: Vec<Var>,
    /// The customers.
    pub customers: Vec<Customer>,
    /// Wrangler files of Workers to run beside them, that no request from outside reaches by itself.
    pub others: Vec<PathBuf>,
    /// Where what wrangler and the Workers print goes; standard output if `None`.
    pub log: Option<PathBuf>,
    /// Pass on what wrangler prints while it starts, too.
    pub verbose: bool,
}

/// How the dispatcher knows who is asking, its variable `AUTH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Auth {
    /// It believes `X-User-ID`.
    TrustedHeader,
    /// By a token; the secrets are made at the first start and kept in the state folder, see [`crate::token`].
    Token,
}

/// A variable of the dispatcher.
#[derive(Clone, Debug)]
pub struct Var {
    name: String,
    value: String,
}

impl std::str::FromStr for Var {
    type Err = &'static str;

    /// Parses `NAME:VALUE`, as `wrangler dev --var` takes it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((name, value)) if !name.is_empty() => Ok(Self { name: name.to_owned(), value: value.to_owned() }),
            _ => Err("a variable is NAME:VALUE"),
        }
    }
}

/// A customer of the local platform.
#[derive(Debug, Clone)]
pub struct Customer {
    /// Its id, the name of its script in the dispatch namespace.
    pub id: UserId,
    /// A Worker of its own in place of the customer Worker: a JavaScript module, which gets the same storage, or a wrangler
    /// file (`.toml`), which says all itself but for the name.
    pub worker: Option<PathBuf>,
}

impl std::str::FromStr for Customer {
    type Err = shared::InvalidUserId;

    /// Parses `user1`, `user1=path/to/worker.js` or `user1=path/to/wrangler.toml`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, worker) = text.split_once('=').map_or((text, None), |(id, worker)| (id, Some(PathBuf::from(worker))));
        Ok(Self { id: id.parse()?, worker })
    }
}

/// A running local platform. Dropped without [`LocalPlatform::stop`], it kills its processes.
#[derive(Debug)]
pub struct LocalPlatform {
    front: Front,
    /// Where the front finds the runtime; nowhere while that restarts.
    address: watch::Sender<Option<SocketAddr>>,
    runtime: Runtime,
    command: Command,
    log: Log,
    /// Held as long as the platform runs.
    _lock: File,
}

impl LocalPlatform {
    /// Starts the platform, and returns once the dispatcher answers.
    pub async fn start(options: &Options) -> Result<Self> {
        let state = prepare_state(&options.state)?;
        let lock = lock(&state)?;
        let command = config::write(options, &state)?;
        let log = options.log.as_deref().map_or_else(|| Ok(Log::stdout()), Log::file)?;
        // First of all the port, so that a port in use is told before anything is started.
        let (front, address) = Front::start(options.port).await?;
        let runtime = Runtime::start(&command, &log, options.verbose).await?;
        address.send_replace(Some(runtime.address()));
        let platform = Self { front, address, runtime, command, log, _lock: lock };
        platform.wait_until_ready().await?;
        Ok(platform)
    }

    /// Where the dispatcher answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// Starts the runtime again whenever it fails; requests wait meanwhile. Returns when that is of no use.
    pub async fn keep_running(&mut self) -> anyhow::Error {
        let mut restarts: Vec<Instant> = Vec::new();
        loop {
            let failure = self.runtime.failed().await;
            restarts.retain(|restart| restart.elapsed() < RESTART_WINDOW);
            if restarts.len() == MAX_RESTARTS {
                return anyhow!("{failure}, for the {MAX_RESTARTS}th time within a minute");
            }
            restarts.push(Instant::now());
            eprintln!("{failure}; starting it again ...");
            if let Err(error) = self.restart().await {
                return error.context(failure);
            }
            eprintln!("The local runtime runs again.");
        }
    }

    async fn restart(&mut self) -> Result<()> {
        self.address.send_replace(None);
        self.runtime.stop().await?;
        self.runtime = Runtime::start(&self.command, &self.log, false).await?;
        self.address.send_replace(Some(self.runtime.address()));
        Ok(())
    }

    /// Ends the requests under way, then the runtime, and returns when no process of the platform is left.
    pub async fn stop(mut self) -> Result<()> {
        self.front.stop().await;
        self.runtime.stop().await
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            match front::get_status(self.address(), "/healthz").await {
                Ok(200) => return Ok(()),
                other if started.elapsed() > READY_TIMEOUT => {
                    bail!("the dispatcher does not answer: GET /healthz gave {other:?}")
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// The command that runs the platform's Workers, as one would type it.
pub fn print_command(options: &Options) -> Result<String> {
    let state = prepare_state(&options.state)?;
    // The files that it names are written, which must not be those of a platform that runs.
    let _lock = lock(&state)?;
    Ok(config::write(options, &state)?.to_string())
}

fn prepare_state(state: &Path) -> Result<PathBuf> {
    fs::create_dir_all(state)
        .and_then(|()| state.canonicalize())
        .with_context(|| format!("cannot use {} as the state folder", state.display()))
}

/// Two platforms on the same storage would damage it.
fn lock(state: &Path) -> Result<File> {
    let path = state.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot write to the state folder {}", state.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("another local platform uses {}; stop it, or choose another folder with --state", state.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}
