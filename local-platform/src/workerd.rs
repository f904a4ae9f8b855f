//! Everything that depends on workerd's internals: its configuration, its command line and its output.
//!
//! The configuration's schema is <https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp>.
//! Workers reach Miniflare's simulators in the same way as in Miniflare; see `local-platform/namespace/`.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::process::Command;

use super::address_block::AddressBlock;

/// The limit of a process's data, in bytes. workerd does not start with less than 512 MiB.
const MAX_DATA: u64 = 1 << 30;

/// The limit of JavaScript values, in MiB. It is the same as on Cloudflare:
/// <https://developers.cloudflare.com/workers/platform/limits/>.
const MAX_HEAP_MIB: u64 = 128;

/// The suffix of the socket on which a process shows that it is alive.
const PING: &str = ".ping";

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

/// Why a process does not start or has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The script does not export this class of Durable Objects, which it is configured with.
    NoClass(String),
    /// The script does not start, for the reason that workerd gives.
    Start(String),
    /// The process exceeded its memory limit.
    Memory,
    /// The process was busy for too long without a sign of life.
    Cpu,
    /// The process was ended on purpose.
    Stopped,
    /// Any other failure.
    Crash(String),
}

impl fmt::Display for Failure {
    /// Formats a failure in the words of Cloudflare's runtime, if it has any for it. The dispatcher recognizes these.
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

/// A line of a process's output.
#[derive(Debug, PartialEq, Eq)]
pub enum Printed {
    /// The process is ready to serve.
    Ready,
    /// A Worker has logged a message.
    Log {
        /// The level: `log`, `warn`, `error`, ...
        level: String,
        /// The message.
        message: String,
    },
    /// Any other line.
    Other,
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
        Ok(Self { program, simulators: node_modules.join("miniflare/dist/src/workers"), own, newest })
    }

