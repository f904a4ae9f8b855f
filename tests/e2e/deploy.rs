//! What is deployed with wrangler alone.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `npx wrangler` in the repository's root as a user would, and answers what it printed.
fn wrangler(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let mut npx = Command::new("npx");
    npx.current_dir(root).args(["--no-install", "wrangler"]).args(arguments).env("WRANGLER_SEND_METRICS", "false");
    let output = npx.output().expect("npx runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    printed
}

fn out_dir() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().to_owned();
    (folder, path)
}

#[test]
fn the_dispatcher_deploys_with_its_namespace() {
    let printed = wrangler(&["deploy", "--dry-run"]);
    assert!(printed.contains("env.DISPATCHER (customers)") && printed.contains("Dispatch Namespace"), "{printed}");
    assert!(!printed.contains("WARNING"), "{printed}");
}

#[test]
fn a_customer_deploys_with_its_own_storage() {
    let (_folder, out) = out_dir();
    let out = out.to_string_lossy();
    let config = "customer-worker/wrangler.example.toml";
    let printed =
        wrangler(&["deploy", "--dry-run", "-c", config, "--dispatch-namespace", "customers", "--outdir", &out]);
    for binding in ["env.USER_KV (", "env.USER_R2 (customer-user1)", "env.USER_DB (customer-user1)"] {
        assert!(printed.contains(binding), "{binding}: {printed}");
    }
    assert!(!printed.contains("WARNING"), "{printed}");
}

/// Deployed under two names it would give two customers the same storage.
#[test]
fn what_all_customers_share_names_no_storage() {
    let printed = wrangler(&["deploy", "--dry-run", "-c", "customer-worker/wrangler.toml"]);
    assert!(!printed.contains("env.USER_"), "{printed}");
    assert!(printed.contains("No bindings found."), "{printed}");
}
