//! The local platform: the dispatcher, its dispatch namespace and customers on one machine, with simulated KV, R2 and
//! D1 on disk and a local version of Cloudflare's API.
//!
//! ```text
//! client -> front (--port) -> the dispatcher's process -> run/scripts/user1 -> user1's process
//!                                                                                -> run/kv, run/r2, ... -> the hub
//!                                                                                -> run/databases/<id> -> its process
//!
//! operator's tool, wrangler -> api (--api-port) -> account.json, scripts/
//!                                               -> run/storage -> the process of a Worker that has all storage
//! ```
//!
//! The hub is a Node.js program that runs one Miniflare with the simulators. It is started once. All other processes
//! are plain `workerd`. The supervisor starts a process when a client connects to its socket, and ends it when it is no
//! longer used. An upload starts a new process. If it starts successfully, it replaces the previous process, which
//! finishes its requests. `docs/architecture.md` has the details.
//!
//! The platform runs on Linux only: it needs `/proc`, and `setpriv` and `prlimit` of util-linux.
//!
//! `cargo xtask dev` runs the platform:
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
//!     allow: Vec::new(),
//!     idle: Options::IDLE,
//!     log: None,
//! })
//! .await?;
//! println!("Ready on http://{}", platform.address());
//! platform.stop().await
//! # }
//! ```

mod account;
mod address_block;
mod api;
mod binding_types;
mod config;
mod control;
mod definitions;
mod front;
mod hub;
mod listener;
mod lock;
mod log;
mod options;
mod ping;
mod process;
mod processes;
mod removed;
mod run_folder;
mod script;
mod script_logs;
mod state;
mod storage_client;
mod store;
mod supervisor;
mod workerd;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use api::Local;
use binding_types::unsupported_bindings;
use definitions::Definitions;
use hub::{Hub, HubWorker};
use listener::{Listener, bind};
use log::Log;
use processes::Processes;
use run_folder::RunFolder;
use script_logs::ScriptLogs;
use state::{StateLock, api_token, customers, disk_is_full, open_account, prepare_state, sweep};
use storage_client::StorageClient;
use store::{fresh_folder, replace};
use supervisor::Name;
use workerd::Workerd;

pub use address_block::{AddressBlock, InvalidAddressBlock};
pub use options::{Auth, Customer, Options, Var};

/// The time that the dispatcher may take to answer its first request.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// The number of times that the hub is restarted within [`RESTART_WINDOW`].
const MAX_RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_mins(1);

/// A running local platform. If it is dropped without [`LocalPlatform::stop`], its processes are killed.
#[derive(Debug)]
pub struct LocalPlatform {
    options: Options,
    state: PathBuf,
    front: Listener,
    server: Listener,
    local: Arc<Local>,
    hub: Hub,
    /// What the hub runs. It is needed again for a restart.
    contents: hub::Contents,
    log: Log,
    /// Held while the platform runs.
    lock: StateLock,
}

/// Reloads the platform's Workers after they have been built again.
#[derive(Clone, Debug)]
pub struct Builds(Arc<Local>);

impl Builds {
    /// Uses the current build of a Worker for new requests. The Worker is `dispatcher`, `customer-worker` or
    /// `outbound`.
    pub async fn reload(&self, worker: &str) {
        let account = self.0.store().account().clone();
        self.0.processes.reload_built(&account, worker).await;
    }
}

impl LocalPlatform {
    /// Starts the platform. Returns when the dispatcher answers requests.
    pub async fn start(options: Options) -> Result<Self> {
        set_file_limit()?;
        let state = options.state.clone();
        // Miniflare's own errors do not say that the disk is full.
        Self::try_start(options).await.map_err(|error| disk_is_full(&state).unwrap_or(error))
    }

