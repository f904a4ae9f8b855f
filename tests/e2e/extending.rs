//! docs/extending.md: its diffs apply to this repository, and the result compiles and passes its unit tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Runs a command, expects it to succeed, and returns its standard output.
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Copies the tracked files, and the untracked ones that are not ignored.
pub fn copy(repository: &Path) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
    let listed = run(Command::new("git").current_dir(repository).args(arguments));
    for name in String::from_utf8(listed).expect("text").split_terminator('\0') {
        let (from, to) = (repository.join(name), folder.path().join(name));
        if from.exists() {
            fs::create_dir_all(to.parent().expect("a folder")).expect("the folder can be created");
            fs::copy(from, to).expect(name);
        }
    }
    folder
}

/// Returns the page's diffs in a form that git accepts. The page leaves out git's headers and line numbers, which would
/// change often: git finds the place by the context lines.
fn diffs(page: &str) -> Vec<String> {
    let blocks = page.split("```diff\n").skip(1);
    blocks.map(|block| diff(block.split_once("\n```").expect("an end").0)).collect()
}

/// Adds git's headers and line numbers to a diff.
fn diff(block: &str) -> String {
    let (mut diff, mut is_new) = (String::new(), false);
    for (number, line) in block.lines().enumerate() {
        if let Some(old) = line.strip_prefix("--- ") {
            is_new = old == "/dev/null";
            let path = block.lines().nth(number + 1).and_then(|line| line.strip_prefix("+++ b/")).expect("a path");
            diff.extend(["diff --git a/", path, " b/", path, "\n"]);
            diff += if is_new { "new file mode 100644\n" } else { "" };
        }
        diff += match (line, is_new) {
            ("@@", true) => "@@ -0,0 +1,1 @@",
            ("@@", false) => "@@ -2,1 +2,1 @@",
            _ => line,
        };
        diff += "\n";
    }
    diff
}

/// Copies the repository and applies the page's diffs.
fn extended(repository: &Path) -> TempDir {
    let page = fs::read_to_string(repository.join("docs/extending.md")).expect("the page");
    let copy = copy(repository);
    let diffs = diffs(&page);
    assert!(diffs.len() >= 8, "{} diffs", diffs.len());
    for (number, diff) in diffs.iter().enumerate() {
        let file = copy.path().join(format!("{number}.diff"));
        fs::write(&file, diff).expect("the diff can be written");
        run(Command::new("git").current_dir(copy.path()).args(["apply", "--recount"]).arg(&file));
    }
    copy
}

#[test]
fn the_diffs_apply() {
    let repository = tests::repository().to_owned();
    let copy = extended(&repository);
    let routes = fs::read_to_string(copy.path().join("shared/src/http/route.rs")).expect("the routes");
    assert!(routes.contains("/data/count"), "{routes}");
}

#[test]
#[ignore = "takes minutes"]
fn the_extended_repository_compiles_and_passes_its_unit_tests() {
    let repository = tests::repository().to_owned();
    let copy = extended(&repository);
    let cargo = |arguments: &[&str]| {
        // With the same target folder, other tests would wait for Cargo's lock.
        let target = repository.join("target/extending");
        run(Command::new("cargo").current_dir(copy.path()).env("CARGO_TARGET_DIR", target).args(arguments))
    };
    let workers = ["--package=dispatcher", "--package=customer-worker"];
    cargo(
        &[&["clippy", "--quiet", "--target=wasm32-unknown-unknown"], &workers[..], &["--", "-D", "warnings"]].concat(),
    );
    cargo(&["check", "--quiet", "--package=tests", "--tests"]);
    cargo(&[&["test", "--quiet", "--package=shared"], &workers[..]].concat());
}
