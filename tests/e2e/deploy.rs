//! The Workers that are deployed with wrangler.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs `npx wrangler` in the repository's root, and returns its output.
fn wrangler(arguments: &[&str]) -> String {
    let root = tests::repository();
    let mut npx = Command::new("npx");
    npx.current_dir(root).args(["--no-install", "wrangler"]).args(arguments).env("WRANGLER_SEND_METRICS", "false");
    let output = npx.output().expect("npx runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    printed
}

/// Creates a folder for a bundle.
fn out_dir() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().to_owned();
    (folder, path)
}

#[test]
fn the_dispatcher_deploys_with_its_namespace() {
    let printed = wrangler(&["deploy", "--dry-run"]);
    assert!(printed.contains("env.DISPATCHER (customers)") && printed.contains("Dispatch Namespace"), "{printed}");
    // Deployed without changes it lets nobody in, because it has no secrets.
    assert!(printed.contains(r#"env.AUTH ("token")"#) && !printed.contains("TOKEN_SECRETS"), "{printed}");
    assert!(!printed.contains("WARNING"), "{printed}");
}

/// wrangler has no local dispatch namespace. It says at once what to run instead.
#[test]
fn wrangler_dev_in_the_root_says_what_to_run() {
    let mut npx = Command::new("npx");
    npx.current_dir(tests::repository()).args(["--no-install", "wrangler", "dev", "--port=0", "--inspector-port=0"]);
    npx.env("WRANGLER_SEND_METRICS", "false").env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
    let output = npx.stdin(Stdio::null()).output().expect("npx runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{printed}");
    assert!(printed.contains("run the platform with `npm run dev` or `cargo xtask dev`"), "{printed}");
    let package = std::fs::read_to_string(tests::repository().join("package.json")).expect("a file");
    assert!(package.contains(r#""dev": "cargo xtask dev""#), "{package}");
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

#[test]
fn every_commented_setting_in_wrangler_toml_deploys() {
    let root = tests::repository();
    let file = std::fs::read_to_string(root.join("wrangler.toml")).expect("a wrangler file");
    // A comment is a setting if it starts like one.
    let is_setting =
        |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '));
    let uncommented: Vec<&str> =
        file.lines().map(|line| line.strip_prefix("# ").filter(|code| is_setting(code)).unwrap_or(line)).collect();
    let uncommented = uncommented.join("\n").replace(r#"main = ""#, r#"main = "../"#);
    std::fs::write(root.join("target/wrangler.everything.toml"), uncommented).expect("the file can be written");
    let printed = wrangler(&["deploy", "--dry-run", "-c", "target/wrangler.everything.toml"]);
    for binding in [
        "env.DISPATCHER (customers (outbound -> outbound))",
        "env.CUSTOMERS (<id>)",
        "env.RATE_LIMIT_FREE (100 requests/60s)",
        "env.RATE_LIMIT_PRO (1000 requests/10s)",
        "env.ANALYTICS (requests)",
        "env.CF_VERSION_METADATA",
        "env.OUTBOUND (true)",
        "env.ALLOWED_ORIGINS",
        "env.ALLOWED_HEADERS",
        "env.EXPOSED_HEADERS",
        "env.DEFAULT_CUSTOMER",
        "env.TOKEN_JWKS_URL",
        "env.TOKEN_AUDIENCE",
        "env.TOKEN_ISSUER",
        "env.SCRIPT_PREFIX",
        "env.RATE_PERIOD_PRO",
    ] {
        assert!(printed.contains(binding), "{binding}: {printed}");
    }
    assert!(!printed.contains("WARNING"), "{printed}");
}

#[test]
fn the_outbound_worker_deploys_with_no_host_allowed() {
    let printed = wrangler(&["deploy", "--dry-run", "-c", "outbound/wrangler.toml"]);
    assert!(printed.contains(r#"env.ALLOWED_HOSTS ("")"#), "{printed}");
}

/// If this configuration bound storage, two customers that are deployed with it would share that storage.
#[test]
fn the_shared_customer_configuration_binds_no_storage() {
    let printed = wrangler(&["deploy", "--dry-run", "-c", "customer-worker/wrangler.toml"]);
    assert!(!printed.contains("env.USER_"), "{printed}");
    assert!(printed.contains("No bindings found."), "{printed}");
}

/// Cloudflare's invocation logs have each request's URL, and with it the names of files.
#[test]
fn no_deployed_worker_logs_urls() {
    let root = tests::repository();
    for file in [
        "wrangler.toml",
        "customer-worker/wrangler.toml",
        "customer-worker/wrangler.example.toml",
        "outbound/wrangler.toml",
    ] {
        let config: toml::Table = std::fs::read_to_string(root.join(file)).expect(file).parse().expect(file);
        let logs = &config["observability"]["logs"];
        assert_eq!((logs["enabled"].as_bool(), logs["invocation_logs"].as_bool()), (Some(true), Some(false)), "{file}");
    }
}
