//! The examples of the README and of the pages in docs/, run as they are printed.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tests::Dev;

/// The pages with examples, in the order in which they are run against one platform.
const PAGES: [&str; 4] = [
    include_str!("../../README.md"),
    include_str!("../../docs/http-api.md"),
    include_str!("../../docs/customers.md"),
    include_str!("../../docs/deploy.md"),
];

/// A block of commands uses the local platform if it contains one of these. Other blocks are not run.
const LOCAL: [&str; 2] = ["127.0.0.1:8787", ".platform/env"];

/// Returns the commands of a page's `sh` blocks that use the local platform. A comment in the line after a command is
/// the reply that the page shows. Other comments are ignored.
fn examples(page: &str) -> Vec<(String, Option<&str>)> {
    let mut examples: Vec<(String, Option<&str>)> = Vec::new();
    for block in page.split("```sh\n").skip(1) {
        let block = block.split("```").next().expect("a block ends");
        if !LOCAL.iter().any(|local| block.contains(local)) {
            continue;
        }
        let (mut continues, mut after_command) = (false, false);
        for line in block.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                if after_command {
                    examples.last_mut().expect("a command before its reply").1 = Some(comment);
                }
            } else if continues {
                examples.last_mut().expect("a line before").0.extend(["\n", line]);
            } else if !line.is_empty() {
                examples.push((line.to_owned(), None));
            }
            after_command = !line.is_empty() && !line.starts_with("# ");
            continues = line.ends_with('\\');
        }
    }
    examples
}

/// Whether a reply matches the one shown, in which `…` stands for any text.
fn matches_shown(reply: &str, shown: &str) -> bool {
    let mut rest = reply;
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    let mut open = false;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        open = part.is_empty();
    }
    open || rest.is_empty()
}

#[tokio::test]
async fn examples_work_as_printed() {
    let root = tests::repository();
    let (state, with_tokens) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let dev = Dev::start(state.path(), &[]).await;
    let dev_with_tokens = Dev::start(with_tokens.path(), &["--auth", "token"]).await;
    let secrets = fs::read_to_string(with_tokens.path().join("token-secrets.json")).expect("the secrets can be read");
    let examples: Vec<_> = PAGES.into_iter().flat_map(examples).collect();
    assert!(examples.len() >= 30, "{examples:#?}");
    for part in ["$token", "customer create user3 --local", "npx wrangler"] {
        assert!(examples.iter().any(|(command, _)| command.contains(part)), "{part}: {examples:#?}");
    }
    for (command, shown) in examples {
        let needs_token = command.contains("$token");
        let url = if needs_token { &dev_with_tokens.url } else { &dev.url };
        let folder = state.path().display();
        let script = format!("set -e; curl() {{ command curl -sS \"$@\"; }}; {command}")
            .replace("http://127.0.0.1:8787", url)
            .replace("--local", &format!("--local --state {folder}"))
            .replace(".platform/env", &format!("{folder}/env"));
        let output = Command::new("sh")
            .current_dir(root)
            .args(["-c", &script])
            .env("TOKEN_SECRETS", &secrets)
            .output()
            .expect("sh runs");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}: {printed}{}", String::from_utf8_lossy(&output.stderr));
        if let Some(shown) = shown {
            assert!(matches_shown(printed.trim_end(), shown), "{command}\n  printed {printed}\n  shown   {shown}");
        }
    }
    for dev in [dev, dev_with_tokens] {
        assert!(dev.stop(Signal::SIGINT).await.success());
    }
}

#[test]
fn shown_replies_match_whole_replies() {
    for (reply, shown, matches) in [
        ("abc", "abc", true),
        ("abc", "ab", false),
        ("abc", "a…", true),
        ("abc", "a…c", true),
        ("abc", "a…b", false),
        ("abc", "b…", false),
        ("{\"a\":\"1\",\"b\":\"2\"}", "{\"a\":\"…\",\"b\":\"…\"}", true),
    ] {
        assert_eq!(matches_shown(reply, shown), matches, "{reply} {shown}");
    }
}

#[test]
fn only_a_comment_right_after_a_command_is_its_reply() {
    let page =
        "```sh\n# A comment.\ncurl 127.0.0.1:8787 \\\n  -v\n# shown\n\n# Another.\n. x\n```\n```sh\nnot local\n```";
    assert_eq!(examples(page), [("curl 127.0.0.1:8787 \\\n  -v".to_owned(), Some("shown")), (". x".to_owned(), None)]);
}
