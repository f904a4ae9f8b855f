//! Tokens signed with the keys of a JSON Web Key Set.

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
use tests::token::{claims, hs256, sign};
use tests::{Customer, Dev, Reply, expect_problem, expect_success};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An identity provider: serves one document, and counts how often it is asked.
#[derive(Clone)]
struct Provider {
    address: SocketAddr,
    document: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    async fn start(set: &Value) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let provider = Self { address, document: Arc::default(), asked: Arc::default() };
        provider.publish(set);
        let served = provider.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    served.asked.fetch_add(1, Ordering::SeqCst);
                    // Long enough for many requests to want it at once.
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

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn token(kid: &str, alg: &str) -> Value {
    json!({"kid": kid, "header": {"alg": alg, "kid": kid}, "payload": claims("user1")})
}

/// The set with the keys of these names alone.
fn only(set: &Value, kids: &[&str]) -> Value {
    let keys = set["keys"].as_array().expect("keys").iter();
    json!({"keys": keys.filter(|key| kids.iter().any(|kid| key["kid"] == *kid)).collect::<Vec<_>>()})
}

#[tokio::test]
async fn keys_of_every_kind_verify_their_own_tokens_alone() {
    let keys = json!([
        {"kid": "rsa", "kind": "RS256"}, {"kid": "ec", "kind": "ES256"}, {"kid": "ed", "kind": "EdDSA"},
        {"kid": "weak", "kind": "weak"}, {"kid": "strange", "kind": "ES256"},
    ]);
    let forged = |kid: &str, alg: &str| json!({"kid": kid, "header": {"alg": alg, "kid": kid}, "payload": claims("user1"), "hmac": true});
    let claimed = |kid: &str, header: Value| json!({"kid": kid, "header": header, "payload": claims("user1")});
    let good = [
        token("rsa", "RS256"),
        token("ec", "ES256"),
        token("ed", "EdDSA"),
        token("ed", "Ed25519"),
        claimed("rsa", json!({"alg": "RS256"})),
        claimed("ec", json!({"alg": "ES256"})),
        claimed("ed", json!({"alg": "EdDSA", "typ": "at+jwt"})),
    ];
    let bad = [
        // HMAC with the public key for a secret, under every name.
        forged("rsa", "HS256"),
        forged("rsa", "RS256"),
        forged("ec", "HS256"),
        forged("ec", "ES256"),
        json!({"kid": "rsa", "header": {"alg": "HS256"}, "payload": claims("user1"), "hmac": true}),
        // A key of the set for another algorithm or under another's name, one too weak, and one that is not in it.
        token("rsa", "RS512"),
        token("rsa", "PS256"),
        token("rsa", "ES256"),
        token("ec", "EdDSA"),
        token("weak", "RS256"),
        token("strange", "ES256"),
        claimed("strange", json!({"alg": "ES256", "kid": "ec"})),
        claimed("strange", json!({"alg": "ES256"})),
        claimed("rsa", json!({"alg": "none", "kid": "rsa"})),
    ];
    let (set, tokens) = sign(&keys, &good.iter().chain(&bad).cloned().collect());
    let mut set = only(&set, &["rsa", "ec", "ed", "weak"]);
    // A key that is none does not keep the others from being used.
    let nothing = "A".repeat(43);
    let none = json!({"kty": "EC", "kid": "none", "crv": "P-256", "x": nothing, "y": nothing});
    set["keys"].as_array_mut().expect("keys").insert(0, none);
    let (good, bad) = tokens.split_at(good.len());

    let state = TempDir::new().expect("a folder");
    let dev = Dev::start(state.path(), &["--auth", "token", "--var", &format!("TOKEN_JWKS:{set}")]).await;
    let user = Customer::of(&dev.url, "user1");
    for token in good {
        expect_success(user.clone().with_token(token).get("/")).await;
        expect_problem(Customer::of(&dev.url, "user2").with_token(token).get("/"), 403, "user_mismatch").await;
    }
    for token in bad {
        expect_problem(user.clone().with_token(token).get("/"), 401, "invalid_token").await;
        let (signed, _) = token.rsplit_once('.').expect("three parts");
        expect_problem(user.clone().with_token(&format!("{signed}.")).get("/"), 401, "invalid_token").await;
    }
    for (at, token) in good.iter().enumerate() {
        // Another's signature, also one of the same key.
        let (signed, _) = token.rsplit_once('.').expect("three parts");
        for other in good.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other) {
            let (_, signature) = other.rsplit_once('.').expect("three parts");
            let mixed = format!("{signed}.{signature}");
            expect_problem(user.clone().with_token(&mixed).get("/"), 401, "invalid_token").await;
        }
    }
    assert!(dev.stop(Signal::SIGINT).await.success());
}

