//! Tests of the tool's command line: output and exit codes.

use std::io::PipeWriter;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output};

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::routing::any;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs the tool with only these environment variables.
fn platform(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_platform"));
    tool.env_clear().env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"));
    tool.envs(variables.iter().copied()).args(arguments).output().expect("it runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// Starts a fake API with a dispatcher and the record of `user1`.
async fn start_api() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let reply = async |request: Request| {
        let path = request.uri().path().trim_start_matches("/client/v4/accounts/a/");
        let namespace = json!({"type": "dispatch_namespace", "name": "DISPATCHER", "namespace": "customers"});
        let records = json!({"type": "kv_namespace", "name": "CUSTOMERS", "namespace_id": "r"});
        let result = match (request.method(), path) {
            (&Method::GET, "workers/scripts/dispatcher/settings") => json!({"bindings": [namespace, records]}),
            (&Method::GET, "storage/kv/namespaces/r/values/user1") => return (StatusCode::OK, "{}".to_owned()),
            (&Method::PUT, "storage/kv/namespaces/r/values/user1") => json!({}),
            (&Method::GET, "storage/kv/namespaces" | "d1/database") => json!([]),
            (&Method::GET, "r2/buckets") => json!({"buckets": []}),
            (&Method::POST, "storage/kv/namespaces") => json!({"id": "kv1", "title": "customer-user1"}),
            (&Method::POST, "r2/buckets") => json!({"name": "customer-user1"}),
            (&Method::POST, "d1/database") => json!({"uuid": "d1", "name": "customer-user1"}),
            (
                &Method::PUT,
                "workers/dispatch/namespaces/customers/scripts/code_check"
                | "workers/dispatch/namespaces/customers/scripts/user1",
            ) => json!({"id": "user1"}),
            (&Method::DELETE, "workers/dispatch/namespaces/customers/scripts/code_check") => Value::Null,
            (&Method::GET, "workers/dispatch/namespaces/customers/scripts") => json!([{"id": "user1"}]),
            (&Method::GET, "storage/kv/namespaces/r/keys") => json!([{"name": "user1"}]),
            _ => {
                let error = json!({"success": false, "errors": [{"code": 1, "message": "no"}], "result": null});
                return (StatusCode::NOT_FOUND, error.to_string());
            }
        };
        (StatusCode::OK, json!({"success": true, "errors": [], "result": result}).to_string())
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(any(reply))).await });
    address
}

