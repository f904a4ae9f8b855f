//! `cargo platform token`, and the platform that takes what it makes.

use std::path::Path;
use std::process::{Command, Stdio};

use http::StatusCode;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tests::{Customer, Dev, Reply, expect_problem, expect_success};

/// Runs `cargo platform token`, and answers whether it succeeded and what it printed: all of its standard output, and its
/// standard error.
fn token(arguments: &[&str], secrets: Option<&str>, input: &str) -> (bool, String, String) {
    use std::io::Write;

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["platform", "token"]).args(arguments);
    command.env_remove("TOKEN_AUDIENCE").env_remove("TOKEN_ISSUER").env_remove("TOKEN_SECRETS");
    command.envs(secrets.map(|secrets| ("TOKEN_SECRETS", secrets)));
    let mut process =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cargo runs");
    // It need not read it.
    let _ = process.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = process.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn printed(arguments: &[&str], secrets: Option<&str>) -> String {
    let (success, printed, errors) = token(arguments, secrets, "");
    assert!(success, "{arguments:?}: {errors}");
    let line = printed.strip_suffix('\n').expect("a line");
    assert!(!line.contains(char::is_whitespace) && !line.is_empty(), "nothing but what was asked for: {printed:?}");
    line.to_owned()
}

#[tokio::test]
async fn the_local_platform_takes_tokens_that_were_issued_for_it() {
    let state = TempDir::new().expect("a folder");
    let path = state.path().to_string_lossy().into_owned();
    let (success, _, errors) = token(&["issue", "user1", "--state", &path], None, "");
    assert!(!success && errors.contains("cargo xtask dev --auth token"), "{errors}");

    let dev = Dev::start(state.path(), &["--auth", "token"]).await;
    let issue = |arguments: &[&str]| printed(&[&["issue", "--state", &path], arguments].concat(), None);
    let (both, read) = (issue(&["user1"]), issue(&["user1", "--scope", "read", "--ttl", "15m"]));
    let user = Customer::of(&dev.url, "user1");
    expect_problem(user.get("/"), 401, "missing_token").await;
    let (both, read) = (user.clone().with_token(&both), user.clone().with_token(&read));
    expect_success(both.post_json("/data", r#"{"key":"a","value":1}"#)).await;
    expect_success(read.get("/data?key=a")).await;
    expect_problem(read.post_json("/data", r#"{"key":"a","value":2}"#), 403, "insufficient_scope").await;
    expect_problem(read.delete("/data?key=a"), 403, "insufficient_scope").await;

    // Nothing of one customer's is the other's, whoever's token it is.
    let other = Customer::of(&dev.url, "user2");
    expect_problem(other.get("/data?key=a"), 401, "missing_token").await;
    let stolen = other.clone().with_token(&issue(&["user1"]));
    expect_problem(stolen.get("/data?key=a"), 403, "user_mismatch").await;
    expect_problem(stolen.delete("/data?key=a"), 403, "user_mismatch").await;
    expect_problem(other.clone().with_token(&issue(&["user2"])).get("/data?key=a"), 404, "data_not_found").await;
    assert_eq!(Reply::to(read.get("/data?key=a")).await.text(), r#"{"key":"a","value":1}"#);
    assert!(dev.stop(Signal::SIGINT).await.success());

    // The secrets are kept with the storage, and the tokens are still good.
    let dev = Dev::start(state.path(), &["--auth", "token"]).await;
    let reply = Reply::to(Customer::of(&dev.url, "user1").with_token(&issue(&["user1"])).get("/")).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply}");
    assert!(dev.stop(Signal::SIGTERM).await.success());

    // An audience that is empty, by mistake perhaps, is one that no token has.
    let dev = Dev::start(state.path(), &["--auth", "token", "--var", "TOKEN_AUDIENCE:"]).await;
    let user = Customer::of(&dev.url, "user1").with_token(&issue(&["user1"]));
    expect_problem(user.get("/"), 401, "invalid_token").await;
    assert!(dev.stop(Signal::SIGTERM).await.success());
}

#[test]
fn tokens_are_made_and_checked_with_the_secrets_of_the_environment() {
    let secrets = printed(&["rotate"], None);
    let made = printed(&["issue", "user1", "--scope", "read", "--ttl", "2h", "--audience", "a"], Some(&secrets));
    let (success, claims, _) = token(&["verify", &made], Some(&secrets), "");
    let claims: Value = serde_json::from_str(&claims).expect("JSON");
    assert!(success);
    assert_eq!((&claims["sub"], &claims["scope"], &claims["aud"]), (&"user1".into(), &"read".into(), &"a".into()));
    assert_eq!(claims["exp"].as_u64().expect("exp") - claims["iat"].as_u64().expect("iat"), 7200);
    // From standard input as well.
    assert!(token(&["verify"], Some(&secrets), &format!("{made}\n")).0);

    let rotated = printed(&["rotate"], Some(&secrets));
    assert!(token(&["verify", &made], Some(&rotated), "").0, "the old secret goes on verifying");
    let gone = printed(&["rotate", "--keep", "0"], Some(&secrets));
    for (arguments, secrets, reason) in [
        (&["verify", &made][..], &*gone, "not signed"),
        (&["verify", "x"], &secrets, "malformed"),
        (&["verify", &made, "--audience", "b"], &secrets, "audience"),
        (&["verify", &made, "--issuer", "b"], &secrets, "issuer"),
        (&["issue", "User1"], &secrets, "a user id is 1 to 48"),
        (&["issue", "user1", "--scope", "admin"], &secrets, "`read` or `write`"),
        (&["issue", "user1", "--ttl", "soon"], &secrets, "--ttl"),
        (&["issue", "user1", "--ttl", "0s"], &secrets, "at least 1 second"),
        (&["issue", "user1"], "[]", "TOKEN_SECRETS cannot be used"),
        (&["rotate"], "nonsense", "TOKEN_SECRETS"),
        // An empty variable is none.
        (&["issue", "user1", "--state", "/nonexistent"], "", "there are no secrets"),
    ] {
        let (success, printed, errors) = token(arguments, Some(secrets), "");
        assert!(!success && printed.is_empty() && errors.contains(reason), "{arguments:?}: {printed}{errors}");
        assert!(!errors.contains("secret\":\""), "{errors}");
    }
}
