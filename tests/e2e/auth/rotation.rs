//! Rotation of the token secrets while clients send requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use http::{Method, StatusCode};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::api::expect_result;
use tests::token::{NEW_SECRET, OLD_SECRET, claims, hs256};
use tests::{Customer, Dev, Reply, expect_problem};

const CLIENTS: usize = 20;

/// Sets `TOKEN_SECRETS` of the dispatcher, as `wrangler secret put` does.
async fn configure(dev: &Dev, secrets: &Value) {
    let secret = json!({ "name": "TOKEN_SECRETS", "type": "secret_text", "text": secrets.to_string() });
    let request = dev.api().request(Method::PUT, "/workers/scripts/dispatcher/secrets").body(secret.to_string());
    expect_result(request).await;
}

/// Sends requests with a token until the reply has this status.
async fn wait_for_status(user: &Customer, token: &str, expected: StatusCode) {
    for _ in 0..300 {
        if Reply::to(user.clone().with_token(token).get("/")).await.status == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the new secrets are not used");
}

#[tokio::test]
async fn secrets_rotate_without_a_failed_request() {
    let secret = |kid: &str, secret: &str| json!({"kid": kid, "secret": secret});
    let old = secret("old", "b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xkLW9sZC0");
    let new = secret("new", "bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldy0");
    let token = |secret: &[u8], kid: &str| hs256(secret, &json!({"alg": "HS256", "kid": kid}), &claims("user1"));
    let (by_old, by_new) = (token(OLD_SECRET, "old"), token(NEW_SECRET, "new"));

    let state = TempDir::new().expect("a folder");
    let dev = Dev::start(state.path(), &["--auth", "token"]).await;
    let user = Customer::at(&dev.url, "user1");
    configure(&dev, &json!([old])).await;
    wait_for_status(&user, &by_old, StatusCode::OK).await;
    expect_problem(user.clone().with_token(&by_new).get("/"), 401, "invalid_token").await;

    // Each client uses the old token until it gets the new one.
    let (switch, end) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (old_count, new_count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (old, new) = (user.clone().with_token(&by_old), user.clone().with_token(&by_new));
            let (switch, end, old_count, new_count) =
                (switch.clone(), end.clone(), old_count.clone(), new_count.clone());
            tokio::spawn(async move {
                while !end.load(Ordering::SeqCst) {
                    let switched = switch.load(Ordering::SeqCst);
                    let (user, count) = if switched { (&new, &new_count) } else { (&old, &old_count) };
                    let key = format!("/data?key=rotation-{client}");
                    let reply = Reply::to(user.get(&key)).await;
                    assert_eq!(reply.status, StatusCode::NOT_FOUND, "{reply}");
                    assert_eq!(reply.json()["code"], "data_not_found", "{reply}");
                    count.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();

    let pause = || tokio::time::sleep(Duration::from_secs(1));
    pause().await;
    configure(&dev, &json!([new, old])).await;
    wait_for_status(&user, &by_new, StatusCode::OK).await;
    pause().await;
    switch.store(true, Ordering::SeqCst);
    pause().await;
    configure(&dev, &json!([new])).await;
    wait_for_status(&user, &by_old, StatusCode::UNAUTHORIZED).await;
    pause().await;
    end.store(true, Ordering::SeqCst);
    for client in join_all(clients).await {
        client.expect("every reply is correct");
    }
    let (old, new) = (old_count.load(Ordering::SeqCst), new_count.load(Ordering::SeqCst));
    assert!(old >= CLIENTS && new >= CLIENTS, "{old} and {new} requests");
    // A removed secret is never used again.
    for _ in 0..50 {
        expect_problem(user.clone().with_token(&by_old).get("/"), 401, "invalid_token").await;
    }
    assert!(dev.stop(Signal::SIGINT).await.success());
}
