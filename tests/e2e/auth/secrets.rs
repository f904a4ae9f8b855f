//! Tokens signed with `TOKEN_SECRETS`.

use http::{Method, StatusCode};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tests::token::{NEW, OLD, claims, claims_with, good, hs256, hs256_header, hs256_of, now};
use tests::{Customer, Reply, chunked, expect_problem, log};

/// A customer of the dispatcher whose `TOKEN_SECRETS` has `NEW` and `OLD`.
fn user(id: &str) -> Customer {
    Customer::behind("token", id)
}

/// Expects a request to reach its customer's Worker, and answers what that was asked.
async fn expect_passed(request: RequestBuilder) -> Value {
    let reply = Reply::to(request).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply}");
    reply.json()
}

#[tokio::test]
async fn a_good_token_lets_its_customer_through() {
    let by_old = json!({"alg": "HS256", "kid": "old"});
    let without_kid = json!({"alg": "HS256"});
    for token in [
        good("user1"),
        hs256(OLD, &by_old, &claims("user1")),
        hs256(NEW, &without_kid, &claims("user1")),
        hs256(OLD, &without_kid, &claims("user1")),
        hs256(NEW, &hs256_header(), &claims_with("user1", json!({"exp": now() - 30}))),
        hs256(NEW, &hs256_header(), &claims_with("user1", json!({"nbf": now() + 30}))),
        hs256(NEW, &hs256_header(), &claims_with("user1", json!({"exp": 1e18, "aud": "x", "iss": "x", "more": [1]}))),
    ] {
        let asked = expect_passed(user("user1").with_token(&token).get("/files?key=a")).await;
        assert_eq!(asked["name"], "user1");
    }
    let request = user("user1").put("/files?key=a").header("Authorization", format!("bearer  {}", good("user1")));
    let asked = expect_passed(request.body(chunked("body"))).await;
    assert_eq!((&asked["method"], &asked["body"]), (&"PUT".into(), &"body".into()));
}

#[tokio::test]
async fn a_request_without_a_token_is_told_what_to_send() {
    for path in ["/", "/files?key=a", "/nothing"] {
        let reply = expect_problem(user("user1").get(path), 401, "missing_token").await;
        assert_eq!(reply.header("WWW-Authenticate"), r#"Bearer realm="platform""#);
    }
    for authorization in ["", "Basic dXNlcjpwYXNz", "Token abc", "Bearerabc"] {
        let request = user("user1").get("/").header("Authorization", authorization);
        expect_problem(request, 401, "missing_token").await;
    }
    // Elsewhere it does not count.
    let token = good("user1");
    for request in [
        user("user1").get(&format!("/?access_token={token}")),
        user("user1").get("/").header("Cookie", format!("Authorization=Bearer {token}")),
        user("user1").get("/").header("Proxy-Authorization", format!("Bearer {token}")),
        user("user1").get("/").header("X-Authorization", format!("Bearer {token}")),
        user("user1")
            .post("/")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("access_token={token}")),
    ] {
        expect_problem(request, 401, "missing_token").await;
    }
}

