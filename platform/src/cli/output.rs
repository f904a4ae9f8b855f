//! The tool's output and exit codes.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use platform::customers::{Audit, CustomerReport};
use serde::Serialize;
use serde_json::json;

use super::view;

/// The description of exit codes in `--help`.
pub const EXIT_CODES: &str = "Exit codes: 0 success; 1 failure; 2 wrong usage; 3 some customers failed and the others succeeded; 4 the audit found bindings to resources of others that no manifest marks as shared.";

const WRONG_USAGE: u8 = 2;
const SOME_FAILED: u8 = 3;
const UNMARKED_CROSSINGS: u8 = 4;

/// The format of the tool's results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// Text, printed as soon as it is available.
    Text,
    /// One JSON document.
    Json,
}

/// A wrong use of the command line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Prints a command's text or its error, and returns the exit code.
pub fn finish_text(result: Result<String>) -> ExitCode {
    match result {
        Ok(text) => exit_code(print(text)),
        Err(error) => print_error(&error),
    }
}

/// Whether the reader of standard output has closed it.
static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// Prints a line to standard output and returns whether this succeeded. A closed pipe is not a failure: the command
/// continues and prints nothing more.
pub fn print(text: impl Display) -> bool {
    if STDOUT_CLOSED.load(Ordering::Relaxed) {
        return true;
    }
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            STDOUT_CLOSED.store(true, Ordering::Relaxed);
            true
        }
        Err(error) => {
            print_note(format_args!("error: cannot write to standard output: {error}"));
            false
        }
        Ok(()) => true,
    }
}

/// Prints a line to standard error. Errors are ignored so that a closed pipe does not stop the command.
pub fn print_note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn exit_code(success: bool) -> ExitCode {
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints an error and returns its exit code.
fn print_error(error: &Error) -> ExitCode {
    print_note(format_args!("error: {error:#}"));
    if error.is::<UsageError>() { WRONG_USAGE.into() } else { ExitCode::FAILURE }
}

impl OutputFormat {
    /// Prints a command's result or error, and returns the exit code. `to_text` formats the result for
    /// [`OutputFormat::Text`].
    pub fn finish<T: Serialize>(self, result: Result<T>, to_text: impl FnOnce(&T) -> String) -> ExitCode {
        match (result, self) {
            (Ok(value), Self::Text) => {
                let text = to_text(&value);
                exit_code(text.is_empty() || print(text))
            }
            (Ok(value), Self::Json) => exit_code(print(json!(value))),
            (Err(error), Self::Text) => print_error(&error),
            (Err(error), Self::Json) => {
                let code = print_error(&error);
                print(json!({"error": format!("{error:#}")}));
                code
            }
        }
    }

    /// Prints the result of an audit, and returns the exit code.
    pub fn audit(self, audit: Result<Audit>) -> ExitCode {
        let unmarked = audit.as_ref().map_or(0, Audit::unmarked);
        let code = self.finish(audit, view::audit);
        if unmarked == 0 { code } else { UNMARKED_CROSSINGS.into() }
    }

    /// Creates the progress display of a run: a progress bar on a terminal, and in text format the reports as they
    /// arrive.
    pub fn progress(self, customers: usize) -> Progress {
        let bar = if customers > 1 { ProgressBar::new(customers as u64) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} customers, {elapsed}, {eta} to go {msg}");
        Progress { output: self, bar: bar.with_style(style.expect("a template")), failed: 0 }
    }

    /// Prints the summary of a run, and returns the exit code.
    pub fn summary(self, reports: &[CustomerReport]) -> ExitCode {
        let printed = self == Self::Text || print(json!({ "customers": reports }));
        let failed: Vec<&str> =
            reports.iter().filter(|report| report.failure.is_some()).map(|report| report.id.as_str()).collect();
        if !failed.is_empty() && reports.len() > 1 {
            print_note(format_args!(
                "error: {} of {} customers failed: {}",
                failed.len(),
                reports.len(),
                failed.join(", ")
            ));
        }
        match failed.len() {
            0 => exit_code(printed),
            count if count == reports.len() => ExitCode::FAILURE,
            _ => SOME_FAILED.into(),
        }
    }
}

/// The progress display of a run.
#[derive(Debug)]
pub struct Progress {
    output: OutputFormat,
    bar: ProgressBar,
    failed: usize,
}

impl Progress {
    /// Shows the report of a customer and advances the bar.
    pub fn done(&mut self, report: &CustomerReport) {
        self.bar.suspend(|| self.show(report));
        if report.failure.is_some() {
            self.failed += 1;
            self.bar.set_message(format!("({} failed)", self.failed));
        }
        self.bar.inc(1);
    }

    fn show(&self, report: &CustomerReport) {
        if self.output == OutputFormat::Text {
            for step in &report.steps {
                print(format_args!("{}: {step}", report.id));
            }
            if report.is_unchanged() {
                print(format_args!("{}: nothing to do", report.id));
            }
        }
        if let Some(error) = &report.failure {
            print_note(format_args!("error: {}: {error:#}", report.id));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    /// Compares exit codes by their `Debug` texts: `ExitCode` is not `PartialEq`.
    fn same(code: ExitCode, expected: impl Into<ExitCode>) -> bool {
        format!("{code:?}") == format!("{:?}", expected.into())
    }

    fn report(id: &str, failure: Option<&str>) -> CustomerReport {
        CustomerReport {
            id: id.parse().expect("an id"),
            steps: Vec::new(),
            failure: failure.map(|reason| anyhow!(reason.to_owned())),
        }
    }

    #[test]
    fn the_exit_code_says_whether_all_some_or_none_failed() {
        let (good, bad) = (|| report("a", None), || report("b", Some("no")));
        for (reports, code) in
            [(vec![], 0), (vec![good()], 0), (vec![bad()], 1), (vec![bad(), bad()], 1), (vec![good(), bad()], 3)]
        {
            for output in [OutputFormat::Text, OutputFormat::Json] {
                assert!(same(output.summary(&reports), code));
            }
        }
        let usage: Result<()> = Err(UsageError("use --yes".to_owned()).into());
        assert!(same(OutputFormat::Json.finish(usage, |()| String::new()), 2));
        assert!(same(OutputFormat::Text.finish(Err::<(), _>(anyhow!("no")), |()| String::new()), 1));
    }
}
