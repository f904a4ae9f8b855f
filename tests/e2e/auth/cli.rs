//! `cargo platform token`, and a local platform that accepts the tokens that it issues.

use std::process::{Command, Stdio};

use http::StatusCode;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tests::{Customer, Dev, Reply, expect_problem, expect_success};

/// Runs `cargo platform token`. Returns whether it succeeded, its standard output and its standard error.
fn token(arguments: &[&str], secrets: Option<&str>, input: &str) -> (bool, String, String) {
    use std::io::Write;

    let root = tests::repository();
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["platform", "token"]).args(arguments);
    command.env_remove("TOKEN_AUDIENCE").env_remove("TOKEN_ISSUER").env_remove("TOKEN_SECRETS");
    command.envs(secrets.map(|secrets| ("TOKEN_SECRETS", secrets)));
    let mut process =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cargo runs");
    // The tool may exit without reading its input.
    let _ = process.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = process.wait_with_output().expect("cargo ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// Runs `cargo platform token`, expects it to succeed, and returns the only line that it prints.
pub fn printed(arguments: &[&str], secrets: Option<&str>) -> String {
    let (success, printed, errors) = token(arguments, secrets, "");
    assert!(success, "{arguments:?}: {errors}");
    let line = printed.strip_suffix('\n').expect("a line");
    assert!(!line.contains(char::is_whitespace) && !line.is_empty(), "expected one line without spaces: {printed:?}");
    line.to_owned()
}

#[tokio::test]
async fn the_local_platform_accepts_tokens_issued_for_it() {
    let state = TempDir::new().expect("a folder");
    let path = state.path().to_string_lossy().into_owned();
    let (success, _, errors) = token(&["issue", "user1", "--state", &path], None, "");
    assert!(!success && errors.contains("cargo xtask dev --auth token"), "{errors}");

    let dev = Dev::start(state.path(), &["--auth", "token"]).await;
    let issue = |arguments: &[&str]| printed(&[&["issue", "--state", &path], arguments].concat(), None);
    let (read_write, read) = (issue(&["user1"]), issue(&["user1", "--scope", "read", "--ttl", "15m"]));
    let user = Customer::at(&dev.url, "user1");
    expect_problem(user.get("/"), 401, "missing_token").await;
    let (read_write, read) = (user.clone().with_token(&read_write), user.clone().with_token(&read));
    expect_success(read_write.post_json("/data", r#"{"key":"a","value":1}"#)).await;
    expect_success(read.get("/data?key=a")).await;
    expect_problem(read.post_json("/data", r#"{"key":"a","value":2}"#), 403, "insufficient_scope").await;
    expect_problem(read.delete("/data?key=a"), 403, "insufficient_scope").await;

    // A customer cannot reach another's data, whichever token it sends.
    let other = Customer::at(&dev.url, "user2");
    expect_problem(other.get("/data?key=a"), 401, "missing_token").await;
    let stolen = other.clone().with_token(&issue(&["user1"]));
    expect_problem(stolen.get("/data?key=a"), 403, "user_mismatch").await;
    expect_problem(stolen.delete("/data?key=a"), 403, "user_mismatch").await;
    expect_problem(other.clone().with_token(&issue(&["user2"])).get("/data?key=a"), 404, "data_not_found").await;
    assert_eq!(Reply::to(read.get("/data?key=a")).await.text(), r#"{"key":"a","value":1}"#);
    assert!(dev.stop(Signal::SIGINT).await.success());

    // The secrets are in the state folder, and tokens stay valid.
    let dev = Dev::start(state.path(), &["--auth", "token"]).await;
    let reply = Reply::to(Customer::at(&dev.url, "user1").with_token(&issue(&["user1"])).get("/")).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply}");
    assert!(dev.stop(Signal::SIGTERM).await.success());

    // No token has an empty audience, which an operator may set by mistake.
    let dev = Dev::start(state.path(), &["--auth", "token", "--var", "TOKEN_AUDIENCE:"]).await;
    let user = Customer::at(&dev.url, "user1").with_token(&issue(&["user1"]));
    expect_problem(user.get("/"), 401, "invalid_token").await;
    assert!(dev.stop(Signal::SIGTERM).await.success());
}

#[test]
fn tokens_are_issued_and_verified_with_secrets_from_the_environment() {
    let secrets = printed(&["rotate"], None);
    let issued = printed(&["issue", "user1", "--scope", "read", "--ttl", "2h", "--audience", "a"], Some(&secrets));
    let (success, claims, _) = token(&["verify", &issued], Some(&secrets), "");
    let claims: Value = serde_json::from_str(&claims).expect("JSON");
    assert!(success);
    assert_eq!((&claims["sub"], &claims["scope"], &claims["aud"]), (&"user1".into(), &"read".into(), &"a".into()));
    assert_eq!(claims["exp"].as_u64().expect("exp") - claims["iat"].as_u64().expect("iat"), 7200);
    // The token may come from standard input.
    assert!(token(&["verify"], Some(&secrets), &format!("{issued}\n")).0);

    let rotated = printed(&["rotate"], Some(&secrets));
    assert!(token(&["verify", &issued], Some(&rotated), "").0, "the old secret still verifies tokens");
    let replaced = printed(&["rotate", "--keep", "0"], Some(&secrets));
    for (arguments, secrets, reason) in [
        (&["verify", &issued][..], &*replaced, "not signed"),
        (&["verify", "x"], &secrets, "malformed"),
        (&["verify", &issued, "--audience", "b"], &secrets, "audience"),
        (&["verify", &issued, "--issuer", "b"], &secrets, "issuer"),
        (&["issue", "User1"], &secrets, "a user id is 1 to 48"),
        (&["issue", "user1", "--scope", "admin"], &secrets, "`read` or `write`"),
        (&["issue", "user1", "--ttl", "soon"], &secrets, "--ttl"),
        (&["issue", "user1", "--ttl", "0s"], &secrets, "at least 1 second"),
        (&["issue", "user1"], "[]", "TOKEN_SECRETS cannot be used"),
        (&["rotate"], "nonsense", "TOKEN_SECRETS"),
        // An empty variable counts as unset.
        (&["issue", "user1", "--state", "/nonexistent"], "", "there are no secrets"),
    ] {
        let (success, printed, errors) = token(arguments, Some(secrets), "");
        assert!(!success && printed.is_empty() && errors.contains(reason), "{arguments:?}: {printed}{errors}");
        assert!(!errors.contains("secret\":\""), "{errors}");
    }
}
