//! The local platform: dispatcher, dispatch namespace and customers in one `wrangler dev`, with simulated KV, R2 and D1
//! on disk, and a listener in front that lets nothing in but HTTP for the dispatcher.
//!
//! ```text
//! client -> front (--port) -> wrangler dev (a loopback port) -> dispatcher -> DISPATCHER.get(...) -> customer-user1
//!                                                                                                 -> customer-user2
//!
//! wrangler, the operator's tool -> api (--api-port) -> account.json; scripts are taken up by a restart of the runtime
//! ```
//!
//! `cargo xtask dev` runs it:
//!
//! ```no_run
//! use local_platform::{Auth, LocalPlatform, Options};
//!
//! # async fn example() -> anyhow::Result<()> {
//! let platform = LocalPlatform::start(Options {
//!     repository: ".".into(),
//!     builds: None,
//!     state: ".platform".into(),
//!     port: 8787,
//!     api_port: 8788,
//!     api_token: None,
//!     records: false,
//!     auth: Auth::TrustedHeader,
//!     vars: Vec::new(),
//!     customers: vec!["user1".parse()?],
//!     others: Vec::new(),
//!     log: None,
//!     verbose: false,
//! })
//! .await?;
//! println!("Ready on http://{}", platform.address());
//! platform.stop().await
//! # }
//! ```

mod account;
mod api;
mod binding_types;
mod check;
mod config;
mod door;
mod front;
mod gate;
mod listener;
mod log;
mod options;
mod removed;
mod runtime;
mod script;
mod store;

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::statvfs::statvfs;
use shared::customer::UserId;

use account::{Account, Code, Trial, new_id};
use api::Local;
use binding_types::unsupported_bindings;
use check::Checker;
use config::Contents;
use door::Door;
use gate::Gate;
use listener::{Listener, bind};
use log::Log;
use platform::code::RuntimeSettings;
use platform::token::write_private;
use runtime::Runtime;
use store::{Store, fresh_folder, replace};

pub use options::{Auth, Customer, Options, Var};

/// How long the first request may take to succeed.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// How often the runtime is started again within [`RESTART_WINDOW`].
const MAX_RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_mins(1);

/// How often the runtime is asked for a sign of life while requests are under way,
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(5);

/// and how long it has for one, on however slow a machine. It has one thread for all Workers, and no limit on what they compute:
/// one that does so without end stops all of them.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// A running local platform. Dropped without [`LocalPlatform::stop`], it kills its processes.
#[derive(Debug)]
pub struct LocalPlatform {
    options: Options,
    state: PathBuf,
    front: Listener,
    server: Listener,
    local: Arc<Local>,
    runtime: Runtime,
    /// Where customers' records are.
    records: Option<String>,
    log: Log,
    /// Held as long as the platform runs.
    lock: Lock,
}

impl LocalPlatform {
    /// Starts the platform, and returns once the dispatcher answers.
    pub async fn start(options: Options) -> Result<Self> {
        let state = prepare_state(&options.state)?;
        let lock = lock(&state)?;
        let (store, records) = open_account(&options, &state)?;
        let log = options.log.as_deref().map_or_else(|| Ok(Log::stdout()), Log::file)?;
        // First of all the ports, so that a port in use is told before anything is started.
        let gate = Gate::new();
        let door = Door::new()?;
        let front = front::start(options.port, gate.clone(), &door.shield).await?;
        let listener = bind(options.api_port, "--api-port").await?;
        let local = Arc::new(Local {
            store: Mutex::new(store),
            bound: Mutex::default(),
            gate,
            door,
            checker: Checker::new(&options.repository).await?,
            token: api_token(&options, &state)?,
            incoming: fresh_folder(&state.join("incoming"))?,
            dispatcher: config::dispatcher_bindings(&options.repository, &options, records.as_deref())?,
        });
        let runtime = run(&options, &state, &local, records.as_deref(), &log, options.verbose).await?;
        local.gate.open(runtime.address(), 0);
        wait_until_ready(front.address()).await?;
        local.write_records(&options, records.as_deref()).await?;
        // Not before: what is asked of it may want a restart, which begins with `keep_running`.
        let server = api::start(listener, local.clone())?;
        for (name, script) in local.store().account().scripts() {
            for sentence in unsupported_bindings(&script.bindings) {
                eprintln!("{name}: {sentence}");
            }
        }
        let platform = Self { options, state, front, server, local, runtime, records, log, lock };
        platform.write_environment()?;
        Ok(platform)
    }

