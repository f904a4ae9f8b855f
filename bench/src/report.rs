//! What was measured, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::fs;
use std::ops::Add;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Serialize, Serializer};

use crate::obvious;
use crate::routes::{Route, Through};
use crate::sizes::Size;
use crate::storage::Operation;

/// Everything.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What it was measured on.
    pub machine: Machine,
    /// How often each side was.
    pub rounds: usize,
    /// Each route.
    pub routes: Vec<Measured>,
    /// Each Worker's first reply.
    pub start_ups: Vec<StartUp>,
    /// Each Worker's size.
    pub sizes: Vec<Size>,
}

/// A machine.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    processor: String,
    processors: usize,
    memory: u64,
    system: String,
}

/// A route.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// The route.
    #[serde(flatten, serialize_with = "name_and_group")]
    pub route: Arc<Route>,
    /// The Workers.
    pub rust: Side,
    /// Their twins.
    pub javascript: Side,
    /// The Workers' CPU time divided by the twins', a round after another.
    pub ratio: Spread,
    /// What the ratio's median may be.
    pub limit: f64,
}

/// One side of a route.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// CPU time a request, in seconds.
    pub cpu: Spread,
    /// Requests a second.
    pub throughput: Spread,
    /// Latency, in seconds.
    pub p50: Spread,
    /// Latency, in seconds.
    pub p99: Spread,
    /// The runtime's most memory, in bytes.
    pub peak_memory: u64,
    /// How many requests were measured.
    pub requests: u64,
    /// Storage operations a request.
    pub operations: BTreeMap<Operation, f64>,
    /// Writes of usage counts, in all rounds together.
    pub usage_writes: u64,
}

/// A Worker's first reply, in seconds after the start of the runtime.
#[derive(Debug, Serialize)]
pub struct StartUp {
    /// The Worker.
    pub worker: &'static str,
    /// It.
    pub rust: Spread,
    /// Its twin.
    pub javascript: Spread,
    /// How much more the Worker takes than its twin, of two starts next to each other.
    pub more: Spread,
}

/// What the middle half of the slices measured, and the median.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// The first quartile.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The third quartile.
    pub high: f64,
}

impl Spread {
    /// Of one value at least.
    pub fn of(values: &[f64]) -> Self {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index"
        )]
        let quantile = |part: f64| {
            let at = part * (values.len() - 1) as f64;
            let (below, above) = (values[at.floor() as usize], values[at.ceil() as usize]);
            below + (above - below) * at.fract()
        };
        Self { low: quantile(0.25), median: quantile(0.5), high: quantile(0.75) }
    }

    fn scaled(self, factor: f64, decimals: usize) -> String {
        let [low, median, high] = [self.low, self.median, self.high].map(|value| value * factor);
        format!("{median:.decimals$} ({low:.decimals$} to {high:.decimals$})")
    }
}

impl Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.scaled(1.0, 2))
    }
}

impl Machine {
    /// The one that this runs on.
    pub fn this() -> Result<Self> {
        let read = |path| fs::read_to_string(path).with_context(|| format!("cannot read {path}: this needs Linux"));
        let processors = read("/proc/cpuinfo")?.lines().filter(|line| line.starts_with("processor")).count();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let memory = field(&read("/proc/meminfo")?, "MemTotal");
        let kib: u64 = memory.trim_end_matches(" kB").parse().context("/proc/meminfo says no size")?;
        Ok(Self {
            processor: field(&read("/proc/cpuinfo")?, "model name"),
            processors,
            memory: kib * 1024,
            system: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }
}

impl Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = self.memory >> 30;
        write!(formatter, "{} × {}, {gib} GiB, Linux {}", self.processors, self.processor, self.system)
    }
}

