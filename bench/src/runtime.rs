//! workerd by itself, as wrangler uses it, but without wrangler's proxy: the two Workers, and a dispatch namespace between
//! them.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nix::sys::time::TimeValLike;
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::processors;
use crate::storage::STORE_HEADER;

/// The customers, each with a KV namespace and a bucket of its name.
pub const CUSTOMERS: [&str; 4] = ["work", "ten", "thousand", "ten-thousand"];

/// What tokens are signed with.
pub const SECRET: &[u8] = b"a secret of thirty-two bytes or more";

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The name of a Worker's Wasm.
const WASM: &str = "index_bg.wasm";

/// The name of the description of the HTTP API, which the dispatcher has as a text.
const DOCUMENT: &str = "openapi.txt";

/// What a Worker is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// The Workers of this repository.
    Rust,
    /// Their twins.
    JavaScript,
}

/// One of the two Workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// The dispatcher.
    Dispatcher,
    /// The customers' Worker.
    CustomerWorker,
}

impl Worker {
    /// Its name, which is that of its folder and of its twin's file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::CustomerWorker => "customer-worker",
        }
    }

    /// Its modules, the main one first: names and paths in the repository.
    #[must_use]
    pub fn modules(self, language: Language) -> Vec<(&'static str, String)> {
        let name = self.name();
        match language {
            Language::Rust => {
                let document = (self == Self::Dispatcher).then_some(DOCUMENT);
                let built = |module| (module, format!("{name}/build/{module}"));
                ["index.js", WASM].into_iter().chain(document).map(built).collect()
            }
            Language::JavaScript => vec![("index.js", format!("bench/twins/{name}.js"))],
        }
    }
}

/// What a runtime runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// Customers' Workers behind a dispatcher.
    Platform {
        /// What the dispatcher is written in.
        dispatcher: Language,
        /// What the customers' Workers are written in.
        customers: Language,
    },
    /// A dispatcher in front of the twin of the customer `work`.
    Dispatcher(Language),
    /// The Worker of the customer `work` alone.
    Customer(Language),
}