    /// Where the dispatcher answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// Where the local Cloudflare API answers.
    #[must_use]
    pub fn api(&self) -> String {
        format!("http://{}/client/v4", self.server.address())
    }

    /// The file that points wrangler and the operator's tool at the local API.
    #[must_use]
    pub fn environment(&self) -> PathBuf {
        self.state.join("env")
    }

    /// The scripts that requests reach, by name.
    #[must_use]
    pub fn scripts(&self) -> BTreeSet<String> {
        let own = self.options.customers.iter().filter(|customer| customer.worker.is_some());
        let own = own.map(|customer| customer.id.to_string());
        self.local.store().account().scripts().map(|(name, _)| name.clone()).chain(own).collect()
    }

    /// Starts the runtime again whenever it fails, or there is something to take up; requests wait meanwhile. Returns when that
    /// is of no use.
    pub async fn keep_running(&mut self) -> anyhow::Error {
        let mut restarts: Vec<Instant> = Vec::new();
        loop {
            let failure = tokio::select! {
                failure = self.runtime.failed() => failure,
                () = self.lock.lost() => {
                    return anyhow!("the state folder {} is gone, and all that was stored in it", self.state.display());
                }
                () = self.local.hangs() => format!(
                    "the local runtime has given no sign of life for {} seconds, as when a Worker computes without end",
                    HANGS_AFTER.as_secs()
                ),
                () = self.local.gate.changed() => {
                    self.local.gate.shut().await;
                    match self.restart().await {
                        Ok(()) => continue,
                        Err(error) => return error,
                    }
                }
            };
            restarts.retain(|restart| restart.elapsed() < RESTART_WINDOW);
            if restarts.len() == MAX_RESTARTS {
                return anyhow!("{failure}, for the {MAX_RESTARTS}th time within a minute");
            }
            restarts.push(Instant::now());
            eprintln!("{failure}; starting it again ...");
            self.local.gate.shut_at_once();
            if let Err(error) = self.restart().await {
                return error.context(failure);
            }
            eprintln!("The local runtime runs again.");
        }
    }

    /// Starts the runtime with what the account has now. The gate is shut.
    async fn restart(&mut self) -> Result<()> {
        self.runtime.stop().await?;
        let known = self.local.gate.changes();
        let records = self.records.as_deref();
        self.runtime = run(&self.options, &self.state, &self.local, records, &self.log, false).await?;
        self.local.gate.open(self.runtime.address(), known);
        Ok(())
    }

    /// Ends the requests under way, then the runtime, and returns when no process of the platform is left.
    pub async fn stop(mut self) -> Result<()> {
        tokio::join!(self.front.stop(), self.server.stop());
        self.runtime.stop().await
    }

    fn write_environment(&self) -> Result<()> {
        let text = format!(
            "export CLOUDFLARE_API_BASE_URL={}\nexport CLOUDFLARE_API_TOKEN={}\n\
             export CLOUDFLARE_ACCOUNT_ID={}\nexport PLATFORM_URL=http://{}\n",
            self.api(),
            self.local.token,
            self.local.store().account().id,
            self.address(),
        );
        replace(&self.environment(), text.as_bytes())
    }
}