    /// Returns the command that starts a process with a configuration file. The process runs in the folder that
    /// contains its files and sockets. It is killed when the thread that spawned it ends, and cannot use more than
    /// [`MAX_DATA`].
    pub fn command(&self, folder: &Path, process: &str, file: &str, config: &Config) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "prlimit", &format!("--data={MAX_DATA}"), "--core=0"]);
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

    /// Whether the output of a process shows that it ran out of memory.
    pub fn is_out_of_memory(output: &str) -> bool {
        // Messages of V8 and of memory allocators.
        ["last resort; GC", "<--- Last few GCs", "Cannot allocate memory", "out of memory", "bad_alloc"]
            .iter()
            .any(|words| output.contains(words))
    }

    /// Returns the text of a process's configuration file.
    pub fn config(&self, process: &str, config: &Config) -> String {
        let mut services = Services::default();
        let mut text = String::new();
        let sockets = match config {
            Config::Worker(worker) => {
                self.worker(&mut text, &mut services, "script", &["companion"], worker);
                let binding = "(name = \"SCRIPT\", service = \"script\")";
                self.own_worker(&mut text, &mut services, "companion", binding);
                if let Some(outbound) = &worker.outbound {
                    services.0.insert("outbound".to_owned(), "worker = .outbound".to_owned());
                    self.worker(&mut text, &mut services, "outbound", &[], outbound);
                }
                String::new()
            }
            Config::Storage(worker) => {
                self.worker(&mut text, &mut services, "script", &[], worker);
                http_socket(process, "script")
            }
            Config::Dispatcher(worker) => {
                self.worker(&mut text, &mut services, "script", &[], worker);
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

    /// Adds a Worker whose exceptions and log lines go to the `tails` as well.
    fn worker(&self, text: &mut String, services: &mut Services, constant: &str, tails: &[&str], worker: &Worker) {
        // Only the operator's own Workers may connect to this machine and its network.
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
        let tails: Vec<String> = tails.iter().map(|service| quoted(service)).collect();
        line(text, format_args!("tails = [{}],", tails.join(", ")));
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

    /// Adds one of the platform's own Workers.
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

    /// Adds Miniflare's simulator of D1, configured as in Miniflare: an entry Worker in front of a Durable Object for
    /// each database.
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

    /// Returns the modules that wrap bindings or that Miniflare's simulators import.
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
        // Only the runtime can import internal modules. The simulator of D1 must be able to import its modules, but
        // scripts must not import the others.
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

/// The services that a process's Workers can reach: their configuration by name.
#[derive(Debug, Default)]
struct Services(BTreeMap<String, String>);

impl Services {
    /// Adds a service behind a socket. The runtime adds the headers to each request. Returns the service's quoted name.
    fn external(&mut self, name: &str, socket: &str, headers: &[(&str, &str)]) -> String {
        let headers =
            headers.iter().map(|(name, value)| format!("(name = {}, value = {})", quoted(name), quoted(value)));
        let headers = headers.collect::<Vec<_>>().join(", ");
        let address = quoted(&format!("unix:{socket}"));
        let service = format!("external = (address = {address}, http = (injectRequestHeaders = [{headers}]))");
        self.0.insert(name.to_owned(), service);
        quoted(name)
    }

    /// Adds a simulator, which reads the storage's id from a header. Returns the service's quoted name.
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
            Self::Service { worker, entrypoint } => {
                let service = format!("core:user:{worker}");
                let settings = json!({ "socket": HUB, "service": service, "entrypoint": entrypoint });
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

/// Formats a text as a quoted string of the configuration.
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
    /// Parses a line of a process's output.
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

/// Returns the class of Durable Objects that is not exported according to workerd's output. workerd only warns about
/// it, but wrangler does not start such a script.
pub fn missing_class<'c>(output: &str, mut classes: impl Iterator<Item = &'c String>) -> Option<&'c str> {
    let warned = |class: &&String| {
        let named = format!("the class \"{class}\", but no such Durable Object class is exported");
        output.contains(&named) || output.contains(&format!("Incorrect type for map entry '{class}'"))
    };
    classes.find(warned).map(String::as_str)
}

/// Returns the module that workerd cannot find. The message depends on the compatibility date.
fn missing_module(output: &str) -> Option<&str> {
    if let Some((_, rest)) = output.split_once("No such module \"") {
        return rest.split_once('"').map(|(module, _)| module);
    }
    let (_, rest) = output.split_once("Module not found: ")?;
    let url = rest.split(|end: char| end.is_whitespace() || end == '"').next()?.trim_end_matches('.');
    Some(url.strip_prefix("file:///bundle/").unwrap_or(url))
}

/// Removes warnings from workerd's output. They do not explain why a script does not start.
pub fn without_warnings(output: &str) -> String {
    let lines = output.lines().map(|line| line.trim_start_matches("service script: "));
    let lines = lines.filter(|line| !line.contains(": warning: ") && !line.contains(" became the default "));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// Adds advice to workerd's output if the cause is known.
pub fn explained(output: &str) -> String {
    if let Some(module) = missing_module(output) {
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
        return format!("{output}\n{advice}");
    }
    if output.contains("Unrecognized import attributes") || output.contains("is not of type \"json\"") {
        return format!("{output}\nimport a .json module without `with {{ type: \"json\" }}`");
    }
    // workerd suggests a command-line flag, which does not exist on Cloudflare.
    match output.split_once(" is experimental and may break") {
        Some((flag, _)) => {
            format!("{flag} is experimental and cannot yet be used in Workers deployed to Cloudflare")
        }
        None => output.to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::{explained, quoted, without_warnings};

    #[test]
    fn errors_of_workerd_come_with_advice() {
        for (output, advice) in [
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
            let explained = explained(output);
            assert!(explained.contains(advice), "{explained}");
            assert!(!explained.contains("--experimental"), "{explained}");
        }
    }

    #[test]
    fn warnings_are_not_reasons() {
        let output = "service script: The compatibility flag nodejs_compat became the default as of 2026-01-01\n\
            workerd/server/server/worker.rs:468: warning: A DurableObjectNamespace in the config\n\
            service script: Uncaught Error: no\n  at index.js:1:7\n";
        assert_eq!(without_warnings(output), "Uncaught Error: no\n  at index.js:1:7");
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
