//! What the platform knows of workerd's internals: its configuration and its command line, and what it prints.
//!
//! The configuration: <https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp>. Miniflare's
//! simulators are reached as Miniflare's own Workers reach them, see `local-platform/namespace/`.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::process::Command;

use super::address_block::AddressBlock;

/// How much memory a process may use for its data, in bytes. Less than 512 MiB does not start.
const MAX_DATA: u64 = 1 << 30;

/// How much memory JavaScript values may take, in MiB, as on Cloudflare:
/// <https://developers.cloudflare.com/workers/platform/limits/>.
const MAX_HEAP_MIB: u64 = 128;

/// The socket by which a process shows that it is alive.
const PING: &str = ".ping";

/// Where the programs are.
#[derive(Debug)]
pub struct Workerd {
    program: PathBuf,
    /// Miniflare's Workers, which simulate services.
    simulators: PathBuf,
    /// The folder of the platform's own Workers.
    own: PathBuf,
    /// The newest compatibility date that the runtime knows.
    newest: String,
}

/// A service that a process serves, and what it may reach.
#[derive(Clone, Debug)]
pub enum Config {
    /// A script.
    Worker(Worker),
    /// The dispatcher, which takes requests by HTTP.
    Dispatcher(Worker),
    /// The Worker that has all storage, which takes requests by HTTP.
    Storage(Worker),
    /// The simulator of D1, with the folder of the databases.
    Database { folder: PathBuf },
}

/// A Worker.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Its name, which its caches and its Durable Objects have.
    pub name: String,
    /// The modules; the main one is the first.
    pub modules: Vec<Module>,
    /// Whether the main module is a script of the old kind, without exports.
    pub has_no_exports: bool,
    /// See <https://developers.cloudflare.com/workers/configuration/compatibility-dates/>.
    pub compatibility_date: String,
    /// Likewise.
    pub compatibility_flags: Vec<String>,
    /// The bindings, by name.
    pub bindings: BTreeMap<String, Binding>,
    /// The classes of Durable Objects, and whether they use SQL.
    pub durable_objects: BTreeMap<String, bool>,
    /// Where Durable Objects keep their data; in memory if `None`.
    pub objects: Option<PathBuf>,
    /// The Worker that all its requests go through, in the same process.
    pub outbound: Option<Box<Worker>>,
    /// Addresses besides public ones that it may connect to.
    pub allow: Vec<AddressBlock>,
    /// Whether it is the operator's own, and may connect to every address.
    pub is_trusted: bool,
}

/// A module.
#[derive(Clone, Debug)]
pub struct Module {
    /// What others import it as.
    pub name: String,
    /// What it is.
    pub kind: ModuleKind,
    /// The file.
    pub path: PathBuf,
}

/// What a Worker finds in its `env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// A text.
    Text(String),
    /// A value, as JSON.
    Json(String),
    /// A KV namespace, by its id.
    Kv(String),
    /// An R2 bucket, by its name.
    Bucket(String),
    /// A D1 database, by its id.
    Database(String),
    /// A rate limiter.
    RateLimit {
        /// Its namespace.
        namespace: String,
        /// How many requests in a period.
        limit: u64,
        /// The period, in seconds.
        period: u64,
    },
    /// A class of Durable Objects.
    DurableObjects(String),
    /// An Analytics Engine dataset, which keeps nothing.
    Dataset(String),
    /// A queue, which keeps nothing.
    Queue,
    /// A Worker of the hub, by its name.
    Service(String),
    /// The dispatch namespace. The hub has some of its scripts: its Workers, by the scripts' names.
    Namespace(BTreeMap<String, String>),
}

/// Why a process does not start, or has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The script does not export a class of Durable Objects that it has.
    NoClass(String),
    /// The script does not start, in workerd's words.
    Start(String),
    /// It used more memory than it may.
    Memory,
    /// It computed without giving a sign of life.
    Cpu,
    /// It was ended on purpose.
    Stopped,
    /// Anything else.
    Crash(String),
}

