//! Tokens signed with keys of a key set (JWKS).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::future::join_all;
use http::StatusCode;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::token::{claims, generate_keys_and_sign, hs256};
use tests::{Customer, Dev, Reply, expect_problem, expect_success};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An identity provider that serves a key set and counts its requests.
#[derive(Clone)]
struct IdentityProvider {
    address: SocketAddr,
    document: Arc<Mutex<(u16, String)>>,
    requests: Arc<AtomicUsize>,
}

impl IdentityProvider {
    async fn start(set: &Value) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let provider = Self { address, document: Arc::default(), requests: Arc::default() };
        provider.publish(set);
        let served = provider.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    served.requests.fetch_add(1, Ordering::SeqCst);
                    // Long enough for many requests to need the key set at the same time.
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    let (status, body) = served.document.lock().expect("no panic").clone();
                    let head =
                        format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                    let _ = stream.write_all((head + &body).as_bytes()).await;
                });
            }
        });
        provider
    }

    fn publish(&self, set: &Value) {
        *self.document.lock().expect("no panic") = (200, set.to_string());
    }

    fn fail(&self, status: u16) {
        *self.document.lock().expect("no panic") = (status, "{}".to_owned());
    }

    fn request_count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Describes a token to sign, for `fixtures/sign.js`.
fn token(kid: &str, alg: &str) -> Value {
    json!({"kid": kid, "header": {"alg": alg, "kid": kid}, "payload": claims("user1")})
}

/// Returns the key set with only these keys.
fn key_set_with(set: &Value, kids: &[&str]) -> Value {
    let keys = set["keys"].as_array().expect("keys").iter();
    json!({"keys": keys.filter(|key| kids.iter().any(|kid| key["kid"] == *kid)).collect::<Vec<_>>()})
}

