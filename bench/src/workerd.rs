//! Runs workerd without wrangler, whose proxy would take more CPU time than the Workers.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::processors;
use crate::storage::STORE_HEADER;

/// The customers. Each has a KV namespace and an R2 bucket with its name.
const CUSTOMERS: [&str; 2] = ["work", "thousand"];

/// The secret that tokens are signed with.
pub const SECRET: &[u8] = b"a secret of thirty-two bytes or more";

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The compatibility date in the Workers' wrangler files.
const COMPATIBILITY_DATE: &str = "2026-11-17";

/// The language that a Worker is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A Worker of this repository.
    Rust,
    /// The twin of such a Worker.
    JavaScript,
}

/// One of the two Workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasuredWorker {
    /// The dispatcher.
    Dispatcher,
    /// The customer Worker.
    CustomerWorker,
}

impl MeasuredWorker {
    /// Returns the name of the Worker's folder, and of its twin's folder in bench/twins/.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::CustomerWorker => "customer-worker",
        }
    }

    /// Returns the names of the modules, and their paths in the repository. The main module is the first.
    #[must_use]
    pub fn modules(self, language: Language) -> Vec<(&'static str, String)> {
        let modules: &[&str] = match (language, self) {
            (Language::Rust, Self::Dispatcher) => &["index.js", "index_bg.wasm", "openapi.txt"],
            (Language::Rust, Self::CustomerWorker) => &["index.js", "index_bg.wasm"],
            (Language::JavaScript, Self::Dispatcher) => &["index.js"],
            (Language::JavaScript, Self::CustomerWorker) => &[
                "index.js",
                "data.js",
                "files.js",
                "form-reader.js",
                "forms.js",
                "replies.js",
                "requests.js",
                "stats.js",
            ],
        };
        let folder = match language {
            Language::Rust => format!("{}/build", self.name()),
            Language::JavaScript => format!("bench/twins/{}", self.name()),
        };
        modules.iter().map(|module| (*module, format!("{folder}/{module}"))).collect()
    }
}

/// A socket of workerd, and the Workers behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryPoint {
    /// A dispatcher in front of customer Workers in the same language.
    Platform,
    /// A dispatcher in front of the customer Worker's twin.
    Dispatcher,
    /// Like `Dispatcher`, but requests need a token.
    DispatcherWithToken,
    /// A customer Worker without a dispatcher.
    CustomerWorker,
}

impl EntryPoint {
    const ALL: [Self; 4] = [Self::Platform, Self::Dispatcher, Self::DispatcherWithToken, Self::CustomerWorker];

    /// Returns the name of the socket and of its service.
    fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Dispatcher => "dispatcher",
            Self::DispatcherWithToken => "token",
            Self::CustomerWorker => "customer-worker",
        }
    }

    /// Returns the entry point's services in workerd's configuration.
    fn services(self, repository: &Path, language: Language) -> Vec<String> {
        let (customers, customer_language) = match self {
            Self::Platform => (&CUSTOMERS[..], language),
            Self::Dispatcher | Self::DispatcherWithToken => (&CUSTOMERS[..1], Language::JavaScript),
            Self::CustomerWorker => {
                return vec![service(self.name(), &customer_worker(repository, language, CUSTOMERS[0]))];
            }
        };
        let entry = self.name();
        let customer_service = |customer: &&str| {
            service(&format!("{entry}-{customer}"), &customer_worker(repository, customer_language, customer))
        };
        let namespace = |customer: &&str| format!("(name = \"{customer}\", service = \"{entry}-{customer}\")");
        let variable = if self == Self::DispatcherWithToken {
            let secrets = json!([{"kid": "bench", "secret": BASE64_URL_SAFE_NO_PAD.encode(SECRET)}]).to_string();
            format!("(name = \"TOKEN_SECRETS\", text = {secrets:?})")
        } else {
            "(name = \"AUTH\", text = \"trusted-header\")".to_owned()
        };
        let dispatcher = format!(
            "{}, bindings = [{variable}, (name = \"DISPATCHER\", wrapped = (moduleName = \"bench:namespace\", \
             innerBindings = [{}]))]",
            modules(repository, MeasuredWorker::Dispatcher, language),
            customers.iter().map(namespace).collect::<Vec<_>>().join(", ")
        );
        customers.iter().map(customer_service).chain([service(entry, &dispatcher)]).collect()
    }
}

/// A workerd process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Workerd {
    /// The address of each entry point's socket.
    pub addresses: BTreeMap<EntryPoint, SocketAddr>,
    process: Child,
    _folder: TempDir,
}

