//! The scripts' results, as the table in docs/reliability.md.

use std::fmt;

use serde_json::Value;

/// A check of a client, and its result.
#[derive(Debug)]
struct Check {
    client: String,
    version: String,
    what: String,
    result: String,
}

/// The results of all scripts.
#[derive(Debug, Default)]
pub struct ClientReport {
    checks: Vec<Check>,
    incomplete: Vec<String>,
}

impl ClientReport {
    /// Adds the output of a script that has `checks` checks.
    pub fn add(&mut self, script: &str, checks: usize, output: &str) {
        let reported: Vec<Check> = output.lines().map(|line| Check::parse(script, line)).collect();
        if reported.len() != checks {
            self.incomplete.push(format!("{script} has {checks} checks and reported {}", reported.len()));
        }
        self.checks.extend(reported);
    }

    /// Panics with a list of the failures, if there are any.
    pub fn expect_success(&self) {
        let failed = self.checks.iter().filter(|check| check.result != "ok");
        let failed = failed.map(|Check { client, what, result, .. }| format!("{client}: {what}: {result}"));
        let failures: Vec<String> = self.incomplete.iter().cloned().chain(failed).collect();
        assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), self.checks.len(), failures.join("\n"));
    }
}

impl Check {
    fn parse(script: &str, line: &str) -> Self {
        let report: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{script}: {error}: {line}"));
        let member = |name: &str| match report[name].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("{script}: a check has no {name}: {line}"),
        };
        Self { client: member("client"), version: member("version"), what: member("what"), result: member("result") }
    }
}

impl fmt::Display for ClientReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| client | version | what was done | result |")?;
        writeln!(formatter, "| --- | --- | --- | --- |")?;
        for Check { client, version, what, result } in &self.checks {
            let result = if result == "ok" { "ok" } else { "**failed**" };
            writeln!(formatter, "| {client} | {version} | {what} | {result} |")?;
        }
        Ok(())
    }
}

#[test]
fn a_script_that_ends_early_fails() {
    let line = r#"{"client": "c", "version": "1", "what": "w", "result": "ok"}"#;
    let mut report = ClientReport::default();
    report.add("complete", 1, line);
    report.expect_success();
    assert_eq!(report.to_string().lines().last(), Some("| c | 1 | w | ok |"));
    report.add("short", 2, line);
    assert!(std::panic::catch_unwind(|| report.expect_success()).is_err());
}

#[test]
fn a_failed_check_fails_the_report() {
    let mut report = ClientReport::default();
    report.add("script", 1, r#"{"client": "c", "version": "1", "what": "w", "result": "line 5: no"}"#);
    assert!(std::panic::catch_unwind(|| report.expect_success()).is_err());
    assert_eq!(report.to_string().lines().last(), Some("| c | 1 | w | **failed** |"));
}