/// What a provider must not be, and what it must not answer.
#[tokio::test]
async fn a_provider_that_cannot_be_trusted_lets_nobody_in() {
    let (set, tokens) = sign(&json!([{"kid": "a", "kind": "ES256"}]), &json!([token("a", "ES256")]));
    let provider = Provider::start(&set).await;
    let state = TempDir::new().expect("a folder");
    let huge = format!(r#"{{"keys":[],"padding":"{}"}}"#, "x".repeat(300_000));
    for (url, document, code) in [
        // In the clear, over a network.
        ("http://idp.example/jwks.json".to_owned(), (200, set.to_string()), "auth_not_configured"),
        ("data:application/json,{}".to_owned(), (200, set.to_string()), "auth_not_configured"),
        (String::new(), (200, set.to_string()), "auth_not_configured"),
        (format!("http://{}/", provider.address), (302, set.to_string()), "auth_unavailable"),
        (format!("http://{}/", provider.address), (200, huge), "auth_unavailable"),
    ] {
        *provider.document.lock().expect("no panic") = document;
        let var = format!("TOKEN_JWKS_URL:{url}");
        let dev = Dev::start(state.path(), &["--customer", "user1", "--auth", "token", "--var", &var]).await;
        expect_problem(Customer::of(&dev.url, "user1").with_token(&tokens[0]).get("/"), 503, code).await;
        assert!(dev.stop(Signal::SIGINT).await.success());
    }
}

#[tokio::test]
async fn a_key_set_on_the_network_is_cached_and_followed() {
    let keys = json!([{"kid": "a", "kind": "ES256"}, {"kid": "b", "kind": "RS256"}, {"kid": "c", "kind": "EdDSA"}]);
    let wanted = [token("a", "ES256"), token("b", "RS256"), token("c", "EdDSA")];
    let (set, tokens) = sign(&keys, &wanted.into_iter().collect());
    let provider = Provider::start(&only(&set, &["a"])).await;
    provider.fail(500);
    let url = format!("TOKEN_JWKS_URL:http://{}/jwks.json?key=hush", provider.address);
    let state = TempDir::new().expect("a folder");
    let dev = Dev::start(state.path(), &["--auth", "token", "--var", &url]).await;
    let with = |at: usize| Customer::of(&dev.url, "user1").with_token(&tokens[at]).get("/");

    // Nobody can be told from anybody else; the provider is not asked by everyone who knocks.
    for _ in 0..5 {
        let reply = expect_problem(with(0), 503, "auth_unavailable").await;
        assert_eq!(reply.header("Retry-After"), "5");
    }
    assert_eq!(provider.asked(), 1);
    // Neither a token that the platform itself has issued nor one that no set could have signed needs the provider.
    for header in [json!({"alg": "HS256", "kid": "x"}), json!({"alg": "none"})] {
        let garbage = hs256(b"x", &header, &claims("user1"));
        expect_problem(Customer::of(&dev.url, "user1").with_token(&garbage).get("/"), 401, "invalid_token").await;
    }
    let secrets = std::fs::read_to_string(state.path().join("token-secrets.json")).expect("secrets");
    let secrets: Value = serde_json::from_str(&secrets).expect("JSON");
    let secret = BASE64_URL_SAFE_NO_PAD.decode(secrets[0]["secret"].as_str().expect("one")).expect("base64url");
    let ours = hs256(&secret, &json!({"alg": "HS256", "kid": secrets[0]["kid"]}), &claims("user1"));
    expect_success(Customer::of(&dev.url, "user1").with_token(&ours).get("/")).await;
    assert_eq!(provider.asked(), 1);

    // When it is back, many ask at once and all are served by one answer.
    provider.publish(&only(&set, &["a"]));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = provider.asked();
    let replies = join_all((0..20).map(|_| Reply::to(with(0)))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:#?}");
    assert_eq!(provider.asked(), before + 1);
    expect_success(with(0)).await;
    assert_eq!(provider.asked(), before + 1, "it is cached");

    // A key that was published since is found at its first token, by all who have one, with one question.
    provider.publish(&only(&set, &["a", "b"]));
    let replies = join_all((0..20).map(|at| Reply::to(with(at % 2)))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:#?}");
    assert_eq!(provider.asked(), before + 2);

    // One that does not exist is asked for once a minute at most, however many want it.
    let replies = join_all((0..20).map(|_| Reply::to(with(2)))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::UNAUTHORIZED), "{replies:#?}");
    assert_eq!(provider.asked(), before + 2);
    expect_success(with(0)).await;
    assert!(dev.stop(Signal::SIGINT).await.success());
}