#[tokio::test]
async fn each_key_type_verifies_only_its_own_tokens() {
    let keys = json!([
        {"kid": "rsa", "kind": "RS256"}, {"kid": "ec", "kind": "ES256"}, {"kid": "ed", "kind": "EdDSA"},
        {"kid": "weak", "kind": "weak"}, {"kid": "strange", "kind": "ES256"},
    ]);
    let forged = |kid: &str, alg: &str| json!({"kid": kid, "header": {"alg": alg, "kid": kid}, "payload": claims("user1"), "hmac": true});
    let with_header = |kid: &str, header: Value| json!({"kid": kid, "header": header, "payload": claims("user1")});
    let valid = [
        token("rsa", "RS256"),
        token("ec", "ES256"),
        token("ed", "EdDSA"),
        token("ed", "Ed25519"),
        with_header("rsa", json!({"alg": "RS256"})),
        with_header("ec", json!({"alg": "ES256"})),
        with_header("ed", json!({"alg": "EdDSA", "typ": "at+jwt"})),
    ];
    let invalid = [
        // HMAC with the public key as the secret, under every algorithm name.
        forged("rsa", "HS256"),
        forged("rsa", "RS256"),
        forged("ec", "HS256"),
        forged("ec", "ES256"),
        json!({"kid": "rsa", "header": {"alg": "HS256"}, "payload": claims("user1"), "hmac": true}),
        // A key with another algorithm or another key's id, a weak key, and a key that is not in the set.
        token("rsa", "RS512"),
        token("rsa", "PS256"),
        token("rsa", "ES256"),
        token("ec", "EdDSA"),
        token("weak", "RS256"),
        token("strange", "ES256"),
        with_header("strange", json!({"alg": "ES256", "kid": "ec"})),
        with_header("strange", json!({"alg": "ES256"})),
        with_header("rsa", json!({"alg": "none", "kid": "rsa"})),
    ];
    let (set, tokens) = generate_keys_and_sign(&keys, &valid.iter().chain(&invalid).cloned().collect());
    let mut set = key_set_with(&set, &["rsa", "ec", "ed", "weak"]);
    // An invalid key does not affect the others.
    let zero = "A".repeat(43);
    let invalid_key = json!({"kty": "EC", "kid": "none", "crv": "P-256", "x": zero, "y": zero});
    set["keys"].as_array_mut().expect("keys").insert(0, invalid_key);
    let (valid, invalid) = tokens.split_at(valid.len());

    let state = TempDir::new().expect("a folder");
    let dev = Dev::start(state.path(), &["--auth", "token", "--var", &format!("TOKEN_JWKS:{set}")]).await;
    let user = Customer::at(&dev.url, "user1");
    for token in valid {
        expect_success(user.clone().with_token(token).get("/")).await;
        expect_problem(Customer::at(&dev.url, "user2").with_token(token).get("/"), 403, "user_mismatch").await;
    }
    for token in invalid {
        expect_problem(user.clone().with_token(token).get("/"), 401, "invalid_token").await;
        let (signed, _) = token.rsplit_once('.').expect("three parts");
        expect_problem(user.clone().with_token(&format!("{signed}.")).get("/"), 401, "invalid_token").await;
    }
    for (index, token) in valid.iter().enumerate() {
        // The signature of another token, also one with the same key.
        let (signed, _) = token.rsplit_once('.').expect("three parts");
        for (_, other) in valid.iter().enumerate().filter(|(other_index, _)| *other_index != index) {
            let (_, signature) = other.rsplit_once('.').expect("three parts");
            let mixed = format!("{signed}.{signature}");
            expect_problem(user.clone().with_token(&mixed).get("/"), 401, "invalid_token").await;
        }
    }
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// The provider's URL is insecure or invalid, or its reply is a redirect or too large.
#[tokio::test]
async fn an_untrustworthy_provider_lets_nobody_in() {
    let (set, tokens) = generate_keys_and_sign(&json!([{"kid": "a", "kind": "ES256"}]), &json!([token("a", "ES256")]));
    let provider = IdentityProvider::start(&set).await;
    let state = TempDir::new().expect("a folder");
    let huge = format!(r#"{{"keys":[],"padding":"{}"}}"#, "x".repeat(300_000));
    for (url, document, code) in [
        // HTTP over a network is not encrypted.
        ("http://idp.example/jwks.json".to_owned(), (200, set.to_string()), "auth_not_configured"),
        ("data:application/json,{}".to_owned(), (200, set.to_string()), "auth_not_configured"),
        (String::new(), (200, set.to_string()), "auth_not_configured"),
        (format!("http://{}/", provider.address), (302, set.to_string()), "auth_unavailable"),
        (format!("http://{}/", provider.address), (200, huge), "auth_unavailable"),
    ] {
        *provider.document.lock().expect("no panic") = document;
        let var = format!("TOKEN_JWKS_URL:{url}");
        let dev = Dev::start(state.path(), &["--customer", "user1", "--auth", "token", "--var", &var]).await;
        expect_problem(Customer::at(&dev.url, "user1").with_token(&tokens[0]).get("/"), 503, code).await;
        assert!(dev.stop(Signal::SIGINT).await.success());
    }
}

#[tokio::test]
async fn a_fetched_key_set_is_cached_and_updated() {
    let keys = json!([{"kid": "a", "kind": "ES256"}, {"kid": "b", "kind": "RS256"}, {"kid": "c", "kind": "EdDSA"}]);
    let requested = [token("a", "ES256"), token("b", "RS256"), token("c", "EdDSA")];
    let (set, tokens) = generate_keys_and_sign(&keys, &requested.into_iter().collect());
    let provider = IdentityProvider::start(&key_set_with(&set, &["a"])).await;
    provider.fail(500);
    let url = format!("TOKEN_JWKS_URL:http://{}/jwks.json?key=hush", provider.address);
    let state = TempDir::new().expect("a folder");
    let dev = Dev::start(state.path(), &["--auth", "token", "--var", &url]).await;
    let with_token = |index: usize| Customer::at(&dev.url, "user1").with_token(&tokens[index]).get("/");

    // Without the key set, no token can be verified. A failed fetch is not repeated for every request.
    for _ in 0..5 {
        let reply = expect_problem(with_token(0), 503, "auth_unavailable").await;
        assert_eq!(reply.header("Retry-After"), "5");
    }
    assert_eq!(provider.request_count(), 1);
    // Tokens that the platform itself has issued, and those that no key set can verify, do not need the provider.
    for header in [json!({"alg": "HS256", "kid": "x"}), json!({"alg": "none"})] {
        let garbage = hs256(b"x", &header, &claims("user1"));
        expect_problem(Customer::at(&dev.url, "user1").with_token(&garbage).get("/"), 401, "invalid_token").await;
    }
    let secrets = std::fs::read_to_string(state.path().join("token-secrets.json")).expect("the secrets can be read");
    let secrets: Value = serde_json::from_str(&secrets).expect("JSON");
    let secret = BASE64_URL_SAFE_NO_PAD.decode(secrets[0]["secret"].as_str().expect("a secret")).expect("base64url");
    let ours = hs256(&secret, &json!({"alg": "HS256", "kid": secrets[0]["kid"]}), &claims("user1"));
    expect_success(Customer::at(&dev.url, "user1").with_token(&ours).get("/")).await;
    assert_eq!(provider.request_count(), 1);

    // When the provider is available again, concurrent requests share one fetch.
    provider.publish(&key_set_with(&set, &["a"]));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = provider.request_count();
    let replies = join_all((0..20).map(|_| Reply::to(with_token(0)))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:#?}");
    assert_eq!(provider.request_count(), before + 1);
    expect_success(with_token(0)).await;
    assert_eq!(provider.request_count(), before + 1, "the key set is cached");

    // The first tokens with a new key cause one fetch, which all of them share.
    provider.publish(&key_set_with(&set, &["a", "b"]));
    let replies = join_all((0..20).map(|index| Reply::to(with_token(index % 2)))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:#?}");
    assert_eq!(provider.request_count(), before + 2);

    // An unknown key causes one fetch a minute at most.
    let replies = join_all((0..20).map(|_| Reply::to(with_token(2)))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::UNAUTHORIZED), "{replies:#?}");
    assert_eq!(provider.request_count(), before + 2);
    expect_success(with_token(0)).await;
    assert!(dev.stop(Signal::SIGINT).await.success());
}