impl fmt::Display for Failure {
    /// In the words that Cloudflare's runtime uses, where it has some: the dispatcher knows them.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoClass(class) => write!(formatter, "the script does not export the class {class}"),
            Self::Start(reason) => write!(formatter, "the script does not start: {reason}"),
            Self::Memory => formatter.write_str("Worker exceeded memory limit."),
            Self::Cpu => formatter.write_str("Worker exceeded CPU time limit."),
            Self::Stopped => formatter.write_str("the script was stopped"),
            Self::Crash(reason) => formatter.write_str(reason),
        }
    }
}

/// What a process prints.
#[derive(Debug, PartialEq, Eq)]
pub enum Printed {
    /// It serves.
    Ready,
    /// A Worker has logged something.
    Log {
        /// `log`, `warn`, `error`, ...
        level: String,
        /// What.
        message: String,
    },
    /// Nothing of interest.
    Other,
}

impl Workerd {
    /// The runtime that set-up has installed.
    pub async fn new(repository: &Path) -> Result<Self> {
        let repository = repository.canonicalize().context("cannot find the repository")?;
        let node_modules = repository.join("node_modules");
        let program = node_modules.join("workerd/bin/workerd");
        let output = Command::new(&program).arg("--version").output().await;
        let output = output.with_context(|| format!("{} is missing: run `cargo xtask setup`", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let newest = text.trim().strip_prefix("workerd ").context("workerd does not print its version")?.to_owned();
        let own = repository.join("local-platform/namespace");
        Ok(Self { program, simulators: node_modules.join("miniflare/dist/src/workers"), own, newest })
    }

    /// The command that starts a process with a configuration file. Files and sockets are in the folder it runs in. The
    /// process ends with this thread, and cannot use more than [`MAX_DATA`].
    pub fn command(&self, folder: &Path, process: &str, file: &str, config: &Config) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "prlimit", &format!("--data={MAX_DATA}"), "--core=0"]);
        command.arg(&self.program).args(["serve", "--import-path=/", "--control-fd=1"]);
        if matches!(config, Config::Database { .. } | Config::Dispatcher(_)) {
            // For the simulator's own flags, and for the dispatch namespace. A script must not have experimental ones.
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

    /// Whether a process that printed this has used more memory than it may.
    pub fn is_out_of_memory(said: &str) -> bool {
        // What V8 prints before it gives up, and what the allocator prints.
        ["last resort; GC", "<--- Last few GCs", "Cannot allocate memory", "out of memory", "bad_alloc"]
            .iter()
            .any(|words| said.contains(words))
    }

    /// The text of a process's configuration.
    pub fn config(&self, process: &str, config: &Config) -> String {
        let mut services = Services::default();
        let mut text = String::new();
        let sockets = match config {
            Config::Worker(worker) => {
                self.worker(&mut text, &mut services, "script", worker);
                text = text.replacen("(globalOutbound", "(tails = [\"companion\"], globalOutbound", 1);
                let binding = "(name = \"SCRIPT\", service = \"script\")";
                self.own_worker(&mut text, &mut services, "companion", binding);
                if let Some(outbound) = &worker.outbound {
                    services.0.insert("outbound".to_owned(), "worker = .outbound".to_owned());
                    self.worker(&mut text, &mut services, "outbound", outbound);
                }
                String::new()
            }
            Config::Storage(worker) => {
                self.worker(&mut text, &mut services, "script", worker);
                http_socket(process, "script")
            }
            Config::Dispatcher(worker) => {
                self.worker(&mut text, &mut services, "script", worker);
                let binding = "(name = \"DISPATCHER\", service = \"script\")";
                self.own_worker(&mut text, &mut services, "entry", binding);
                http_socket(process, "entry")
            }
            Config::Database { folder } => {
                self.database(&mut text, &mut services, folder);
                http_socket(process, "script")
            }
        };
        services.0.insert("ping".to_owned(), "network = (allow = [])".to_owned());
        let mut all = String::from("using Workerd = import \"/workerd/workerd.capnp\";\n");
        all.push_str("const config :Workerd.Config = (structuredLogging = true,\n");
        line(&mut all, format_args!("v8Flags = [\"--max-old-space-size={MAX_HEAP_MIB}\"],"));
        all.push_str("services = [(name = \"script\", worker = .script),\n");
        for (name, service) in &services.0 {
            line(&mut all, format_args!("(name = {}, {service}),", quoted(name)));
        }
        all.push_str("],\n");
        let ping = quoted(&format!("unix:{process}{PING}"));
        line(
            &mut all,
            format_args!("sockets = [{sockets}(name = \"ping\", address = {ping}, http = (), service = \"ping\")],"),
        );
        line(&mut all, format_args!("extensions = [(modules = [{}])]);", self.extensions(config)));
        all + &text
    }

    fn worker(&self, text: &mut String, services: &mut Services, constant: &str, worker: &Worker) {
        // Other addresses of this machine and its network are for nobody.
        let mut allowed = vec![quoted("public")];
        allowed.extend(worker.is_trusted.then(|| quoted("private")));
        allowed.extend(worker.allow.iter().map(|block| quoted(&block.to_string())));
        let allowed = allowed.join(", ");
        let internet = format!("network = (allow = [{allowed}], tlsOptions = (trustBrowserCas = true))");
        services.0.insert("internet".to_owned(), internet);
        let cache = services.external(&format!("cache:{}", worker.name), "cache", &[("MF-Script", &worker.name)]);
        let outbound = if worker.outbound.is_some() { "outbound" } else { "internet" };
        line(
            text,
            format_args!(
                "const {constant} :Workerd.Worker = (globalOutbound = \"{outbound}\", cacheApiOutbound = {cache},"
            ),
        );
        let date = worker.compatibility_date.clone().min(self.newest.clone());
        let flags: Vec<String> = worker.compatibility_flags.iter().map(|flag| quoted(flag)).collect();
        line(text, format_args!("compatibilityDate = {}, compatibilityFlags = [{}],", quoted(&date), flags.join(", ")));
        match &worker.objects {
            Some(folder) => {
                services.0.insert("objects".to_owned(), disk(folder));
                text.push_str("durableObjectStorage = (localDisk = \"objects\"),\n");
            }
            None => text.push_str("durableObjectStorage = (inMemory = void),\n"),
        }
        text.push_str("durableObjectNamespaces = [");
        for (class, sql) in &worker.durable_objects {
            let key = quoted(&format!("{}-{class}", worker.name));
            line(text, format_args!("(className = {}, uniqueKey = {key}, enableSql = {sql}),", quoted(class)));
        }
        text.push_str("],\nbindings = [");
        for (name, binding) in &worker.bindings {
            line(text, format_args!("(name = {}, {}),", quoted(name), binding.config(services)));
        }
        text.push_str("],\n");
        let embedded = |module: &Module| format!("embed {}", quoted(&module.path.to_string_lossy()));
        if worker.has_no_exports {
            let main = worker.modules.first().map(embedded).unwrap_or_default();
            line(text, format_args!("serviceWorkerScript = {main});"));
            return;
        }
        text.push_str("modules = [");
        for module in &worker.modules {
            line(
                text,
                format_args!("(name = {}, {} = {}),", quoted(&module.name), module.kind.workerd(), embedded(module)),
            );
        }
        text.push_str("]);\n");
    }

    /// A Worker of the platform's own.
    fn own_worker(&self, text: &mut String, services: &mut Services, name: &str, bindings: &str) {
        services.0.insert(name.to_owned(), format!("worker = .{name}"));
        let path = quoted(&self.own.join(format!("{name}.js")).to_string_lossy());
        line(
            text,
            format_args!(
                "const {name} :Workerd.Worker = (compatibilityDate = {}, bindings = [{bindings}], modules = [(name = \
                 \"{name}.js\", esModule = embed {path})]);",
                quoted(&self.newest),
            ),
        );
    }

    /// Miniflare's simulator of D1, as its own configuration has it: an entry in front of a Durable Object for each database.
    fn database(&self, text: &mut String, services: &mut Services, folder: &Path) {
        let module = |name: &str| quoted(&self.simulators.join("d1").join(name).to_string_lossy());
        services.0.insert("databases".to_owned(), disk(folder));
        services.0.insert("objects".to_owned(), "worker = .objects".to_owned());
        line(
            text,
            format_args!(
                "const script :Workerd.Worker = (compatibilityDate = \"2023-07-24\", compatibilityFlags = \
                 [\"enhanced_error_serialization\"],\nmodules = [(name = \"entry.worker.js\", esModule = embed {})],\nbindings \
                 = [(name = \"MINIFLARE_OBJECT\", durableObjectNamespace = (className = \"D1DatabaseObject\", serviceName = \
                 \"objects\"))]);",
                module("entry.worker.js"),
            ),
        );
        line(
            text,
            format_args!(
                "const objects :Workerd.Worker = (compatibilityDate = \"2023-07-24\", compatibilityFlags = \
                 [\"nodejs_compat\", \"experimental\"],\nmodules = [(name = \"database.worker.js\", esModule = embed {})],\n\
                 durableObjectNamespaces = [(className = \"D1DatabaseObject\", uniqueKey = \
                 \"miniflare-D1DatabaseObject\")],\ndurableObjectStorage = (localDisk = \"databases\"),\nbindings = [(name = \
                 \"MINIFLARE_BLOBS\", service = \"databases\")]);",
                module("database.worker.js"),
            ),
        );
    }

    /// Miniflare's modules that wrap bindings or that its simulators import.
    fn extensions(&self, config: &Config) -> String {
        let simulator = |path: &str| self.simulators.join(path);
        let used = match config {
            Config::Worker(_) | Config::Storage(_) | Config::Dispatcher(_) => vec![
                (RATE_LIMIT, simulator("ratelimit/ratelimit.worker.js")),
                (DATASET, simulator("analytics-engine/analytics-engine.worker.js")),
                (NAMESPACE, self.own.join("processes.js")),
                (SERVICE, self.own.join("script.js")),
            ],
            Config::Database { .. } => vec![
                ("miniflare:shared", simulator("shared/index.worker.js")),
                ("miniflare:zod", simulator("shared/zod.worker.js")),
            ],
        };
        // An internal module is for the runtime alone: a simulator could not import it, and a script must not.
        let internal = !matches!(config, Config::Database { .. });
        let module = |(name, path): &(&str, PathBuf)| {
            let path = quoted(&path.to_string_lossy());
            format!("(name = {}, esModule = embed {path}, internal = {internal}),", quoted(name))
        };
        used.iter().map(module).collect()
    }
}

const RATE_LIMIT: &str = "cloudflare-internal:ratelimit:module";
const DATASET: &str = "analytics-engine:local-simulator";
const NAMESPACE: &str = "local-namespace:processes";
const SERVICE: &str = "local-namespace:script";

/// The inner binding that connects to other processes.
const PORT: &str = "(name = \"port\", workerdDebugPort = void)";

/// The services that a Worker reaches, by name: the rest of their configuration.
#[derive(Debug, Default)]
struct Services(BTreeMap<String, String>);

impl Services {
    /// A service behind a socket, with headers that are added to each request. Returns its name.
    fn external(&mut self, name: &str, socket: &str, headers: &[(&str, &str)]) -> String {
        let headers =
            headers.iter().map(|(name, value)| format!("(name = {}, value = {})", quoted(name), quoted(value)));
        let headers = headers.collect::<Vec<_>>().join(", ");
        let address = quoted(&format!("unix:{socket}"));
        let service = format!("external = (address = {address}, http = (injectRequestHeaders = [{headers}]))");
        self.0.insert(name.to_owned(), service);
        quoted(name)
    }