    async fn try_start(options: Options) -> Result<Self> {
        let state = prepare_state(&options.state)?;
        let lock = StateLock::take(&state)?;
        let (mut store, records) = open_account(&options, &state)?;
        let log = options.log.as_deref().map_or_else(|| Ok(Log::stdout()), Log::file)?;
        sweep(&state, &mut store)?;
        let store = Arc::new(Mutex::new(store));
        // The ports are bound before any process is started, so that a port in use is reported at once.
        let front = bind(options.port, "--port").await?;
        let listener = bind(options.api_port, "--api-port").await?;
        let folder = RunFolder::new(&state.join("run"), &Name::FOLDERS)?;
        let definitions = Definitions::new(&options, &state, records.as_deref())?;
        let contents = hub_contents(&options, &definitions)?;
        let fixed = options.customers.iter().filter(|customer| customer.worker.is_some());
        let fixed: BTreeSet<String> = fixed.map(|customer| customer.id.to_string()).collect();
        let storage = StorageClient::new(folder.socket(&Name::Storage.socket()))?;
        let logs = Arc::new(ScriptLogs::new(log.clone()));
        let workerd = Workerd::new(&options.repository).await?;
        let processes = Processes::start(workerd, folder, definitions, fixed, &store, logs.clone(), options.idle)?;
        let front = front::start(front, processes.supervisor().clone())?;
        let mut hub = Hub::start(&options.repository, processes.folder(), &contents, &log).await?;
        tokio::select! {
            ready = wait_until_ready(front.address()) => ready?,
            failure = hub.failed() => bail!("{failure}"),
        }
        let local = Arc::new(Local {
            store,
            processes,
            storage,
            logs,
            token: api_token(&options, &state)?,
            incoming: fresh_folder(&state.join("incoming"))?,
            dispatcher: config::dispatcher_bindings(&options.repository, &options, records.as_deref())?,
            applying: tokio::sync::Mutex::default(),
        });
        local.write_records(&options, records.as_deref()).await?;
        let server = api::start(listener, local.clone())?;
        tokio::spawn({
            let local = local.clone();
            async move {
                let account = local.store().account().clone();
                local.processes.start_objects(&account).await;
            }
        });
        for (name, script) in local.store().account().scripts() {
            for sentence in unsupported_bindings(&script.bindings) {
                eprintln!("{name}: {sentence}");
            }
        }
        let platform = Self { options, state, front, server, local, hub, contents, log, lock };
        platform.write_environment()?;
        Ok(platform)
    }

    /// Returns a handle that reloads the platform's Workers.
    #[must_use]
    pub fn builds(&self) -> Builds {
        Builds(self.local.clone())
    }

    /// Returns the dispatcher's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// Returns the base URL of the local Cloudflare API.
    #[must_use]
    pub fn api(&self) -> String {
        format!("http://{}/client/v4", self.server.address())
    }

    /// Returns the file of environment variables with which wrangler and the operator's tool use the local API.
    #[must_use]
    pub fn environment(&self) -> PathBuf {
        self.state.join("env")
    }

    /// Returns the names of the scripts that requests can reach.
    #[must_use]
    pub fn scripts(&self) -> BTreeSet<String> {
        let own = self.options.customers.iter().filter(|customer| customer.worker.is_some());
        let own = own.map(|customer| customer.id.to_string());
        self.local.store().account().scripts().map(|(name, _)| name.clone()).chain(own).collect()
    }

    /// Restarts the hub whenever it fails. Returns an error if the hub fails too often or cannot be started, or if the
    /// state folder is gone.
    pub async fn keep_running(&mut self) -> anyhow::Error {
        let mut restarts: Vec<Instant> = Vec::new();
        loop {
            let failure = tokio::select! {
                failure = self.hub.failed() => failure,
                () = self.lock.lost() => {
                    return anyhow!("the state folder {} is gone, and all that was stored in it", self.state.display());
                }
            };
            restarts.retain(|restart| restart.elapsed() < RESTART_WINDOW);
            if restarts.len() == MAX_RESTARTS {
                return anyhow!("{failure}, for the {MAX_RESTARTS}th time within a minute");
            }
            restarts.push(Instant::now());
            eprintln!("{failure}; starting it again ...");
            let folder = self.local.processes.folder();
            match Hub::start(&self.options.repository, folder, &self.contents, &self.log).await {
                Ok(hub) => self.hub = hub,
                Err(error) => return disk_is_full(&self.state).unwrap_or(error).context(failure),
            }
            eprintln!("the hub runs again");
        }
    }

    /// Waits for running requests, then ends all processes. Returns when all of them have ended.
    pub async fn stop(mut self) -> Result<()> {
        tokio::join!(self.front.stop(), self.server.stop());
        self.local.processes.stop().await;
        self.hub.stop().await?;
        self.log.flush().await;
        self.local.processes.clear()
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

/// Lets this program open half as many files as its processes, which may open as many as the system allows. A workerd
/// process ends if it cannot accept a connection. This program only waits, so it must reach its limit first: it has two
/// files open for each connection of a process.
fn set_file_limit() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most / 2, most).context("cannot set the limit of open files")
}

/// What runs in the hub, as the options say.
fn hub_contents(options: &Options, definitions: &Definitions) -> Result<hub::Contents> {
    let hosted = definitions::hosted(options);
    let mut workers = Vec::new();
    for path in &options.others {
        workers.push(HubWorker::new(&config::deployed(path)?)?);
    }
    for customer in options.customers.iter().filter(|customer| hosted.contains_key(customer.id.as_str())) {
        workers.push(HubWorker::new(&config::hosted_worker(customer)?)?);
    }
    Ok(hub::Contents { workers, hosted, storage: definitions.storage() })
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
    /// Writes a record for each customer of the platform that has none, as the operator's tool does.
    async fn write_records(&self, options: &Options, records: Option<&str>) -> Result<()> {
        let Some(records) = records else { return Ok(()) };
        let customers = customers(options, self.store().account());
        for customer in customers {
            self.put_if_missing(records, customer.id.as_str(), "{}").await?;
        }
        Ok(())
    }
}
