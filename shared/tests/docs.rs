//! Checks the repository's pages: the length of the README, the length of lines, and the targets of links.

use std::fs;
use std::path::{Path, PathBuf};

const MAX_README_LINES: usize = 130;
const MAX_WIDTH: usize = 100;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("shared/ has a parent folder")
}

/// Returns the paths of all pages, and their texts.
fn pages() -> Vec<(PathBuf, String)> {
    let root = repository();
    let in_docs = fs::read_dir(root.join("docs")).expect("docs/").map(|entry| entry.expect("an entry").path());
    let in_root = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(|name| root.join(name));
    let markdown = in_docs.chain(in_root).filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    markdown.map(|path| (path.clone(), fs::read_to_string(&path).expect("a page"))).collect()
}

/// Returns the lines outside code blocks, with their numbers.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    page.lines().enumerate().filter_map(move |(at, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!in_code && !is_fence).then_some((at + 1, line))
    })
}

/// Returns whether a line is short enough. Table rows cannot be wrapped, and a URL cannot be split.
fn fits(line: &str) -> bool {
    if line.trim_start().starts_with('|') {
        return true;
    }
    let urls = line.split_whitespace().filter(|word| word.contains("://"));
    let longest_url = urls.map(|url| url.chars().count()).max().unwrap_or_default();
    line.chars().count() - longest_url <= MAX_WIDTH
}

/// Returns the anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

/// Returns the targets of a page's links, except those in code.
fn links(page: &str) -> Vec<String> {
    let text: Vec<&str> = prose(page).map(|(_, line)| line).collect();
    let text = text.join("\n");
    // Every second piece is between backticks.
    let outside_code: String = text.split('`').step_by(2).collect();
    outside_code.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("the README");
    let lines = readme.lines().count();
    assert!(
        lines <= MAX_README_LINES,
        "README.md has {lines} lines, more than {MAX_README_LINES}: move text into docs/"
    );
}

#[test]
fn prose_lines_end_at_100_columns() {
    for (path, page) in pages() {
        let too_long: Vec<_> = prose(&page).filter(|(_, line)| !fits(line)).collect();
        assert!(too_long.is_empty(), "{}: wrap these lines at {MAX_WIDTH} columns: {too_long:#?}", path.display());
    }
}

#[test]
fn relative_links_lead_to_files_and_headings() {
    for (path, page) in pages() {
        for link in links(&page).iter().filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').map_or((&**link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() { path.clone() } else { path.parent().expect("a folder").join(file) };
            assert!(target.exists(), "{}: {link}: there is no {}", path.display(), target.display());
            if let Some(heading) = heading {
                let target = fs::read_to_string(&target).expect("a page");
                let mut headings = prose(&target).filter(|(_, line)| line.starts_with('#'));
                let exists = headings.any(|(_, line)| anchor(line) == heading);
                assert!(exists, "{}: {link}: there is no such heading", path.display());
            }
        }
    }
}

#[test]
fn lines_links_and_headings_are_recognised() {
    let long = "x".repeat(MAX_WIDTH);
    for (line, expected) in [
        (long.clone(), true),
        (format!("{long}x"), false),
        (format!("| {long} |"), true),
        (format!("see https://example.com/{long}"), true),
        (format!("{long} https://example.com/"), false),
    ] {
        assert_eq!(fits(&line), expected, "{line}");
    }
    assert_eq!(anchor("## Who's asking: `AUTH`, and a_b"), "whos-asking-auth-and-a_b");
    assert_eq!(links("[a](b)\n`[c](d)`\n```\n[e](f)\n```\n[g\nh](i#j)"), ["b", "i#j"]);
}