#[test]
fn the_error_without_an_account_names_the_variables_to_set() {
    let output = platform(&[], &["customer", "list"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "CLOUDFLARE_API_TOKEN is not set: set CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID, or use --local for the local platform";
    assert_eq!(stderr(&output), format!("error: {expected}\n"));

    let output = platform(&[], &["customer", "list", "--json"]);
    let document: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(document, json!({ "error": expected }));
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    for arguments in [
        &["customer", "create"][..],
        &["customer", "create", "Not_An_Id"],
        &["customer", "create", "user1", "--main", "index.js"],
        &["customer", "deploy"],
        &["customer", "deploy", "user1", "--all"],
        &["customer", "deploy", "user1", "--tag", "eu"],
        &["customer", "deploy", "--all", "--script", "x.js"],
        &["customer", "create", "user1", "--concurrency", "0"],
        &["customer", "list", "--state", "."],
        // There is no terminal to ask for confirmation.
        &["customer", "delete", "user1"],
    ] {
        let output = platform(&[], arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("error: "), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn help_explains_the_exit_codes() {
    for arguments in [&["--help"][..], &["customer", "--help"], &["customer", "create", "--help"]] {
        let output = platform(&[], arguments);
        assert!(stdout(&output).contains("Exit codes: 0 success"), "{arguments:?}");
    }
}

/// Returns the writing end of a pipe whose reading end is closed.
fn closed_pipe() -> PipeWriter {
    let (_, writer) = std::io::pipe().expect("a pipe");
    writer
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_platform"));
    tool.env_clear().args(["completions", "bash"]).stdout(closed_pipe());
    let output = tool.stderr(std::process::Stdio::piped()).output().expect("it runs");
    assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), ""));
}

#[test]
fn there_are_completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = platform(&[], &["completions", shell]);
        assert!(output.status.success() && stdout(&output).contains("suspend"), "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_and_exit_codes_of_customer_commands() {
    let state = TempDir::new().expect("a folder");
    let url = format!("http://{}/client/v4", start_api().await);
    let file = format!(
        "export CLOUDFLARE_API_BASE_URL={url}\nexport CLOUDFLARE_API_TOKEN='t'\nexport CLOUDFLARE_ACCOUNT_ID=a\nexport PLATFORM_URL=http://127.0.0.1:1\n"
    );
    std::fs::write(state.path().join("env"), file).expect("written");
    let folder = state.path().to_str().expect("UTF-8");
    // The local platform is reached without a proxy.
    let proxy = [("http_proxy", "http://127.0.0.1:1")];
    let local =
        |arguments: &[&str]| platform(&proxy, &[&["customer", "--local", "--state", folder], arguments].concat());

    let output = local(&["suspend", "user1", "user1"]);
    assert_eq!((output.status.code(), &*stdout(&output)), (Some(0), "user1: record user1: updated\n"));

    let output = local(&["suspend", "user1", "user2"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("error: user2: the customer user2 has no record"));
    assert!(stderr(&output).ends_with("error: 1 of 2 customers failed: user2\n"), "{}", stderr(&output));

    let output = local(&["suspend", "user1", "user2", "--json"]);
    let step = json!({"what": "record", "name": "user1", "outcome": "updated"});
    let expected = json!({"customers": [
        {"id": "user1", "steps": [step]},
        {"id": "user2", "steps": [], "error": "the customer user2 has no record"},
    ]});
    assert_eq!(serde_json::from_str::<Value>(&stdout(&output)).expect("JSON"), expected);

    assert_eq!(local(&["suspend", "user2"]).status.code(), Some(1));
    assert_eq!(stdout(&local(&["list"])), "user1\n");
    let output = local(&["stats", "user1"]);
    assert_eq!(
        stderr(&output),
        "error: the platform at http://127.0.0.1:1/ does not reply: error sending request for url (http://127.0.0.1:1/stats): client error (Connect): tcp connect error: Connection refused (os error 111)\n"
    );

    // The command continues when standard output and standard error are closed.
    let mut tool = Command::new(env!("CARGO_BIN_EXE_platform"));
    tool.env_clear().env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR")).env(proxy[0].0, proxy[0].1);
    tool.args(["customer", "--local", "--state", folder, "suspend", "user1", "user2"]);
    assert_eq!(tool.stdout(closed_pipe()).stderr(closed_pipe()).status().expect("it runs").code(), Some(3));

    // A customer's own script needs no build.
    let script = state.path().join("hello.js");
    std::fs::write(&script, "export default {}").expect("written");
    let output = local(&["create", "user1", "--script", script.to_str().expect("UTF-8")]);
    let expected = "user1: KV namespace customer-user1 (kv1): created\nuser1: R2 bucket customer-user1: created\n\
        user1: D1 database customer-user1 (d1): created\nuser1: script user1: created\nuser1: record user1: unchanged\n";
    assert_eq!((output.status.code(), &*stdout(&output)), (Some(0), expected), "{}", stderr(&output));

    // A tag that no script has may be misspelt.
    let output = local(&["deploy", "--all", "--tag", "typo"]);
    let expected = "nothing to deploy: no customer has a script with the tag typo\n";
    assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), expected));

    // The account of the environment variables is the same.
    let account = [("CLOUDFLARE_API_BASE_URL", &*url), ("CLOUDFLARE_API_TOKEN", "t"), ("CLOUDFLARE_ACCOUNT_ID", "a")];
    assert_eq!(stdout(&platform(&account, &["customer", "list"])), "user1\n");
    let output = platform(&account, &["customer", "list", "--dispatcher", "other"]);
    assert!(stderr(&output).contains("there is no Worker other in this account: deploy the dispatcher first"));
}
