//! What workerd prints, and why a process does not start or has ended.

use std::fmt;

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

/// Whether the output of a process shows that it ran out of memory.
pub fn is_out_of_memory(output: &str) -> bool {
    // Messages of V8 and of memory allocators.
    ["last resort; GC", "<--- Last few GCs", "Cannot allocate memory", "out of memory", "bad_alloc"]
        .iter()
        .any(|words| output.contains(words))
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

#[cfg(test)]
mod tests {
    use super::{explained, without_warnings};

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
}