/// A runtime that serves requests, until it is dropped.
#[derive(Debug)]
pub struct Runtime {
    /// Where requests need no token (`AUTH` is `trusted-header`).
    pub address: SocketAddr,
    /// Where they need one.
    pub token_address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Runtime {
    /// Starts one on free ports.
    pub async fn start(repository: &Path, workers: Workers, storage: SocketAddr) -> Result<Self> {
        let folder = TempDir::new().context("cannot make a folder for the configuration")?;
        let path = folder.path().join("workerd.capnp");
        fs::write(&path, config(repository, workers, storage)).context("cannot write the configuration")?;
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
        let addresses = timeout(START_TIMEOUT, listening(&mut lines)).await.context("workerd does not start")??;
        // The dispatcher's log: it goes nowhere, but somebody has to read it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { address: addresses[0], token_address: addresses[1], process, _folder: folder })
    }

    /// The CPU time that it has taken so far, user and system.
    pub fn cpu_time(&self) -> Result<Duration> {
        let time = clock_getcpuclockid(self.pid()?).and_then(nix::time::ClockId::now);
        let time = time.context("the operating system does not tell a process's CPU time")?;
        Ok(Duration::from_nanos(time.num_nanoseconds().try_into().context("time is positive")?))
    }

    /// The most memory that it has held since the last time, in bytes.
    pub fn take_peak_memory(&self) -> Result<u64> {
        let pid = self.pid()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("cannot read a process's memory")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")).context("VmHWM is missing")?;
        // https://www.kernel.org/doc/html/latest/filesystems/proc.html: 5 resets the peak.
        fs::write(format!("/proc/{pid}/clear_refs"), "5").context("cannot reset a process's peak memory")?;
        Ok(kib.trim().parse::<u64>().context("VmHWM is a number")? * 1024)
    }

    fn pid(&self) -> Result<Pid> {
        let pid = self.process.id().context("workerd has ended")?;
        Ok(Pid::from_raw(pid.try_into().context("a process id is small")?))
    }
}

/// Where the runtime listens, once it says so.
async fn listening(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<[SocketAddr; 2]> {
    let (mut open, mut token) = (None, None);
    loop {
        let Some(line) = lines.next_line().await.context("cannot read what workerd says")? else {
            bail!("workerd ended; it says above why");
        };
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        let port = event["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let address = port.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        match event["socket"].as_str() {
            Some("open") => open = address,
            Some("token") => token = address,
            _ => {}
        }
        if let (Some(open), Some(token)) = (open, token) {
            return Ok([open, token]);
        }
    }
}

/// <https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp>
fn config(repository: &Path, workers: Workers, storage: SocketAddr) -> String {
    let mut services = String::new();
    let mut put = |line: String| writeln!(services, "{line},").expect("a string takes everything");
    let (open, token) = match workers {
        Workers::Customer(language) => {
            put(format!("(name = \"customer-work\", worker = ({}))", customer(repository, language, "work")));
            ("customer-work", "customer-work")
        }
        Workers::Dispatcher(language) => {
            put(format!(
                "(name = \"customer-work\", worker = ({}))",
                customer(repository, Language::JavaScript, "work")
            ));
            put(dispatcher(repository, language, "open", OPEN, &["work"]));
            ("open", "open")
        }
        Workers::Platform { dispatcher: language, customers } => {
            for name in CUSTOMERS {
                put(format!("(name = \"customer-{name}\", worker = ({}))", customer(repository, customers, name)));
            }
            put(dispatcher(repository, language, "open", OPEN, &CUSTOMERS));
            let with_token = format!("(name = \"TOKEN_SECRETS\", text = {:?})", secrets());
            put(dispatcher(repository, language, "token", &with_token, &CUSTOMERS));
            ("open", "token")
        }
    };
    for name in CUSTOMERS {
        for kind in ["kv", "r2"] {
            put(format!(
                "(name = \"{kind}-{name}\", external = (address = \"{storage}\", http = (injectRequestHeaders = \
                 [(name = \"{STORE_HEADER}\", value = \"{kind}/{name}\")])))"
            ));
        }
    }
    let socket =
        |name, service| format!("(name = \"{name}\", address = \"127.0.0.1:0\", http = (), service = \"{service}\")");
    format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\n\
         const config :Workerd.Config = (services = [{services}], sockets = [{}, {}], extensions = [(modules = \
         [(name = \"bench:namespace\", internal = true, esModule = {})])]);\n",
        socket("open", open),
        socket("token", token),
        embed(repository, "bench/twins/namespace.js"),
    )
}

/// A dispatcher's variable by which requests need no token.
const OPEN: &str = r#"(name = "AUTH", text = "trusted-header")"#;

/// A dispatcher with a variable, and these customers in its namespace.
fn dispatcher(repository: &Path, language: Language, name: &str, variable: &str, customers: &[&str]) -> String {
    let namespace: Vec<String> =
        customers.iter().map(|name| format!("(name = \"{name}\", service = \"customer-{name}\")")).collect();
    format!(
        "(name = \"{name}\", worker = ({}, bindings = [{variable}, (name = \"DISPATCHER\", wrapped = (moduleName = \
         \"bench:namespace\", innerBindings = [{}]))]))",
        worker(repository, Worker::Dispatcher, language),
        namespace.join(", ")
    )
}

/// The secret, as the dispatcher's `TOKEN_SECRETS` has it.
fn secrets() -> String {
    json!([{"kid": "bench", "secret": BASE64_URL_SAFE_NO_PAD.encode(SECRET)}]).to_string()
}

/// A customer's Worker with its storage.
fn customer(repository: &Path, language: Language, name: &str) -> String {
    format!(
        "{}, bindings = [(name = \"USER_KV\", kvNamespace = \"kv-{name}\"), (name = \"USER_R2\", r2Bucket = \"r2-{name}\")]",
        worker(repository, Worker::CustomerWorker, language)
    )
}

fn worker(repository: &Path, worker: Worker, language: Language) -> String {
    let module = |(name, path): &(&str, String)| {
        let kind = match *name {
            WASM => "wasm",
            DOCUMENT => "text",
            _ => "esModule",
        };
        format!("(name = \"{name}\", {kind} = {})", embed(repository, path))
    };
    let modules: Vec<String> = worker.modules(language).iter().map(module).collect();
    format!("modules = [{}], compatibilityDate = \"{COMPATIBILITY_DATE}\"", modules.join(", "))
}

/// The Workers' own, in the wrangler files.
const COMPATIBILITY_DATE: &str = "2026-11-17";

fn embed(repository: &Path, path: &str) -> String {
    format!("embed {:?}", repository.join(path).to_string_lossy())
}
