//! The text of a process's configuration file. Its schema is
//! <https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp>.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Binding, Config, HUB, Module, SCRIPTS, SUPERVISOR, Worker, Workerd, database_socket};

/// The limit of JavaScript values, in MiB. It is the same as on Cloudflare:
/// <https://developers.cloudflare.com/workers/platform/limits/>.
const MAX_HEAP_MIB: u64 = 128;

/// The suffix of the socket on which a process shows that it is alive.
const PING: &str = ".ping";

const RATE_LIMIT: &str = "cloudflare-internal:ratelimit:module";

const DATASET: &str = "analytics-engine:local-simulator";

const NAMESPACE: &str = "local-namespace:processes";

const SERVICE: &str = "local-namespace:script";

/// The inner binding that connects to other processes.
const PORT: &str = "(name = \"port\", workerdDebugPort = void)";

impl Workerd {
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
fn quoted(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::quoted;

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
