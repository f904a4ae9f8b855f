//! Checks a script before it is taken: that it starts. Cloudflare refuses one that does not; here, it would keep the runtime of
//! all customers from starting.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::account::{Modules, Script};

/// How long a script may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a command until standard input closes: should this process be killed, the kernel closes the pipe, and nothing is left
/// running. The shell keeps none of the command's pipes open, so that their ends are the command's.
const END_WITH_PARENT: &str = "exec 3<&0; \"$@\" 3<&- & exec >&- 2>&-; read -r _ <&3; kill -9 $!; wait";

/// What keeps a script from starting.
#[derive(Debug)]
pub enum Fault {
    /// It does not export a class of Durable Objects that it has.
    NoClass(String),
    /// Anything else, in workerd's words.
    Start(String),
}

/// The class of Durable Objects that workerd says a script does not export. It is a warning of workerd's; wrangler does not
/// start with it.
fn missing_class(said: &str, script: &Script) -> Option<String> {
    let warned = |class: &&String| {
        let named = format!("the class \"{class}\", but no such Durable Object class is exported");
        said.contains(&named) || said.contains(&format!("Incorrect type for map entry '{class}'"))
    };
    script.durable_objects.keys().find(warned).cloned()
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
fn without_warnings(said: &str) -> String {
    let lines = said.lines().map(|line| line.trim_start_matches("service script: "));
    let lines = lines.filter(|line| !line.contains(": warning: ") && !line.contains(" became the default "));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// What workerd says, and what to do about it where that is known.
fn explained(said: &str) -> String {
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

/// Runs scripts by themselves.
#[derive(Debug)]
pub struct Checker {
    workerd: PathBuf,
    /// The newest compatibility date that the runtime knows.
    newest: String,
}

impl Checker {
    /// A checker with the runtime that set-up has installed.
    pub async fn new(repository: &Path) -> Result<Self> {
        let workerd = repository.join("node_modules/workerd/bin/workerd");
        let output = Command::new(&workerd).arg("--version").stdin(Stdio::null()).output().await;
        let output = output.with_context(|| format!("{} is missing: run `cargo xtask setup`", workerd.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let newest = text.trim().strip_prefix("workerd ").context("workerd does not say its version")?.to_owned();
        Ok(Self { workerd, newest })
    }

    /// Starts a script whose modules are in a folder, without its storage. Answers how long that took, or what keeps it from
    /// starting.
    pub async fn check(&self, folder: &Path, script: &Script, modules: &Modules) -> Result<Result<Duration, Fault>> {
        let config = self.config(script, modules);
        let file = NamedTempFile::with_suffix_in(".capnp", folder).context("cannot write beside the modules")?;
        fs::write(file.path(), config).context("cannot write beside the modules")?;
        let started = Instant::now();
        let mut process = Command::new("sh")
            .args(["-c", END_WITH_PARENT, "sh"])
            .arg(&self.workerd)
            .args(["serve", "--control-fd=1"])
            .arg(file.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.workerd.display()))?;
        let mut output = BufReader::new(process.stdout.take().context("stdout is piped")?);
        let mut errors = process.stderr.take().context("stderr is piped")?;
        let said = tokio::spawn(async move {
            let mut said = String::new();
            errors.read_to_string(&mut said).await.map(|_| said)
        });
        // It says where it listens once the script has started; else it ends.
        let first = timeout(START_TIMEOUT, output.read_u8()).await;
        let elapsed = started.elapsed();
        drop(process.stdin.take());
        process.wait().await.context("cannot wait for workerd")?;
        let said = said.await.context("nothing panics")?.context("cannot read what workerd says")?;
        Ok(match first {
            Ok(Ok(_)) => match missing_class(&said, script) {
                Some(class) => Err(Fault::NoClass(class)),
                None => Ok(elapsed),
            },
            Ok(Err(_)) => Err(Fault::Start(explained(&without_warnings(&said)))),
            Err(_) => {
                let reason = format!("the script did not start within {} seconds", START_TIMEOUT.as_secs());
                Err(Fault::Start(reason))
            }
        })
    }

    /// The runtime's configuration: <https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp>.
    fn config(&self, script: &Script, modules: &Modules) -> String {
        let mut text = String::from("using Workerd = import \"/workerd/workerd.capnp\";\n");
        text.push_str("const config :Workerd.Config = (services = [(name = \"script\", worker = .script)],\n");
        text.push_str("sockets = [(name = \"s\", address = \"127.0.0.1:0\", http = (), service = \"script\")]);\n");
        text.push_str("const script :Workerd.Worker = (durableObjectStorage = (inMemory = void),\n");
        let date = script.compatibility_date.clone().min(self.newest.clone());
        let flags: Vec<String> = script.compatibility_flags.iter().map(|flag| quoted(flag)).collect();
        put(
            &mut text,
            format_args!("compatibilityDate = {}, compatibilityFlags = [{}],", quoted(&date), flags.join(", ")),
        );
        text.push_str("durableObjectNamespaces = [");
        for class in script.durable_objects.keys() {
            put(&mut text, format_args!("(className = {0}, uniqueKey = {0}),", quoted(class)));
        }
        text.push_str("],\nbindings = [");
        for binding in &script.bindings {
            // What code that runs at the start can use; nothing else can be used there.
            let value = match binding.get("type").and_then(Value::as_str) {
                Some("plain_text" | "secret_text") => {
                    format!("text = {}", quoted(binding.get("text").and_then(Value::as_str).unwrap_or_default()))
                }
                Some("json") => format!("json = {}", quoted(&binding.get("json").unwrap_or(&Value::Null).to_string())),
                _ => continue,
            };
            let name = binding.get("name").and_then(Value::as_str).unwrap_or_default();
            put(&mut text, format_args!("(name = {}, {value}),", quoted(name)));
        }
        text.push_str("],\n");
        if modules.service_worker {
            put(&mut text, format_args!("serviceWorkerScript = embed {});", quoted(&modules.main)));
            return text;
        }
        text.push_str("modules = [");
        let main = modules.media_types.get_key_value(&modules.main);
        let others = modules.media_types.iter().filter(|(name, _)| **name != modules.main);
        for (name, media_type) in main.into_iter().chain(others) {
            let Some(kind) = ModuleKind::of(media_type) else { continue };
            put(&mut text, format_args!("(name = {0}, {1} = embed {0}),", quoted(name), kind.workerd()));
        }
        text.push_str("]);\n");
        text
    }
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a string takes everything");
    text.push('\n');
}

/// A text as the configuration has it.
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
    fn workerd(self) -> &'static str {
        match self {
            Self::EsModule | Self::Json => "esModule",
            Self::CommonJs => "commonJsModule",
            Self::Wasm => "wasm",
            Self::Text => "text",
            Self::Data => "data",
        }
    }

    /// Its name in a wrangler file's `rules`.
    pub fn wrangler(self) -> &'static str {
        match self {
            Self::EsModule | Self::Json => "ESModule",
            Self::CommonJs => "CommonJS",
            Self::Wasm => "CompiledWasm",
            Self::Text => "Text",
            Self::Data => "Data",
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