impl Report {
    /// Tables for people.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        self.write_markdown(&mut text).expect("a string takes everything");
        text
    }

    fn write_markdown(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "Measured on {}, {} rounds: the median, and the quartiles.\n", self.machine, self.rounds)?;
        for (title, both) in [("Through the dispatcher alone", false), ("Through both Workers", true)] {
            let routes = self.routes.iter().filter(|measured| (measured.route.through == Through::Both) == both);
            if routes.clone().next().is_none() {
                continue;
            }
            writeln!(text, "### {title}\n")?;
            writeln!(text, "| route | CPU a request, Rust, µs | JavaScript, µs | Rust / JavaScript | at most |")?;
            writeln!(text, "| --- | --- | --- | --- | --- |")?;
            for Measured { route, rust, javascript, ratio, limit } in routes.clone() {
                let over = if ratio.median > *limit { " **over**" } else { "" };
                let (rust, javascript) = (rust.cpu.scaled(1e6, 0), javascript.cpu.scaled(1e6, 0));
                // Limits have two decimals: a third says on which side of them it is.
                let ratio = ratio.scaled(1.0, 3);
                writeln!(text, "| `{}` | {rust} | {javascript} | {ratio}{over} | {limit:.2} |", route.name)?;
            }
            writeln!(
                text,
                "\n| route | requests/s, Rust | JavaScript | p50, ms, Rust | JavaScript | p99, ms, Rust | JavaScript | peak, MiB, Rust | JavaScript |"
            )?;
            writeln!(text, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")?;
            for Measured { route, rust, javascript, .. } in routes {
                writeln!(
                    text,
                    "| `{}` | {} | {} | {} | {} | {} | {} | {} | {} |",
                    route.name,
                    rust.throughput.scaled(1.0, 0),
                    javascript.throughput.scaled(1.0, 0),
                    rust.p50.scaled(1e3, 2),
                    javascript.p50.scaled(1e3, 2),
                    rust.p99.scaled(1e3, 2),
                    javascript.p99.scaled(1e3, 2),
                    rust.peak_memory >> 20,
                    javascript.peak_memory >> 20,
                )?;
            }
            writeln!(text)?;
        }
        self.write_operations(text)?;
        if self.start_ups.is_empty() {
            return Ok(());
        }
        writeln!(text, "\n### Start and size\n")?;
        writeln!(
            text,
            "| Worker | first reply, ms, Rust | JavaScript | more, at most 10 | Wasm + glue, KB compressed | JavaScript |"
        )?;
        writeln!(text, "| --- | --- | --- | --- | --- | --- |")?;
        for (start_up, size) in self.start_ups.iter().zip(&self.sizes) {
            let kb = |bytes: usize| format!("{}.{}", bytes / 1000, bytes / 100 % 10);
            writeln!(
                text,
                "| {} | {} | {} | {} | {} + {} = {} | {} |",
                start_up.worker,
                start_up.rust.scaled(1e3, 1),
                start_up.javascript.scaled(1e3, 1),
                start_up.more.scaled(1e3, 1),
                kb(size.wasm),
                kb(size.glue),
                kb(size.wasm + size.glue),
                kb(size.javascript)
            )?;
        }
        Ok(())
    }

    fn write_operations(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "### Storage operations\n")?;
        writeln!(
            text,
            "| route | a request | usage writes, of all requests measured | a million requests | the obvious way |"
        )?;
        writeln!(text, "| --- | --- | --- | --- | --- |")?;
        for Measured { route, rust, .. } in self.routes.iter().filter(|one| one.route.through == Through::Both) {
            let operations: Vec<String> =
                rust.operations.iter().map(|(operation, count)| format!("{count:.2} {operation}")).collect();
            let operations = if operations.is_empty() { "none".to_owned() } else { operations.join(", ") };
            let obvious = obvious::operations(route).iter().map(|operation| operation.price()).fold(0.0, Add::add);
            let (usage_writes, requests, cost) = (rust.usage_writes, rust.requests, cost(&rust.operations));
            let name = route.name;
            writeln!(text, "| `{name}` | {operations} | {usage_writes} of {requests} | ${cost:.2} | ${obvious:.2} |")?;
        }
        Ok(())
    }

    /// Writes the figures as JSON.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self).context("the report cannot be written")?;
        fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
    }
}

/// US dollars for a million requests.
fn cost(operations: &BTreeMap<Operation, f64>) -> f64 {
    operations.iter().map(|(operation, count)| operation.price() * count).fold(0.0, Add::add)
}

/// Puts the tables into a document, between the marks that it has for them.
pub fn put_into(document: &Path, tables: &str) -> Result<()> {
    const MARKS: [&str; 2] = ["<!-- tables of cargo xtask bench -->\n", "<!-- end of the tables -->"];
    let text = fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))?;
    let parts = text.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
    let (before, after) = parts.with_context(|| format!("{} has no place for the tables", document.display()))?;
    let text = format!("{before}{}\n{tables}\n{}{after}", MARKS[0], MARKS[1]);
    fs::write(document, text).with_context(|| format!("cannot write {}", document.display()))
}

fn name_and_group<S: Serializer>(route: &Arc<Route>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct NameAndGroup {
        name: &'static str,
        through: &'static str,
    }
    let through = match route.through {
        Through::Dispatcher => "dispatcher",
        Through::DispatcherWithToken => "dispatcher with token",
        Through::Both => "both",
    };
    NameAndGroup { name: route.name, through }.serialize(serializer)
}