/// Whatever is wrong with it: a token that no key has signed is refused with the same words.
#[tokio::test]
async fn a_token_that_no_key_has_signed_is_refused() {
    let good = good("user1");
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let (header, payload) = signed.split_once('.').expect("three parts");
    let other = tests::token::good("user2");
    let other_payload = other.split('.').nth(1).expect("three parts");
    let none = json!({"alg": "none", "kid": "new"});
    let unsigned = hs256(NEW, &none, &claims("user1"));
    let unsigned = unsigned.rsplit_once('.').expect("three parts").0;
    let header_of = |json: Value| hs256(NEW, &json, &claims("user1"));
    let crossed = json!({"alg": "HS256", "kid": "old"});

    let mut bodies = Vec::new();
    for token in [
        // No algorithm, in all its spellings, with a signature and without.
        format!("{unsigned}."),
        unsigned.to_owned(),
        header_of(none.clone()),
        header_of(json!({"alg": "None", "kid": "new"})),
        header_of(json!({"alg": "nOnE"})),
        header_of(json!({"alg": ""})),
        header_of(json!({"alg": null})),
        header_of(json!({})),
        // Another algorithm than the key's.
        header_of(json!({"alg": "HS512", "kid": "new"})),
        header_of(json!({"alg": "RS256", "kid": "new"})),
        header_of(json!({"alg": "ES256"})),
        header_of(json!({"alg": ["HS256"], "kid": "new"})),
        header_of(json!({"alg": "HS256", "kid": "new", "crit": ["exp"]})),
        // A changed payload or header, or another's signature.
        format!("{header}.{other_payload}.{signature}"),
        format!("{header}.{}.{signature}", payload.replace('e', "f")),
        format!("{signed}.{}", other.rsplit_once('.').expect("three parts").1),
        format!("{signed}.{}", &signature[1..]),
        format!("{signed}.{signature}A"),
        format!("{signed}.{signature}="),
        format!("{signed}.{signature}.{signature}"),
        format!("{signed}."),
        // A wrong key, a wrong name of a key, and one that would lead elsewhere.
        hs256(b"guessed", &hs256_header(), &claims("user1")),
        hs256(b"", &hs256_header(), &claims("user1")),
        hs256(OLD, &hs256_header(), &claims("user1")),
        hs256(NEW, &crossed, &claims("user1")),
        header_of(json!({"alg": "HS256", "kid": "unknown"})),
        header_of(json!({"alg": "HS256", "kid": ""})),
        header_of(json!({"alg": "HS256", "kid": "../new"})),
        header_of(json!({"alg": "HS256", "kid": {"kid": "new"}})),
        hs256(
            b"",
            &json!({"alg": "HS256", "kid": "/dev/null", "jku": "http://127.0.0.1/", "jwk": {"kty": "oct", "k": ""}}),
            &claims("user1"),
        ),
        // Garbage.
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "null.null.null".to_owned(),
        hs256_of(NEW, "[]", "{}"),
        hs256_of(NEW, "\"HS256\"", "{}"),
        hs256_of(NEW, "{", "{}"),
        hs256_of(NEW, &"[".repeat(5000), "{}"),
        hs256_of(NEW, &format!("{{\"alg\":{}", "{\"a\":".repeat(1500)), "{}"),
        format!("{good} {good}"),
        format!("{good}, Bearer {good}"),
        "A".repeat(20_000),
        format!("{header}.{}.{signature}", "A".repeat(16_000)),
    ] {
        let reply = expect_problem(user("user1").with_token(&token).get("/"), 401, "invalid_token").await;
        let challenge = reply.header("WWW-Authenticate");
        assert!(challenge.starts_with(r#"Bearer realm="platform", error="invalid_token", error_desc"#), "{challenge}");
        bodies.push((reply.json()["detail"].clone(), challenge.to_owned()));
    }
    // What differs would tell an attacker how far he got.
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:#?}");

    // Two headers are not one.
    let request = user("user1").get("/").header("Authorization", format!("Bearer {good}"));
    expect_problem(request.header("Authorization", format!("Bearer {good}")), 401, "invalid_token").await;
    // After all that, a good one is still good.
    expect_passed(user("user1").with_token(&good).get("/")).await;
}

/// Whoever sends it gets an answer, and so does the next.
#[tokio::test]
async fn a_header_of_a_hundred_kilobytes_harms_nobody() {
    for text in ["A".repeat(100_000), "A.".repeat(50_000), format!("{}.", "A".repeat(33_333)).repeat(3)] {
        let reply = Reply::to(user("user1").with_token(&text).get("/")).await;
        assert!(reply.status.is_client_error(), "{reply}");
        expect_passed(user("user1").with_token(&good("user1")).get("/")).await;
    }
}

/// These are ours; they may be told what is wrong with them.
#[tokio::test]
async fn a_token_of_ours_is_told_why_it_is_refused() {
    let signed = |changes: Value| hs256(NEW, &hs256_header(), &claims_with("user1", changes));
    let raw = |payload: &str| hs256_of(NEW, &hs256_header().to_string(), payload);
    for (token, reason) in [
        (signed(json!({"exp": now() - 61})), "expired"),
        (signed(json!({"exp": 0})), "expired"),
        (signed(json!({"exp": -1})), "expired"),
        (signed(json!({"nbf": now() + 120})), "not valid yet"),
        (signed(json!({"exp": null})), "`exp`"),
        (signed(json!({"exp": (now() + 60).to_string()})), "`exp`"),
        (signed(json!({"exp": true})), "`exp`"),
        (signed(json!({"exp": [now() + 60]})), "`exp`"),
        (signed(json!({"nbf": "0"})), "`nbf`"),
        (signed(json!({"sub": null})), "`sub`"),
        (signed(json!({"sub": ["user1"]})), "`sub`"),
        (signed(json!({"scope": ["read"]})), "`scope`"),
        (raw(&format!(r#"{{"sub":"user1","scope":"read write","exp":1e999,"nbf":{}}}"#, now())), "`exp`"),
        (raw("[]"), "`sub`"),
        (raw("null"), "`sub`"),
        (raw("{"), "`sub`"),
        (raw(""), "`sub`"),
    ] {
        let reply = expect_problem(user("user1").with_token(&token).get("/"), 401, "invalid_token").await;
        assert!(reply.json()["detail"].as_str().expect("text").contains(reason), "{reason}: {reply}");
        assert!(reply.header("WWW-Authenticate").contains(r#"error="invalid_token""#), "{reply}");
    }
}

#[tokio::test]
async fn a_token_is_for_its_customer_alone() {
    let user1 = good("user1");
    for id in ["user2", "user", "user11", "a", "nobody"] {
        expect_problem(user(id).with_token(&user1).get("/"), 403, "user_mismatch").await;
    }
    for sub in ["User1", " user1", "user1\0", "", "*", "user1 user2", "us\u{435}r1"] {
        let token = hs256(NEW, &hs256_header(), &claims(sub));
        expect_problem(user("user1").with_token(&token).get("/"), 403, "user_mismatch").await;
    }
    let two = r#"{"sub":"user1","sub":"user2","scope":"read","exp":99999999999}"#;
    let token = hs256_of(NEW, &hs256_header().to_string(), two);
    expect_problem(user("user1").with_token(&token).get("/"), 403, "user_mismatch").await;
    // Before the token comes whom it is for.
    expect_problem(Customer::nobody_behind("token").with_token(&user1).get("/"), 400, "missing_user_id").await;
    expect_problem(user("User1").with_token(&user1).get("/"), 400, "invalid_user_id").await;
    expect_problem(user("User1").get("/"), 400, "invalid_user_id").await;
}

#[tokio::test]
async fn a_scope_allows_what_it_says() {
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    for (scope, read, write) in [
        (json!("read write"), true, true),
        (json!("write read"), true, true),
        (json!("read"), true, false),
        (json!("openid read email"), true, false),
        (json!("write"), false, true),
        (json!(""), false, false),
        (json!("admin"), false, false),
        (json!("read,write"), false, false),
        (json!("READ"), false, false),
        (json!(null), false, false),
    ] {
        let token = hs256(NEW, &hs256_header(), &claims_with("user1", json!({"scope": scope})));
        for method in methods {
            let reads = matches!(method, "GET" | "HEAD");
            let request =
                user("user1").with_token(&token).request(Method::from_bytes(method.as_bytes()).expect("one"), "/data");
            let reply = Reply::to(request).await;
            if (reads && read) || (!reads && write) {
                assert_eq!(reply.status, StatusCode::OK, "{scope} {method}: {reply}");
                continue;
            }
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{scope} {method}: {reply}");
            let needed = if reads { "read" } else { "write" };
            assert_eq!(
                reply.header("WWW-Authenticate"),
                format!(r#"Bearer realm="platform", error="insufficient_scope", scope="{needed}""#)
            );
            if method != "HEAD" {
                assert_eq!(reply.json()["code"], "insufficient_scope");
            }
        }
    }
}

#[tokio::test]
async fn audience_and_issuer_are_checked_where_they_are_configured() {
    let strict = |changes: Value| {
        let token = hs256(NEW, &hs256_header(), &claims_with("user1", changes));
        Customer::behind("strict", "user1").with_token(&token).get("/")
    };
    expect_passed(strict(json!({"aud": "the-api", "iss": "the-issuer"}))).await;
    expect_passed(strict(json!({"aud": ["x", "the-api"], "iss": "the-issuer"}))).await;
    for changes in [
        json!({}),
        json!({"aud": "the-api"}),
        json!({"iss": "the-issuer"}),
        json!({"aud": "the-api2", "iss": "the-issuer"}),
        json!({"aud": ["the-ap", "i"], "iss": "the-issuer"}),
        json!({"aud": [], "iss": "the-issuer"}),
        json!({"aud": {"the-api": true}, "iss": "the-issuer"}),
        json!({"aud": "the-api", "iss": "THE-ISSUER"}),
        json!({"aud": "the-api", "iss": ["the-issuer"]}),
    ] {
        expect_problem(strict(changes), 401, "invalid_token").await;
    }
}

/// No key, a key that is none, a misspelt `AUTH`: nobody gets in, with a token or without.
#[tokio::test]
async fn what_is_not_configured_fails_closed() {
    for dispatcher in ["unconfigured", "auth-unknown", "secrets-short"] {
        for user in [
            Customer::behind(dispatcher, "user1"),
            Customer::behind(dispatcher, "user1").with_token(&good("user1")),
            Customer::behind(dispatcher, "user1").with_token("x"),
        ] {
            let reply = expect_problem(user.get("/"), 503, "auth_not_configured").await;
            for internal in ["AUTH", "TOKEN", "secret", "bytes"] {
                assert!(!reply.json()["detail"].as_str().expect("text").contains(internal), "{reply}");
            }
        }
        // What needs no customer goes on.
        assert_eq!(Reply::to(Customer::nobody_behind(dispatcher).get("/healthz")).await.status, StatusCode::OK);
        expect_problem(Customer::nobody_behind(dispatcher).get("/"), 400, "missing_user_id").await;
    }
    // A key that is none signs nothing.
    for header in [json!({"alg": "ES256", "kid": "a"}), json!({"alg": "ES256"})] {
        let token = hs256(NEW, &header, &claims("user1"));
        expect_problem(Customer::behind("jwks-broken", "user1").with_token(&token).get("/"), 401, "invalid_token")
            .await;
    }
    let logged =
        log::lines(1, |line| line["cause"].as_str().is_some_and(|cause| cause.contains("cannot use the key"))).await;
    assert_eq!(logged[0]["level"], "error");
}

/// The same name, another secret: what was imported of the one is never used for the other.
#[tokio::test]
async fn keys_are_cached_by_their_value() {
    let of = |secret| hs256(secret, &json!({"alg": "HS256", "kid": "a"}), &claims("user1"));
    let (by_new, by_old) = (of(NEW), of(OLD));
    let mut outcomes = Vec::new();
    for token in [&by_new, &by_new, &by_new, &by_new, &by_old, &by_old, &by_old, &by_old] {
        let reply = Reply::to(Customer::behind("alternating", "user1").with_token(token).get("/")).await;
        outcomes.push(reply.status.as_u16());
    }
    // Each is good at every second time, and when the one is good the other is not.
    assert_eq!(outcomes, [200, 401, 200, 401, 401, 200, 401, 200]);
}

#[tokio::test]
async fn a_customers_worker_never_sees_the_token() {
    let token = good("user1");
    let user = user("user1").with_token(&token);
    for request in [
        user.get("/"),
        user.post("/").body("x"),
        user.get("/").header("X-Request-Id", "mine"),
        user.get("/").header("CF-Ray", "8a9b0c1d2e3f4a5b-AMS"),
        user.get("/").header("Connection", "close"),
    ] {
        let asked = expect_passed(request).await;
        assert_eq!(asked["headers"]["authorization"], Value::Null, "{asked}");
        assert!(!asked.to_string().contains(&token), "{asked}");
        assert_eq!(asked["headers"]["x-user-id"], "user1");
    }
}

/// In either mode: what tells a Worker that another Worker is asking does not come from a client.
#[tokio::test]
async fn no_client_poses_as_a_part_of_the_platform() {
    let record = Reply::to(Customer::new("records").put("/posing").body("{}")).await;
    assert_eq!(record.status, StatusCode::NO_CONTENT);
    for user in [user("user1").with_token(&good("user1")), Customer::behind("records", "posing")] {
        let asked = expect_passed(user.get("/").header("CF-Worker", "platform.example").header("cf-worker", "x")).await;
        assert_eq!(asked["headers"]["cf-worker"], Value::Null, "{asked}");
    }
    let echo = Customer::new("echo");
    let asked = Reply::to(echo.get("/").header("CF-Worker", "x").header("Authorization", "Bearer mine")).await;
    let asked: Value = serde_json::from_str(asked.header("Echo")).expect("JSON");
    assert_eq!(asked["headers"]["cf-worker"], Value::Null);
    // Where the platform has no tokens, the header is the customer's own affair.
    assert_eq!(asked["headers"]["authorization"], "Bearer mine");
}
