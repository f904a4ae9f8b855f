//! The results as Markdown, and the limits that were exceeded.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::routes::Class;
use crate::run_mode::RunMode;
use crate::sizes::Size;
use crate::storage::StorageOperation;
use crate::workerd::MeasuredWorker;

/// All results.
#[derive(Debug)]
pub struct BenchReport {
    /// How much was measured.
    pub mode: RunMode,
    /// The CPU time of each route.
    pub routes: Vec<RouteResult>,
    /// The start-up time of each Worker.
    pub start_ups: Vec<StartUp>,
    /// The size of each Worker.
    pub sizes: Vec<Size>,
}

/// The results of a route.
#[derive(Debug)]
pub struct RouteResult {
    /// The route's name.
    pub name: &'static str,
    /// The route's class, which has the limit.
    pub class: Class,
    /// The Workers' CPU time per request, in seconds.
    pub rust: Spread,
    /// The twins' CPU time per request, in seconds.
    pub javascript: Spread,
    /// The Workers' CPU time divided by the twins'.
    pub ratio: Spread,
    /// The number of storage operations per request.
    pub operations: BTreeMap<StorageOperation, f64>,
    /// How many requests to the Workers were measured.
    pub requests: u64,
    /// How often the Workers wrote usage counts during the measurement.
    pub usage_writes: u64,
}

/// The time from the start of workerd to a Worker's first reply.
#[derive(Debug)]
pub struct StartUp {
    /// The Worker.
    pub worker: MeasuredWorker,
    /// The Worker's fastest start, in seconds. Slower starts were delayed by other processes.
    pub rust: f64,
    /// The twin's fastest start, in seconds.
    pub javascript: f64,
}

impl RouteResult {
    fn is_over(&self) -> bool {
        self.ratio.median > self.class.limit()
    }
}

impl StartUp {
    /// The limit of the difference, in seconds.
    const LIMIT: f64 = 0.010;

    fn difference(&self) -> f64 {
        self.rust - self.javascript
    }

    fn is_over(&self) -> bool {
        self.difference() > Self::LIMIT
    }
}

/// A median and its quartiles.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    /// Computes the spread of at least one value.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let quartile = |number: usize| {
            let quarters = (values.len() - 1) * number;
            let (below, above) = (values[quarters / 4], values[quarters.div_ceil(4)]);
            below + (above - below) * [0.0, 0.25, 0.5, 0.75][quarters % 4]
        };
        Self { low: quartile(1), median: quartile(2), high: quartile(3) }
    }
}

impl Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { low, median, high } = self;
        let decimals = formatter.precision().unwrap_or(3);
        write!(formatter, "{median:.decimals$} ({low:.decimals$} to {high:.decimals$})")
    }
}

impl BenchReport {
    /// Formats the report as Markdown.
    pub fn to_markdown(&self) -> Result<String> {
        let mut text = String::new();
        let note = if self.judges_times() {
            "The quartiles are in parentheses."
        } else {
            "**This was a short run: its times mean nothing.**"
        };
        writeln!(text, "Measured on {}.\n{note}\n", machine()?)?;
        writeln!(text, "| Route | Class | Rust, µs | JS, µs | Rust / JS | Limit | Storage operations |")?;
        writeln!(text, "| --- | --- | --- | --- | --- | --- | --- |")?;
        for route in &self.routes {
            let RouteResult { name, class, rust, javascript, ratio, operations, .. } = route;
            let [rust, javascript] = [rust, javascript].map(|side| side.median * 1e6);
            let operations: Vec<String> =
                operations.iter().map(|(operation, count)| format!("{count} {operation}")).collect();
            let operations = if operations.is_empty() { "none".to_owned() } else { operations.join(", ") };
            let over = if self.judges_times() && route.is_over() { " (over)" } else { "" };
            let (class, limit) = (class.name(), class.limit());
            write!(text, "| {name} | {class} | {rust:.0} | {javascript:.0} | {ratio} | {limit:.2}{over} ")?;
            writeln!(text, "| {operations} |")?;
        }
        let requests: u64 = self.routes.iter().map(|route| route.requests).sum();
        let usage_writes: u64 = self.routes.iter().map(|route| route.usage_writes).sum();
        writeln!(text, "\nDuring {requests} requests, usage counts were written {usage_writes} times.")?;
        if !self.start_ups.is_empty() {
            writeln!(text)?;
        }
        for (start, size) in self.start_ups.iter().zip(&self.sizes) {
            let (worker, limit, difference) = (start.worker.name(), StartUp::LIMIT * 1e3, start.difference() * 1e3);
            let (rust, javascript) = (start.rust * 1e3, start.javascript * 1e3);
            writeln!(text, "- {worker}: first reply after {rust:.1} ms, the twin's after {javascript:.1} ms;")?;
            writeln!(text, "  difference {difference:.1} ms, limit {limit} ms.")?;
            let Size { wasm, javascript, text: texts, .. } = size;
            let (code, limit) = (size.code(), size.limit());
            write!(text, "  Size {code} bytes compressed (Wasm {wasm}, JavaScript {javascript}), limit {limit}")?;
            writeln!(text, "; text {texts}.")?;
        }
        let over = self.over_the_limit();
        if over.is_empty() {
            writeln!(text, "\nEverything that was judged is within its limit.")?;
        } else {
            writeln!(text, "\nOver the limit:\n\n- {}", over.join("\n- "))?;
        }
        Ok(text)
    }