    /// A simulator, which finds the storage in a header.
    fn simulator(&mut self, kind: &str, socket: &str, id: &str) -> String {
        self.external(&format!("{kind}:{id}"), socket, &[("MF-Namespace", id)])
    }
}

impl Binding {
    fn config(&self, services: &mut Services) -> String {
        match self {
            Self::Text(text) => format!("text = {}", quoted(text)),
            Self::Json(json) => format!("json = {}", quoted(json)),
            Self::Kv(id) => format!("kvNamespace = {}", services.simulator("kv", "kv", id)),
            Self::Bucket(name) => format!("r2Bucket = {}", services.simulator("r2", "r2", name)),
            Self::Database(id) => {
                let service = services.simulator("d1", &database_socket(id), id);
                wrapped("cloudflare-internal:d1-api", &format!("(name = \"fetcher\", service = {service})"))
            }
            Self::RateLimit { namespace, limit, period } => {
                let service = services.simulator("ratelimit", "ratelimit", namespace);
                let inner = format!(
                    "(name = \"fetcher\", service = {service}), (name = \"limit\", json = \"{limit}\"), (name = \"period\", \
                     json = \"{period}\")"
                );
                wrapped(RATE_LIMIT, &inner)
            }
            Self::DurableObjects(class) => format!("durableObjectNamespace = {}", quoted(class)),
            Self::Dataset(name) => {
                let json = serde_json::Value::from(name.as_str()).to_string();
                wrapped(DATASET, &format!("(name = \"dataset\", json = {})", quoted(&json)))
            }
            Self::Queue => format!("queue = {}", services.external("queue", "queue", &[])),
            Self::Service(worker) => {
                let settings = json!({ "socket": HUB, "service": format!("core:user:{worker}") });
                wrapped(SERVICE, &format!("{PORT}, (name = \"settings\", json = {})", quoted(&settings.to_string())))
            }
            Self::Namespace(hosted) => {
                let supervisor = services.external("supervisor", SUPERVISOR, &[]);
                let settings = json!({ "sockets": SCRIPTS, "hub": HUB, "hosted": hosted }).to_string();
                let settings = quoted(&settings);
                let inner = format!(
                    "{PORT}, (name = \"supervisor\", service = {supervisor}), (name = \"settings\", json = {settings})"
                );
                wrapped(NAMESPACE, &inner)
            }
        }
    }
}

/// The folder of the scripts' sockets, in the folder that processes run in.
pub const SCRIPTS: &str = "scripts";

/// The socket of the hub's debug port, which leads to its Workers, likewise.
pub const HUB: &str = "hub";

/// The socket on which the supervisor answers the dispatch namespace, likewise.
pub const SUPERVISOR: &str = "supervisor";

/// The socket of a D1 database's process, relative to the folder that processes run in.
pub fn database_socket(id: &str) -> String {
    format!("databases/{id}")
}

fn http_socket(process: &str, service: &str) -> String {
    let address = quoted(&format!("unix:{process}.http"));
    format!("(name = \"http\", address = {address}, http = (), service = \"{service}\"),")
}

fn wrapped(module: &str, inner: &str) -> String {
    format!("wrapped = (moduleName = {}, innerBindings = [{inner}])", quoted(module))
}

fn disk(folder: &Path) -> String {
    format!("disk = (path = {}, writable = true)", quoted(&folder.to_string_lossy()))
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a string takes everything");
    text.push('\n');
}

/// A text as the configuration has it.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => write!(quoted, "\\x{byte:02x}").expect("a string takes everything"),
        }
    }
    quoted.push('"');
    quoted
}