async fn wait_until_ready(dispatcher: SocketAddr) -> Result<()> {
    let started = Instant::now();
    loop {
        match front::get_status(dispatcher, "/healthz").await {
            Ok(200) => return Ok(()),
            other if started.elapsed() > READY_TIMEOUT => {
                bail!("the dispatcher does not answer: GET /healthz gave {other:?}")
            }
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

impl Local {
    /// Waits for a runtime that runs but does nothing any more.
    async fn hangs(&self) {
        loop {
            tokio::time::sleep(SIGN_OF_LIFE_EVERY).await;
            if let Some(runtime) = self.gate.awaited()
                && !self.door.answers(runtime, HANGS_AFTER).await
            {
                return;
            }
        }
    }

    /// The customers that the options say have a record, as those have that the operator's tool makes.
    async fn write_records(&self, options: &Options, records: Option<&str>) -> Result<()> {
        let Some(records) = records else { return Ok(()) };
        let customers = customers(options, self.store().account());
        for customer in customers {
            self.put_if_missing(records, customer.id.as_str(), "{}").await?;
        }
        Ok(())
    }
}

/// Starts the runtime with what the account has. A script that keeps it from starting is left out: those that have run before
/// do not, and the others are tried one after the other.
async fn run(
    options: &Options,
    state: &Path,
    local: &Local,
    records: Option<&str>,
    log: &Log,
    verbose: bool,
) -> Result<Runtime> {
    sweep(state, local)?;
    let account = local.store().account().clone();
    let with = |trial| {
        let scripts = account.scripts().filter(move |(_, script)| script.trial == trial);
        scripts.map(|(name, _)| name.clone()).collect::<BTreeSet<String>>()
    };
    let (new, mut without) = (with(Trial::New), with(Trial::Failed));
    let start = async |without: &BTreeSet<String>| {
        let contents = Contents { account: &account, without, records, door: &local.door };
        let command = config::write(options, state, &contents)?;
        // What wrangler prints of a full disk says anything but that.
        Runtime::start(&command, log, verbose).await.map_err(|error| disk_is_full(state).unwrap_or(error))
    };
    let mut suspects = new;
    let runtime = match start(&without).await {
        Ok(runtime) => runtime,
        Err(error) => {
            if suspects.is_empty() {
                // What ran before need not run for ever: another version of the runtime may take it amiss.
                suspects = account
                    .scripts()
                    .filter(|(_, script)| script.code != Code::Built)
                    .map(|(name, _)| name.clone())
                    .collect();
                suspects.retain(|name| !without.contains(name));
            }
            if suspects.is_empty() {
                return Err(error);
            }
            eprintln!("{error:#}\nThe runtime does not start with {}; trying without", list(&suspects));
            without.extend(suspects.iter().cloned());
            let mut runtime = start(&without).await?;
            // One by one, unless it is clear which it was.
            for name in suspects.iter().filter(|_| suspects.len() > 1) {
                runtime.stop().await?;
                without.remove(name);
                runtime = if let Ok(runtime) = start(&without).await {
                    runtime
                } else {
                    without.insert(name.clone());
                    start(&without).await?
                };
            }
            eprintln!("Left out until they are uploaded again: {}", list(&without));
            runtime
        }
    };
    local.bind(account.storage());
    local.store().change(|now| {
        for (name, tried) in account.scripts().filter(|(name, _)| suspects.contains(*name)) {
            let namespace = now.namespaces.get_mut(account::NAMESPACE);
            let latest = namespace.and_then(|namespace| namespace.scripts.get_mut(name));
            // Not one that has been uploaded since.
            if let Some(latest) = latest.filter(|latest| latest.modified == tried.modified) {
                latest.trial = if without.contains(name) { Trial::Failed } else { Trial::Passed };
            }
        }
        anyhow::Ok(())
    })?;
    Ok(runtime)
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Takes away what nobody has any more. The runtime is not running.
fn sweep(state: &Path, local: &Local) -> Result<()> {
    let mut store = local.store();
    let removed = store.account().removed.clone();
    for storage in &removed {
        removed::remove_files(storage, &state.join("storage/v3"))?;
    }
    if !removed.is_empty() {
        store.change(|account| {
            account.removed.clear();
            anyhow::Ok(())
        })?;
    }
    store.sweep_modules()
}

/// The customers of a platform that is started for the first time and told of none.
fn first_customers() -> [UserId; 2] {
    ["user1", "user2"].map(|id| id.parse().expect("a valid id"))
}

/// The customers that a platform starts with.
fn customers(options: &Options, account: &Account) -> Vec<Customer> {
    if !options.customers.is_empty() {
        return options.customers.clone();
    }
    let there = |id: &UserId| account.scripts().any(|(name, _)| name == id.as_str());
    first_customers().into_iter().filter(there).map(|id| Customer { id, worker: None }).collect()
}

/// The local account with the customers that the options say, and the KV namespace of customers' records, if there is one.
fn open_account(options: &Options, state: &Path) -> Result<(Store, Option<String>)> {
    for (at, customer) in options.customers.iter().enumerate() {
        if options.customers[..at].iter().any(|other| other.id == customer.id) {
            bail!("customer {} is there twice", customer.id);
        }
    }
    let mut store = Store::open(state)?;
    let is_new = store.is_new();
    let deployed = config::records(&options.repository)?;
    let settings = RuntimeSettings::read(&options.repository)?;
    let records = store.change(|account| {
        if is_new && options.customers.is_empty() {
            for id in first_customers() {
                account.seed(id.as_str(), &id.resource_name(), &settings);
            }
        }
        for Customer { id, worker } in &options.customers {
            match worker {
                None => account.seed(id.as_str(), &id.resource_name(), &settings),
                // A script that was uploaded under its name comes back when this run is over.
                Some(_) => account.make_storage(&id.resource_name()),
            }
        }
        anyhow::Ok(match deployed {
            Some(id) => {
                account.kv_namespaces.entry(id.clone()).or_insert_with(|| account::KvNamespace { title: id.clone() });
                Some(id)
            }
            None if options.records => Some(account.kv_namespace("customers")),
            None => None,
        })
    })?;
    Ok((store, records))
}

/// The token of the local API: the one that the options say, or one that is kept in the state folder.
fn api_token(options: &Options, state: &Path) -> Result<String> {
    if let Some(token) = &options.api_token {
        return Ok(token.clone());
    }
    let path = state.join("api-token");
    if path.exists() {
        let token = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if !token.trim().is_empty() {
            return Ok(token.trim().to_owned());
        }
    }
    let token = new_id();
    write_private(&path, &token)?;
    Ok(token)
}

/// The command that runs the platform's Workers, as one would type it.
pub fn print_command(options: &Options) -> Result<String> {
    let state = prepare_state(&options.state)?;
    // The files that it names are written, which must not be those of a platform that runs.
    let _lock = lock(&state)?;
    let (store, records) = open_account(options, &state)?;
    let contents = Contents {
        account: store.account(),
        without: &BTreeSet::new(),
        records: records.as_deref(),
        door: &Door::new()?,
    };
    Ok(config::write(options, &state, &contents)?.to_string())
}

/// Says so, if it is.
fn disk_is_full(state: &Path) -> Option<anyhow::Error> {
    /// What the simulators' empty databases take, and more.
    const ENOUGH: u64 = 256 << 10;

    let disk = statvfs(state).ok()?;
    #[allow(clippy::useless_conversion, reason = "not everywhere are both 64 bits")]
    let left = u64::from(disk.blocks_available()) * u64::from(disk.fragment_size());
    (left < ENOUGH).then(|| anyhow!("the disk that the state folder {} is on is full", state.display()))
}

fn prepare_state(state: &Path) -> Result<PathBuf> {
    fs::create_dir_all(state)
        .and_then(|()| state.canonicalize())
        .with_context(|| format!("cannot use {} as the state folder", state.display()))
}

/// The state folder is this platform's.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    file: File,
}

/// Two platforms on the same storage would damage it.
fn lock(state: &Path) -> Result<Lock> {
    let path = state.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write to the state folder {}", state.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { path, file }),
        Err(TryLockError::WouldBlock) => {
            bail!("another local platform uses {}; stop it, or choose another folder with --state", state.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

impl Lock {
    /// Returns when the folder has been deleted or replaced: the simulators go on with what nobody can open again, and would
    /// say that it was stored.
    async fn lost(&self) {
        let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let held = self.file.metadata().map(id).ok();
        while fs::metadata(&self.path).map(id).ok() == held {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}
