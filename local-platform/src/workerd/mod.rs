//! Everything that depends on workerd's internals: its configuration, its command line and its output.
//!
//! Workers reach Miniflare's simulators in the same way as in Miniflare; see `local-platform/namespace/`.

mod config_text;
mod output;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit};
use tokio::process::Command;

use super::address_block::AddressBlock;

pub use output::{Failure, Printed, explained, is_out_of_memory, missing_class, without_warnings};

/// The limit of a process's data, in bytes. workerd does not start with less than 512 MiB.
const MAX_DATA: u64 = 1 << 30;

/// The folder of the scripts' sockets, relative to the run folder.
pub const SCRIPTS: &str = "scripts";

/// The socket of the hub's debug port, through which its Workers are reached, relative to the run folder.
pub const HUB: &str = "hub";

/// The socket on which the supervisor serves dispatch namespaces, relative to the run folder.
pub const SUPERVISOR: &str = "supervisor";

/// Returns the socket of a D1 database's process, relative to the run folder.
pub fn database_socket(id: &str) -> String {
    format!("databases/{id}")
}

/// The installed runtime and the Workers that are part of the platform.
#[derive(Debug)]
pub struct Workerd {
    program: PathBuf,
    /// The folder of Miniflare's Workers, which simulate services.
    simulators: PathBuf,
    /// The folder of the platform's own Workers.
    own: PathBuf,
    /// The newest compatibility date that the runtime supports.
    newest: String,
    /// The number of files that a process may open.
    max_files: u64,
}

/// What a process runs.
#[derive(Clone, Debug)]
pub enum Config {
    /// A script of the dispatch namespace.
    Worker(Worker),
    /// The dispatcher, which accepts HTTP requests.
    Dispatcher(Worker),
    /// The Worker that has all storage, which accepts HTTP requests.
    Storage(Worker),
    /// The simulator of D1. `folder` contains the databases.
    Database { folder: PathBuf },
}

/// A Worker.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The Worker's name. Its caches and its Durable Objects are stored under it.
    pub name: String,
    /// The modules. The first one is the main module.
    pub modules: Vec<Module>,
    /// Whether the main module is a service-worker script, which has no exports.
    pub has_no_exports: bool,
    /// The compatibility date: <https://developers.cloudflare.com/workers/configuration/compatibility-dates/>.
    pub compatibility_date: String,
    /// The compatibility flags: <https://developers.cloudflare.com/workers/configuration/compatibility-flags/>.
    pub compatibility_flags: Vec<String>,
    /// The bindings, by name.
    pub bindings: BTreeMap<String, Binding>,
    /// The classes of Durable Objects, and whether they use SQLite.
    pub durable_objects: BTreeMap<String, bool>,
    /// The folder in which Durable Objects store their data. If `None`, the data is stored in memory.
    pub objects: Option<PathBuf>,
    /// The Worker that all outgoing requests go through. It runs in the same process.
    pub outbound: Option<Box<Worker>>,
    /// Non-public addresses that the Worker may connect to.
    pub allow: Vec<AddressBlock>,
    /// Whether the Worker is the operator's own. Such a Worker may connect to any address.
    pub is_trusted: bool,
}

/// A module.
#[derive(Clone, Debug)]
pub struct Module {
    /// The name by which other modules import it.
    pub name: String,
    /// The module's type.
    pub kind: ModuleKind,
    /// The module's file.
    pub path: PathBuf,
}

/// The type of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// An ECMAScript module.
    EsModule,
    /// A `CommonJS` module.
    CommonJs,
    /// A WebAssembly module.
    Wasm,
    /// A text.
    Text,
    /// Bytes.
    Data,
    /// JSON. It is stored as an ECMAScript module that exports the value.
    Json,
}

impl ModuleKind {
    /// Returns the type of a module with this media type, or `None` if the local runtime does not support it.
    pub fn of(media_type: &str) -> Option<Self> {
        Some(match media_type {
            "application/javascript+module" | "text/javascript+module" => Self::EsModule,
            "application/javascript" | "text/javascript" => Self::CommonJs,
            "application/wasm" => Self::Wasm,
            "text/plain" | "text/html" => Self::Text,
            "application/octet-stream" => Self::Data,
            "application/json" => Self::Json,
            _ => return None,
        })
    }

    /// Returns the type's name in workerd's configuration.
    pub fn workerd(self) -> &'static str {
        match self {
            Self::EsModule | Self::Json => "esModule",
            Self::CommonJs => "commonJsModule",
            Self::Wasm => "wasm",
            Self::Text => "text",
            Self::Data => "data",
        }
    }
}

/// A member of a Worker's `env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// A string.
    Text(String),
    /// A JSON value.
    Json(String),
    /// A KV namespace, by its id.
    Kv(String),
    /// An R2 bucket, by its name.
    Bucket(String),
    /// A D1 database, by its id.
    Database(String),
    /// A rate limiter.
    RateLimit {
        /// The rate limiter's namespace.
        namespace: String,
        /// The number of requests allowed in a period.
        limit: u64,
        /// The length of a period, in seconds.
        period: u64,
    },
    /// A class of Durable Objects.
    DurableObjects(String),
    /// An Analytics Engine dataset, by its name. It stores nothing.
    Dataset(String),
    /// A queue. It drops all messages.
    Queue,
    /// A Worker in the hub.
    Service {
        /// The Worker's name.
        worker: String,
        /// The exported class that the binding calls, if it is not the default export.
        entrypoint: Option<String>,
    },
    /// The dispatch namespace. The map contains the scripts that run in the hub, and the names of their Workers.
    Namespace(BTreeMap<String, String>),
}

impl Workerd {
    /// Finds the runtime that `cargo xtask setup` has installed.
    pub async fn new(repository: &Path) -> Result<Self> {
        let repository = repository.canonicalize().context("cannot find the repository")?;
        let node_modules = repository.join("node_modules");
        let program = node_modules.join("workerd/bin/workerd");
        let output = Command::new(&program).arg("--version").output().await;
        let output = output.with_context(|| format!("{} is missing: run `cargo xtask setup`", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let newest = text.trim().strip_prefix("workerd ").context("workerd does not print its version")?.to_owned();
        let own = repository.join("local-platform/namespace");
        let (_, max_files) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
        Ok(Self { program, simulators: node_modules.join("miniflare/dist/src/workers"), own, newest, max_files })
    }

    /// Returns the command that starts a process with a configuration file. The process runs in the folder that
    /// contains its files and sockets. It is killed when the thread that spawned it ends, and cannot use more than
    /// [`MAX_DATA`].
    pub fn command(&self, folder: &Path, process: &str, file: &str, config: &Config) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "prlimit", &format!("--data={MAX_DATA}"), "--core=0"]);
        command.arg(format!("--nofile={}", self.max_files));
        command.arg(&self.program).args(["serve", "--import-path=/", "--control-fd=1"]);
        if matches!(config, Config::Database { .. } | Config::Dispatcher(_)) {
            // The D1 simulator's compatibility flags and the dispatch namespace are experimental features. Scripts must
            // not have them.
            command.arg("--experimental");
        }
        command.arg(format!("--debug-port=unix:{process}")).arg(file);
        command
            .current_dir(folder)
            .env_clear()
            .env("TZ", "UTC")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }
}
