//! The README's examples, run as they are printed.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tests::Dev;

const README: &str = include_str!("../../README.md");

/// Returns the commands of the README's `sh` blocks that use the local platform, each with the reply that the comment
/// after it shows, if there is one.
fn examples() -> Vec<(String, Option<&'static str>)> {
    let mut examples: Vec<(String, Option<&str>)> = Vec::new();
    for block in README.split("```sh\n").skip(1) {
        let block = block.split("```").next().expect("a block ends");
        let mut continues = false;
        let is_local = ["127.0.0.1:8787", ".platform/env"].iter().any(|local| block.contains(local));
        for line in block.lines().filter(|_| is_local) {
            if let Some(reply) = line.strip_prefix("# ") {
                examples.last_mut().expect("a command before its reply").1 = Some(reply);
            } else if continues {
                examples.last_mut().expect("a line before").0.extend(["\n", line]);
            } else if !line.is_empty() {
                examples.push((line.to_owned(), None));
            }
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let (state, with_tokens) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let dev = Dev::start(state.path(), &[]).await;
    let dev_with_tokens = Dev::start(with_tokens.path(), &["--auth", "token"]).await;
    let secrets = fs::read_to_string(with_tokens.path().join("token-secrets.json")).expect("the secrets can be read");
    let examples = examples();
    assert!(examples.len() >= 10, "{examples:#?}");
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