impl Printed {
    /// Reads a line of standard output.
    pub fn read(line: &str) -> Self {
        let Ok(json) = serde_json::from_str::<serde_json::Value>(line) else {
            // A log line that was cut off.
            let is_log = line.starts_with("{\"timestamp\":");
            return if is_log { Self::Log { level: "log".to_owned(), message: line.to_owned() } } else { Self::Other };
        };
        if json["event"] == "listen" {
            return if json["socket"] == "debug-port" { Self::Ready } else { Self::Other };
        }
        match (json["level"].as_str(), json["message"].as_str()) {
            (Some(level), Some(message)) => Self::Log { level: level.to_owned(), message: message.to_owned() },
            _ => Self::Other,
        }
    }
}

/// The class of Durable Objects that workerd says a script does not export. It is a warning of workerd's; wrangler does not
/// start with it.
pub fn missing_class<'c>(said: &str, mut classes: impl Iterator<Item = &'c String>) -> Option<&'c str> {
    let warned = |class: &&String| {
        let named = format!("the class \"{class}\", but no such Durable Object class is exported");
        said.contains(&named) || said.contains(&format!("Incorrect type for map entry '{class}'"))
    };
    classes.find(warned).map(String::as_str)
}

/// The module that workerd does not find. Which words it has for that depends on the compatibility date.
fn missing_module(said: &str) -> Option<&str> {
    if let Some((_, rest)) = said.split_once("No such module \"") {
        return rest.split_once('"').map(|(module, _)| module);
    }
    let (_, rest) = said.split_once("Module not found: ")?;
    let url = rest.split(|end: char| end.is_whitespace() || end == '"').next()?.trim_end_matches('.');
    Some(url.strip_prefix("file:///bundle/").unwrap_or(url))
}

