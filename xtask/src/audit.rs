//! Checks what the project is made of besides its own code: crates' licences, where they come from, and what is known to be
//! wrong with them and with the npm packages.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::setup::{self, Tools};

/// The folders with npm packages.
const NPM_PACKAGES: [(&str, &str); 2] =
    [("npm packages' advisories", "."), ("advisories of the npm packages that tests use", "tests/clients/node")];

/// Checks the crates with cargo-deny, after `deny.toml`, and the npm packages with `npm audit`. What cannot be asked is said, and
/// is no failure; what is found is.
pub fn run(repository: &Path, tools: &Tools) -> Result<()> {
    let deny = setup::cargo_deny()?;
    let deny = |arguments: &[&str]| -> Result<Output> {
        let mut command = Command::new(&deny);
        command.current_dir(repository).args(["--color=never"]).args(arguments);
        command.output().with_context(|| format!("cannot run {}", deny.display()))
    };
    let mut found = Vec::new();
    let mut told = |what: &str, output: &Output| {
        if output.status.success() {
            println!("{what}: nothing wrong");
        } else {
            eprintln!("{}", said(output));
            found.push(what.to_owned());
        }
    };
    told("crates' licences, bans and sources", &deny(&["--locked", "check", "licenses", "bans", "sources"])?);

    // Asked for by itself, so that a database that is out of reach is not taken for a finding, nor a finding for that.
    let fetched = deny(&["fetch", "db"])?;
    if fetched.status.success() {
        told("crates' advisories", &deny(&["--offline", "--locked", "check", "advisories"])?);
    } else {
        unchecked("crates' advisories", "the database of RustSec cannot be reached", &said(&fetched));
    }

    for (what, folder) in NPM_PACKAGES {
        let mut npm = Command::new("npm");
        npm.current_dir(repository.join(folder)).args(["audit", "--json"]);
        npm.env("PATH", crate::build::path_with(&tools.npm_programs)?);
        let output = npm.output().context("cannot run npm: install Node.js 20 or later, https://nodejs.org")?;
        match advisories(&String::from_utf8_lossy(&output.stdout)) {
            Some(advisories) if advisories.is_empty() => println!("{what}: nothing wrong"),
            Some(advisories) => {
                eprintln!("{}", advisories.join("\n"));
                found.push(what.to_owned());
            }
            None => unchecked(what, "the registry does not answer", &said(&output)),
        }
    }
    if !found.is_empty() {
        bail!("something is wrong with {}", found.join(" and with "));
    }
    Ok(())
}

fn unchecked(what: &str, reason: &str, said: &str) {
    let said: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).take(5).collect();
    println!("{what}: NOT CHECKED, {reason}:\n    {}", said.join("\n    "));
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    [text(&output.stderr), text(&output.stdout)].join("\n").trim().to_owned()
}

/// What npm reports, a line for each package; `None` if it could not ask.
fn advisories(report: &str) -> Option<Vec<String>> {
    let report: Value = serde_json::from_str(report).ok()?;
    let packages = report.get("vulnerabilities")?.as_object()?.iter();
    let line = |(package, found): (&String, &Value)| {
        let via = found["via"].as_array().into_iter().flatten();
        let titles: Vec<&str> = via.filter_map(|via| via.as_str().or_else(|| via["title"].as_str())).collect();
        format!("{package}: {}, {}", found["severity"].as_str().unwrap_or("unknown"), titles.join("; "))
    };
    Some(packages.map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::advisories;

    #[test]
    fn what_npm_finds_is_told_from_what_it_could_not_ask() {
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
