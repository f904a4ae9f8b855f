//! What the tool prints, and what it exits with.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use platform::customers::{Audit, Report};
use serde::Serialize;
use serde_json::json;

use super::view;

/// What `--help` says of exit codes.
pub const EXIT_CODES: &str = "Exit codes: 0 all is done; 1 it failed; 2 wrong usage; 3 some of several customers failed, and the others are done; 4 the audit found what no manifest marks as shared.";

const WRONG_USAGE: u8 = 2;
const SOME_FAILED: u8 = 3;
const CROSSINGS: u8 = 4;

/// How the tool prints its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// Text for people, as it comes.
    Text,
    /// One JSON document.
    Json,
}

/// A command that was called wrongly.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Prints a command's answer, or why there is none.
pub fn line(answer: Result<String>) -> ExitCode {
    match answer {
        Ok(text) => code(print(text)),
        Err(error) => failed(&error),
    }
}

/// Whether nobody reads standard output any more.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Prints a line of standard output, and says whether that could be done. Who stopped reading has what they want: nothing more
/// is printed, and what was begun goes on.
fn print(text: impl Display) -> bool {
    if CLOSED.load(Ordering::Relaxed) {
        return true;
    }
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::Relaxed);
            true
        }
        Err(error) => {
            print_note(format_args!("error: cannot write to standard output: {error}"));
            false
        }
        Ok(()) => true,
    }
}

/// Says something on standard error. If nobody reads that, there is nobody to tell, and the work matters more.
pub fn print_note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn code(done: bool) -> ExitCode {
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn failed(error: &Error) -> ExitCode {
    print_note(format_args!("error: {error:#}"));
    if error.is::<UsageError>() { WRONG_USAGE.into() } else { ExitCode::FAILURE }
}

impl OutputFormat {
    /// Prints an answer: as JSON for a program, else as text.
    pub fn answer<A: Serialize>(self, answer: Result<A>, text: impl FnOnce(&A) -> String) -> ExitCode {
        match (answer, self) {
            (Ok(answer), Self::Text) => {
                let text = text(&answer);
                code(text.is_empty() || print(text))
            }
            (Ok(answer), Self::Json) => code(print(json!(answer))),
            (Err(error), Self::Text) => failed(&error),
            (Err(error), Self::Json) => {
                let code = failed(&error);
                print(json!({"error": format!("{error:#}")}));
                code
            }
        }
    }

    /// Prints what an audit found.
    pub fn audit(self, audit: Result<Audit>) -> ExitCode {
        let unmarked = audit.as_ref().map_or(0, Audit::unmarked);
        let code = self.answer(audit, view::audit);
        if unmarked == 0 { code } else { CROSSINGS.into() }
    }

    /// Where reports go as they come: a bar that shows how far it is, on a terminal, and for people the reports themselves.
    pub fn progress(self, customers: usize) -> Progress {
        let bar = if customers > 1 { ProgressBar::new(customers as u64) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} customers, {elapsed}, {eta} to go {msg}");
        Progress { output: self, bar: bar.with_style(style.expect("a template")), failed: 0 }
    }

    /// Says at the end what came of all, and what failed.
    pub fn summary(self, reports: &[Report]) -> ExitCode {
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
            0 => code(printed),
            all if all == reports.len() => ExitCode::FAILURE,
            _ => SOME_FAILED.into(),
        }
    }
}

/// How far a run is.
#[derive(Debug)]
pub struct Progress {
    output: OutputFormat,
    bar: ProgressBar,
    failed: usize,
}

impl Progress {
    /// A customer is done.
    pub fn done(&mut self, report: &Report) {
        self.bar.suspend(|| self.show(report));
        if report.failure.is_some() {
            self.failed += 1;
            self.bar.set_message(format!("({} failed)", self.failed));
        }
        self.bar.inc(1);
    }

    fn show(&self, report: &Report) {
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

    /// `ExitCode` cannot be compared.
    fn same(one: ExitCode, other: impl Into<ExitCode>) -> bool {
        format!("{one:?}") == format!("{:?}", other.into())
    }

    fn report(id: &str, failure: Option<&str>) -> Report {
        Report {
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
        let usage: Result<()> = Err(UsageError("say --yes".to_owned()).into());
        assert!(same(OutputFormat::Json.answer(usage, |()| String::new()), 2));
        assert!(same(OutputFormat::Text.answer(Err::<(), _>(anyhow!("no")), |()| String::new()), 1));
    }
}