impl Workerd {
    /// Starts workerd with these entry points, on free ports.
    pub async fn start(
        repository: &Path,
        language: Language,
        entries: &[EntryPoint],
        storage: SocketAddr,
    ) -> Result<Self> {
        let folder = TempDir::new().context("cannot create a folder for workerd's configuration")?;
        let path = folder.path().join("workerd.capnp");
        fs::write(&path, config(repository, language, entries, storage))
            .context("cannot write workerd's configuration")?;
        let program = repository.join("node_modules/workerd/bin/workerd");
        let mut process = processors::command(&program)
            .args(["serve", "--experimental", "--control-fd=1", "--import-path=/"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut lines = BufReader::new(process.stdout.take().context("stdout is piped")?).lines();
        let listening = timeout(START_TIMEOUT, listening(&mut lines, entries.len())).await;
        let addresses =
            listening.with_context(|| format!("workerd did not start within {} s", START_TIMEOUT.as_secs()))??;
        // The rest is the dispatcher's log. It must be read, or workerd would block on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { addresses, process, _folder: folder })
    }

    /// Returns the CPU time that the process has used so far, user and system.
    pub fn cpu_time(&self) -> Result<Duration> {
        let pid = self.process.id().context("workerd has ended")?;
        let pid = Pid::from_raw(pid.try_into().context("a process id is small")?);
        let time = clock_getcpuclockid(pid).and_then(ClockId::now).context("cannot read a process's CPU time")?;
        Ok(Duration::from_nanos(time.num_nanoseconds().try_into().context("time is positive")?))
    }
}

/// Reads workerd's output until it listens on `sockets` sockets, and returns their addresses.
async fn listening(
    lines: &mut Lines<BufReader<ChildStdout>>,
    sockets: usize,
) -> Result<BTreeMap<EntryPoint, SocketAddr>> {
    let mut addresses = BTreeMap::new();
    while addresses.len() < sockets {
        let Some(line) = lines.next_line().await.context("cannot read workerd's output")? else {
            bail!("workerd ended; its messages are above");
        };
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        let entry = EntryPoint::ALL.into_iter().find(|entry| event["socket"] == entry.name());
        let port = event["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        if let (Some(entry), Some(port)) = (entry, port) {
            addresses.insert(entry, SocketAddr::from(([127, 0, 0, 1], port)));
        }
    }
    Ok(addresses)
}

/// Returns workerd's configuration, in the format of
/// <https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp>
fn config(repository: &Path, language: Language, entries: &[EntryPoint], storage: SocketAddr) -> String {
    let stores = CUSTOMERS.iter().flat_map(|customer| ["kv", "r2"].map(|kind| store(kind, customer, storage)));
    let services = entries.iter().flat_map(|entry| entry.services(repository, language));
    let sockets = entries.iter().map(|entry| {
        let name = entry.name();
        format!("(name = \"{name}\", address = \"127.0.0.1:0\", http = (), service = \"{name}\")")
    });
    format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\n\
         const config :Workerd.Config = (services = [{}], sockets = [{}], extensions = [(modules = [(name = \
         \"bench:namespace\", internal = true, esModule = {})])]);\n",
        stores.chain(services).collect::<Vec<_>>().join(",\n"),
        sockets.collect::<Vec<_>>().join(",\n"),
        embed(repository, "bench/twins/namespace.js"),
    )
}

fn service(name: &str, worker: &str) -> String {
    format!("(name = \"{name}\", worker = ({worker}))")
}

/// Returns the service of a customer's KV namespace or R2 bucket.
fn store(kind: &str, customer: &str, storage: SocketAddr) -> String {
    format!(
        "(name = \"{kind}-{customer}\", external = (address = \"{storage}\", http = (injectRequestHeaders = [(name = \
         \"{STORE_HEADER}\", value = \"{kind}/{customer}\")])))"
    )
}

/// Returns the configuration of a customer Worker with its storage bindings.
fn customer_worker(repository: &Path, language: Language, customer: &str) -> String {
    format!(
        "{}, bindings = [(name = \"USER_KV\", kvNamespace = \"kv-{customer}\"), (name = \"USER_R2\", r2Bucket = \
         \"r2-{customer}\")]",
        modules(repository, MeasuredWorker::CustomerWorker, language)
    )
}

fn modules(repository: &Path, worker: MeasuredWorker, language: Language) -> String {
    let module = |(name, path): &(&str, String)| {
        let kind = match name.rsplit_once('.') {
            Some((_, "wasm")) => "wasm",
            Some((_, "txt")) => "text",
            _ => "esModule",
        };
        format!("(name = \"{name}\", {kind} = {})", embed(repository, path))
    };
    let modules: Vec<String> = worker.modules(language).iter().map(module).collect();
    format!("modules = [{}], compatibilityDate = \"{COMPATIBILITY_DATE}\"", modules.join(", "))
}

fn embed(repository: &Path, path: &str) -> String {
    format!("embed {:?}", repository.join(path).to_string_lossy())
}