/// What workerd says without its warnings, which are not why a script does not start.
pub fn without_warnings(said: &str) -> String {
    let lines = said.lines().map(|line| line.trim_start_matches("service script: "));
    let lines = lines.filter(|line| !line.contains(": warning: ") && !line.contains(" became the default "));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// What workerd says, and what to do about it where that is known.
pub fn explained(said: &str) -> String {
    if let Some(module) = missing_module(said) {
        let advice = if module.starts_with("node:") {
            "set the compatibility flag `nodejs_compat`".to_owned()
        } else if module.contains(':') {
            "the runtime has no such module".to_owned()
        } else {
            format!(
                "modules are run as they are uploaded, without bundling. Bundle the script first, as `wrangler deploy` and \
                 esbuild do, or upload the module {module} as well"
            )
        };
        return format!("{said}\n{advice}");
    }
    if said.contains("Unrecognized import attributes") || said.contains("is not of type \"json\"") {
        return format!("{said}\nimport a .json module without `with {{ type: \"json\" }}`");
    }
    // What workerd could be told, Cloudflare cannot.
    match said.split_once(" is experimental and may break") {
        Some((flag, _)) => {
            format!("{flag} is experimental and cannot yet be used in Workers deployed to Cloudflare")
        }
        None => said.to_owned(),
    }
}

/// What a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// An ECMAScript module.
    EsModule,
    /// A module of Node's kind.
    CommonJs,
    /// WebAssembly.
    Wasm,
    /// A text.
    Text,
    /// Bytes.
    Data,
    /// JSON, which is kept as an ECMAScript module that exports what it says.
    Json,
}