    fn judges_times(&self) -> bool {
        matches!(self.mode, RunMode::Full)
    }

    /// Returns a line for each exceeded limit. The times of a short run are ignored.
    #[must_use]
    pub fn over_the_limit(&self) -> Vec<String> {
        let routes =
            self.routes.iter().filter(|route| route.is_over()).map(|RouteResult { name, class, ratio, .. }| {
                format!("{name}: {ratio} of the twin's CPU time, limit {:.2}", class.limit())
            });
        let starts = self.start_ups.iter().filter(|start| start.is_over()).map(|start| {
            let (difference, limit) = (start.difference() * 1e3, StartUp::LIMIT * 1e3);
            format!("{}: starts {difference:.1} ms after its twin, limit {limit} ms", start.worker.name())
        });
        let sizes =
            self.sizes.iter().filter(|size| size.code() > size.limit()).map(|size| {
                format!("{}: {} bytes compressed, limit {}", size.worker.name(), size.code(), size.limit())
            });
        if self.judges_times() { routes.chain(starts).chain(sizes).collect() } else { sizes.collect() }
    }

    /// Replaces the text between a document's markers with the report.
    pub fn write_into(&self, document: &Path) -> Result<()> {
        const MARKERS: [&str; 2] = ["<!-- cargo xtask bench writes this -->\n", "<!-- end -->"];
        let text = fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))?;
        let parts =
            text.split_once(MARKERS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKERS[1])?.1)));
        let (before, after) =
            parts.with_context(|| format!("{} has no markers for the results", document.display()))?;
        let text = format!("{before}{}\n{}\n{}{after}", MARKERS[0], self.to_markdown()?, MARKERS[1]);
        fs::write(document, text).with_context(|| format!("cannot write {}", document.display()))
    }
}

/// Describes the machine: its processors and its memory.
fn machine() -> Result<String> {
    let read = |path| fs::read_to_string(path).with_context(|| format!("cannot read {path}: this needs Linux"));
    let (processors, memory) = (read("/proc/cpuinfo")?, read("/proc/meminfo")?);
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let kib: u64 = field(&memory, "MemTotal").trim_end_matches(" kB").parse().context("/proc/meminfo has no size")?;
    Ok(format!("{count} × {}, {} GiB", field(&processors, "model name"), kib >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(mode: RunMode, ratio: f64, seconds: f64, wasm: usize) -> BenchReport {
        let spread = |value: f64| Spread::of([value].into_iter());
        let route = RouteResult {
            name: "GET /",
            class: Class::Small,
            rust: spread(ratio),
            javascript: spread(1.0),
            ratio: spread(ratio),
            operations: BTreeMap::new(),
            requests: 1,
            usage_writes: 0,
        };
        let worker = MeasuredWorker::Dispatcher;
        let start = StartUp { worker, rust: seconds, javascript: 0.0 };
        BenchReport {
            mode,
            routes: vec![route],
            start_ups: vec![start],
            sizes: vec![Size { worker, javascript: 0, wasm, text: 0 }],
        }
    }

    #[test]
    fn each_exceeded_limit_is_reported() {
        assert!(report(RunMode::Full, 1.4, 0.01, 80_000).over_the_limit().is_empty());
        let over = report(RunMode::Full, 1.401, 0.0101, 80_001).over_the_limit();
        assert_eq!(
            over,
            [
                "GET /: 1.401 (1.401 to 1.401) of the twin's CPU time, limit 1.40",
                "dispatcher: starts 10.1 ms after its twin, limit 10 ms",
                "dispatcher: 80001 bytes compressed, limit 80000",
            ]
        );
    }

    #[test]
    fn a_short_run_ignores_times() {
        assert!(report(RunMode::Short, 9.0, 9.0, 80_000).over_the_limit().is_empty());
        assert_eq!(report(RunMode::Short, 9.0, 9.0, 80_001).over_the_limit().len(), 1);
    }

    #[test]
    fn quartiles_are_interpolated() {
        let Spread { low, median, high } = Spread::of([4.0, 1.0, 2.0, 3.0].into_iter());
        assert_eq!([low, median, high].map(|value| format!("{value}")), ["1.75", "2.5", "3.25"]);
    }
}
