//! Checks the dependencies: the crates' licences and sources, and the known vulnerabilities of crates and npm packages.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::setup::{self, Tools};

/// The npm checks: their names in the output, and the folders of the packages.
const NPM_PACKAGES: [(&str, &str); 2] =
    [("npm advisories", "."), ("npm advisories of the client tests", "tests/clients/node")];

/// Checks the crates with cargo-deny, as `deny.toml` configures it, and the npm packages with `npm audit`. Fails if a
/// check finds a problem. A check whose database cannot be reached is reported, but is no failure.
pub fn run(repository: &Path, tools: &Tools) -> Result<()> {
    let deny = setup::cargo_deny()?;
    let deny = |arguments: &[&str]| -> Result<Output> {
        let mut command = Command::new(&deny);
        command.current_dir(repository).args(["--color=never"]).args(arguments);
        command.output().with_context(|| format!("cannot run {}", deny.display()))
    };
    let mut failed = Vec::new();
    let mut report = |check: &str, output: &Output| {
        if output.status.success() {
            println!("{check}: ok");
        } else {
            eprintln!("{}", printed(output));
            failed.push(check.to_owned());
        }
    };
    report("crate licences, bans and sources", &deny(&["--locked", "check", "licenses", "bans", "sources"])?);

    // The database is fetched separately: cargo-deny's exit code does not distinguish an unreachable database from a
    // vulnerable crate.
    let fetched = deny(&["fetch", "db"])?;
    if fetched.status.success() {
        report("crate advisories", &deny(&["--offline", "--locked", "check", "advisories"])?);
    } else {
        report_unchecked("crate advisories", "the RustSec database cannot be reached", &printed(&fetched));
    }

    for (check, folder) in NPM_PACKAGES {
        let mut npm = Command::new("npm");
        npm.current_dir(repository.join(folder)).args(["audit", "--json"]);
        npm.env("PATH", crate::build::path_with(&tools.npm_programs)?);
        let output = npm.output().context("cannot run npm: install Node.js 20 or later, https://nodejs.org")?;
        match advisories(&String::from_utf8_lossy(&output.stdout)) {
            Some(advisories) if advisories.is_empty() => println!("{check}: ok"),
            Some(advisories) => {
                eprintln!("{}", advisories.join("\n"));
                failed.push(check.to_owned());
            }
            None => report_unchecked(check, "the npm registry sent no report", &printed(&output)),
        }
    }
    if !failed.is_empty() {
        bail!("these checks failed: {}", failed.join("; "));
    }
    Ok(())
}

fn report_unchecked(check: &str, reason: &str, printed: &str) {
    let lines: Vec<&str> = printed.lines().filter(|line| !line.trim().is_empty()).take(5).collect();
    println!("{check}: NOT CHECKED, {reason}:\n    {}", lines.join("\n    "));
}

/// Returns a program's standard error and standard output.
fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    [text(&output.stderr), text(&output.stdout)].join("\n").trim().to_owned()
}

/// Returns a line for each vulnerable package in npm's report, or `None` if npm could not fetch the advisories.
fn advisories(report: &str) -> Option<Vec<String>> {
    let report: Value = serde_json::from_str(report).ok()?;
    let packages = report.get("vulnerabilities")?.as_object()?.iter();
    let line = |(package, vulnerability): (&String, &Value)| {
        let via = vulnerability["via"].as_array().into_iter().flatten();
        let titles: Vec<&str> = via.filter_map(|via| via.as_str().or_else(|| via["title"].as_str())).collect();
        format!("{package}: {}, {}", vulnerability["severity"].as_str().unwrap_or("unknown"), titles.join("; "))
    };
    Some(packages.map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::advisories;

    #[test]
    fn advisories_differ_from_failed_requests() {
        for (report, expected) in [
            (r#"{"auditReportVersion":2,"vulnerabilities":{},"metadata":{}}"#, Some(vec![])),
            (
                r#"{"auditReportVersion":2,"vulnerabilities":{
                    "undici":{"severity":"high","via":[{"title":"It does not end"}]},
                    "miniflare":{"severity":"high","via":["undici"]}}}"#,
                Some(vec!["miniflare: high, undici", "undici: high, It does not end"]),
            ),
            (r#"{"message":"405 Method Not Allowed","statusCode":405,"error":{"summary":"","detail":""}}"#, None),
            ("npm error", None),
            ("", None),
        ] {
            assert_eq!(advisories(report), expected.map(|lines| lines.iter().map(ToString::to_string).collect()));
        }
    }
}
