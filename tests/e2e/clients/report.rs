//! What the scripts found, as the table that docs/reliability.md has.

use std::fmt;

use serde_json::Value;

/// What a client did, and what came of it.
#[derive(Debug)]
struct Check {
    client: String,
    version: String,
    what: String,
    result: String,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Report {
    checks: Vec<Check>,
    incomplete: Vec<String>,
}

impl Report {
    /// Takes what a script printed that has so many checks.
    pub fn add(&mut self, script: &str, checks: usize, printed: &str) {
        let reported: Vec<Check> = printed.lines().map(|line| Check::of(script, line)).collect();
        if reported.len() != checks {
            self.incomplete.push(format!("{script} has {checks} checks and reported {}", reported.len()));
        }
        self.checks.extend(reported);
    }

    /// Fails with all that failed.
    pub fn expect_success(&self) {
        let failed = self.checks.iter().filter(|check| check.result != "ok");
        let failed = failed.map(|Check { client, what, result, .. }| format!("{client}: {what}: {result}"));
        let wrong: Vec<String> = self.incomplete.iter().cloned().chain(failed).collect();
        assert!(wrong.is_empty(), "{} of {} failed:\n{}", wrong.len(), self.checks.len(), wrong.join("\n"));
    }
}

impl Check {
    fn of(script: &str, line: &str) -> Self {
        let report: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{script}: {error}: {line}"));
        let member = |name: &str| match report[name].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("{script}: a check without its {name}: {line}"),
        };
        Self { client: member("client"), version: member("version"), what: member("what"), result: member("result") }
    }
}

impl fmt::Display for Report {
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
fn a_script_that_ends_early_is_a_failure() {
    let line = r#"{"client": "c", "version": "1", "what": "w", "result": "ok"}"#;
    let mut report = Report::default();
    report.add("whole", 1, line);
    report.expect_success();
    assert_eq!(report.to_string().lines().last(), Some("| c | 1 | w | ok |"));
    report.add("short", 2, line);
    assert!(std::panic::catch_unwind(|| report.expect_success()).is_err());
}

#[test]
fn a_check_that_failed_is_a_failure() {
    let mut report = Report::default();
    report.add("script", 1, r#"{"client": "c", "version": "1", "what": "w", "result": "line 5: no"}"#);
    assert!(std::panic::catch_unwind(|| report.expect_success()).is_err());
    assert_eq!(report.to_string().lines().last(), Some("| c | 1 | w | **failed** |"));
}