impl ModuleKind {
    /// What a module of this media type is; `None` if the local runtime has nothing for it.
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

    /// Its name in workerd's configuration.
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

#[cfg(test)]
mod tests {
    use super::{explained, quoted, without_warnings};

    #[test]
    fn what_workerd_says_comes_with_advice() {
        for (said, advice) in [
            ("Uncaught Error: No such module \"lodash\".\n  imported from \"index.js\"", "Bundle the script first"),
            ("Uncaught Error: No such module \"node:fs\".", "`nodejs_compat`"),
            ("Uncaught Error: Module not found: file:///bundle/lodash", "upload the module lodash as well"),
            ("Uncaught Error: Module not found: cloudflare:nope", "the runtime has no such module"),
            ("Uncaught Error: Module not found: node:nope.\n at x", "`nodejs_compat`"),
            ("Uncaught TypeError: Module \"./x.json\" is not of type \"json\"", "without `with"),
            ("Uncaught Error: Unrecognized import attributes specified", "without `with"),
            (
                "The compatibility flag webgpu is experimental and may break or be removed in a future version of \
                 workerd. To use this flag, you must pass --experimental on the command line.",
                "webgpu is experimental and cannot yet be used in Workers deployed to Cloudflare",
            ),
            ("Uncaught SyntaxError: Unexpected token '}'", "Unexpected token '}'"),
        ] {
            let explained = explained(said);
            assert!(explained.contains(advice), "{explained}");
            assert!(!explained.contains("--experimental"), "{explained}");
        }
    }

    #[test]
    fn warnings_are_not_reasons() {
        let said = "service script: The compatibility flag nodejs_compat became the default as of 2026-01-01\n\
            workerd/server/server/worker.rs:468: warning: A DurableObjectNamespace in the config\n\
            service script: Uncaught Error: no\n  at index.js:1:7\n";
        assert_eq!(without_warnings(said), "Uncaught Error: no\n  at index.js:1:7");
    }

    #[test]
    fn a_text_cannot_end_itself() {
        for (text, expected) in [
            ("plain text", r#""plain text""#),
            (r#"a"; b = "c"#, r#""a\"; b = \"c""#),
            ("a\\", r#""a\\""#),
            ("a\nb\0ü", r#""a\x0ab\x00\xc3\xbc""#),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
