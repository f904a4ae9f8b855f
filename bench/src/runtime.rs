//! Starts workerd without wrangler, whose proxy would cost more CPU time than the Workers.

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

/// The customers. Each has a KV namespace and a bucket of its name.
const CUSTOMERS: [&str; 2] = ["work", "thousand"];

/// The secret that tokens are signed with.
pub const SECRET: &[u8] = b"a secret of thirty-two bytes or more";

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The compatibility date in the Workers' wrangler files.
const COMPATIBILITY_DATE: &str = "2026-11-17";

/// What a Worker is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A Worker of this repository.
    Rust,
    /// Its twin.
    JavaScript,
}

/// One of the two Workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// The dispatcher.
    Dispatcher,
    /// The customer Worker.
    CustomerWorker,
}

impl Worker {
    /// The name of its folder and of its twin's file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::CustomerWorker => "customer-worker",
        }
    }

    /// The names of its modules and their paths in the repository: JavaScript, Wasm, text.
    #[must_use]
    pub fn modules(self, language: Language) -> Vec<(&'static str, String)> {
        let name = self.name();
        let modules: &[&str] = match (language, self) {
            (Language::JavaScript, _) => return vec![("index.js", format!("bench/twins/{name}.js"))],
            (Language::Rust, Self::Dispatcher) => &["index.js", "index_bg.wasm", "openapi.txt"],
            (Language::Rust, Self::CustomerWorker) => &["index.js", "index_bg.wasm"],
        };
        modules.iter().map(|module| (*module, format!("{name}/build/{module}"))).collect()
    }
}

/// What a request to the runtime reaches first, and what is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// A dispatcher in front of customer Workers in the same language.
    Platform,
    /// A dispatcher in front of the customer Worker's twin.
    Dispatcher,
    /// The same, but requests need a token.
    DispatcherWithToken,
    /// A customer Worker without a dispatcher.
    CustomerWorker,
}

impl Entry {
    const ALL: [Self; 4] = [Self::Platform, Self::Dispatcher, Self::DispatcherWithToken, Self::CustomerWorker];

    /// The name of its socket and its service.
    fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Dispatcher => "dispatcher",
            Self::DispatcherWithToken => "token",
            Self::CustomerWorker => "customer-worker",
        }
    }

    /// Its services in workerd's configuration.
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
            modules(repository, Worker::Dispatcher, language),
            customers.iter().map(namespace).collect::<Vec<_>>().join(", ")
        );
        customers.iter().map(customer_service).chain([service(entry, &dispatcher)]).collect()
    }
}

/// A workerd process. It ends when this is dropped.
#[derive(Debug)]
pub struct Runtime {
    /// Where each entry listens.
    pub addresses: BTreeMap<Entry, SocketAddr>,
    process: Child,
    _folder: TempDir,
}

impl Runtime {
    /// Starts workerd with these entries, on free ports.
    pub async fn start(repository: &Path, language: Language, entries: &[Entry], storage: SocketAddr) -> Result<Self> {
        let folder = TempDir::new().context("cannot make a folder for the configuration")?;
        let path = folder.path().join("workerd.capnp");
        fs::write(&path, config(repository, language, entries, storage)).context("cannot write the configuration")?;
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
        let addresses = listening.context("workerd did not start in time")??;
        // The rest is the dispatcher's log. It must be read, or workerd would wait.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { addresses, process, _folder: folder })
    }

    /// The CPU time that the process has used so far, user and system.
    pub fn cpu_time(&self) -> Result<Duration> {
        let pid = self.process.id().context("workerd has ended")?;
        let pid = Pid::from_raw(pid.try_into().context("a process id is small")?);
        let time = clock_getcpuclockid(pid).and_then(ClockId::now).context("cannot read a process's CPU time")?;
        Ok(Duration::from_nanos(time.num_nanoseconds().try_into().context("time is positive")?))
    }
}

/// Waits until workerd listens on so many sockets.
async fn listening(lines: &mut Lines<BufReader<ChildStdout>>, sockets: usize) -> Result<BTreeMap<Entry, SocketAddr>> {
    let mut addresses = BTreeMap::new();
    while addresses.len() < sockets {
        let Some(line) = lines.next_line().await.context("cannot read workerd's output")? else {
            bail!("workerd ended; its messages are above");
        };
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        let entry = Entry::ALL.into_iter().find(|entry| event["socket"] == entry.name());
        let port = event["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        if let (Some(entry), Some(port)) = (entry, port) {
            addresses.insert(entry, SocketAddr::from(([127, 0, 0, 1], port)));
        }
    }
    Ok(addresses)
}

/// workerd's configuration: <https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp>
fn config(repository: &Path, language: Language, entries: &[Entry], storage: SocketAddr) -> String {
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

/// A customer's KV namespace or bucket.
fn store(kind: &str, customer: &str, storage: SocketAddr) -> String {
    format!(
        "(name = \"{kind}-{customer}\", external = (address = \"{storage}\", http = (injectRequestHeaders = [(name = \
         \"{STORE_HEADER}\", value = \"{kind}/{customer}\")])))"
    )
}

/// A customer Worker with its storage.
fn customer_worker(repository: &Path, language: Language, customer: &str) -> String {
    format!(
        "{}, bindings = [(name = \"USER_KV\", kvNamespace = \"kv-{customer}\"), (name = \"USER_R2\", r2Bucket = \
         \"r2-{customer}\")]",
        modules(repository, Worker::CustomerWorker, language)
    )
}

fn modules(repository: &Path, worker: Worker, language: Language) -> String {
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
