//! Tokens signed with `TOKEN_SECRETS`.

use http::{Method, StatusCode};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tests::token::{
    NEW_SECRET, OLD_SECRET, claims, claims_with, hs256, hs256_from_text, hs256_header, now, valid_token,
};
use tests::{Customer, Reply, chunked, expect_problem, log};

/// Creates a client of the dispatcher whose `TOKEN_SECRETS` are `NEW_SECRET` and `OLD_SECRET`.
fn user(id: &str) -> Customer {
    Customer::behind("token", id)
}

/// Expects a request to reach its customer's Worker, and returns the request that it received.
async fn expect_forwarded(request: RequestBuilder) -> Value {
    let reply = Reply::to(request).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply}");
    reply.json()
}

#[tokio::test]
async fn a_valid_token_lets_its_customer_through() {
    let by_old = json!({"alg": "HS256", "kid": "old"});
    let without_kid = json!({"alg": "HS256"});
    for token in [
        valid_token("user1"),
        hs256(OLD_SECRET, &by_old, &claims("user1")),
        hs256(NEW_SECRET, &without_kid, &claims("user1")),
        hs256(OLD_SECRET, &without_kid, &claims("user1")),
        hs256(NEW_SECRET, &hs256_header(), &claims_with("user1", json!({"exp": now() - 30}))),
        hs256(NEW_SECRET, &hs256_header(), &claims_with("user1", json!({"nbf": now() + 30}))),
        hs256(
            NEW_SECRET,
            &hs256_header(),
            &claims_with("user1", json!({"exp": 1e18, "aud": "x", "iss": "x", "more": [1]})),
        ),
    ] {
        let received = expect_forwarded(user("user1").with_token(&token).get("/files?key=a")).await;
        assert_eq!(received["name"], "user1");
    }
    let request =
        user("user1").put("/files?key=a").header("Authorization", format!("bearer  {}", valid_token("user1")));
    let received = expect_forwarded(request.body(chunked("body"))).await;
    assert_eq!((&received["method"], &received["body"]), (&"PUT".into(), &"body".into()));
}

#[tokio::test]
async fn a_request_without_a_token_gets_a_challenge() {
    for path in ["/", "/files?key=a", "/nothing"] {
        let reply = expect_problem(user("user1").get(path), 401, "missing_token").await;
        assert_eq!(reply.header("WWW-Authenticate"), r#"Bearer realm="platform""#);
    }
    for authorization in ["", "Basic dXNlcjpwYXNz", "Token abc", "Bearerabc"] {
        let request = user("user1").get("/").header("Authorization", authorization);
        expect_problem(request, 401, "missing_token").await;
    }
    // A token anywhere else is ignored.
    let token = valid_token("user1");
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

/// All such tokens are refused with the same reply.
#[tokio::test]
async fn a_token_without_a_valid_signature_is_refused() {
    let good = valid_token("user1");
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let (header, payload) = signed.split_once('.').expect("three parts");
    let other = tests::token::valid_token("user2");
    let other_payload = other.split('.').nth(1).expect("three parts");
    let none = json!({"alg": "none", "kid": "new"});
    let unsigned = hs256(NEW_SECRET, &none, &claims("user1"));
    let unsigned = unsigned.rsplit_once('.').expect("three parts").0;
    let header_of = |json: Value| hs256(NEW_SECRET, &json, &claims("user1"));
    let crossed = json!({"alg": "HS256", "kid": "old"});

    let mut bodies = Vec::new();
    for token in [
        // The algorithm `none` in all spellings, with and without a signature.
        format!("{unsigned}."),
        unsigned.to_owned(),
        header_of(none.clone()),
        header_of(json!({"alg": "None", "kid": "new"})),
        header_of(json!({"alg": "nOnE"})),
        header_of(json!({"alg": ""})),
        header_of(json!({"alg": null})),
        header_of(json!({})),
        // An algorithm other than the key's.
        header_of(json!({"alg": "HS512", "kid": "new"})),
        header_of(json!({"alg": "RS256", "kid": "new"})),
        header_of(json!({"alg": "ES256"})),
        header_of(json!({"alg": ["HS256"], "kid": "new"})),
        header_of(json!({"alg": "HS256", "kid": "new", "crit": ["exp"]})),
        // A changed payload, or the signature of another token.
        format!("{header}.{other_payload}.{signature}"),
        format!("{header}.{}.{signature}", payload.replace('e', "f")),
        format!("{signed}.{}", other.rsplit_once('.').expect("three parts").1),
        format!("{signed}.{}", &signature[1..]),
        format!("{signed}.{signature}A"),
        format!("{signed}.{signature}="),
        format!("{signed}.{signature}.{signature}"),
        format!("{signed}."),
        // A wrong key, a wrong key id, and headers that point to another key.
        hs256(b"guessed", &hs256_header(), &claims("user1")),
        hs256(b"", &hs256_header(), &claims("user1")),
        hs256(OLD_SECRET, &hs256_header(), &claims("user1")),
        hs256(NEW_SECRET, &crossed, &claims("user1")),
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
        hs256_from_text(NEW_SECRET, "[]", "{}"),
        hs256_from_text(NEW_SECRET, "\"HS256\"", "{}"),
        hs256_from_text(NEW_SECRET, "{", "{}"),
        hs256_from_text(NEW_SECRET, &"[".repeat(5000), "{}"),
        hs256_from_text(NEW_SECRET, &format!("{{\"alg\":{}", "{\"a\":".repeat(1500)), "{}"),
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
    // A difference would tell an attacker which check failed.
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:#?}");

    // Two `Authorization` headers are refused.
    let request = user("user1").get("/").header("Authorization", format!("Bearer {good}"));
    expect_problem(request.header("Authorization", format!("Bearer {good}")), 401, "invalid_token").await;
    // A valid token is still accepted.
    expect_forwarded(user("user1").with_token(&good).get("/")).await;
}

/// The client gets a reply, and so does the next one.
#[tokio::test]
async fn a_100_kb_authorization_header_harms_nobody() {
    for text in ["A".repeat(100_000), "A.".repeat(50_000), format!("{}.", "A".repeat(33_333)).repeat(3)] {
        let reply = Reply::to(user("user1").with_token(&text).get("/")).await;
        assert!(reply.status.is_client_error(), "{reply}");
        expect_forwarded(user("user1").with_token(&valid_token("user1")).get("/")).await;
    }
}

/// The holder of a correctly signed token may learn why it is refused.
#[tokio::test]
async fn a_correctly_signed_token_is_refused_with_the_reason() {
    let signed = |changes: Value| hs256(NEW_SECRET, &hs256_header(), &claims_with("user1", changes));
    let raw = |payload: &str| hs256_from_text(NEW_SECRET, &hs256_header().to_string(), payload);
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
async fn a_token_is_valid_only_for_its_customer() {
    let user1 = valid_token("user1");
    for id in ["user2", "user", "user11", "a", "nobody"] {
        expect_problem(user(id).with_token(&user1).get("/"), 403, "user_mismatch").await;
    }
    for sub in ["User1", " user1", "user1\0", "", "*", "user1 user2", "us\u{435}r1"] {
        let token = hs256(NEW_SECRET, &hs256_header(), &claims(sub));
        expect_problem(user("user1").with_token(&token).get("/"), 403, "user_mismatch").await;
    }
    let two = r#"{"sub":"user1","sub":"user2","scope":"read","exp":99999999999}"#;
    let token = hs256_from_text(NEW_SECRET, &hs256_header().to_string(), two);
    expect_problem(user("user1").with_token(&token).get("/"), 403, "user_mismatch").await;
    // The user id is checked before the token.
    expect_problem(Customer::anonymous_behind("token").with_token(&user1).get("/"), 400, "missing_user_id").await;
    expect_problem(user("User1").with_token(&user1).get("/"), 400, "invalid_user_id").await;
    expect_problem(user("User1").get("/"), 400, "invalid_user_id").await;
}

#[tokio::test]
async fn scopes_limit_the_methods() {
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
        let token = hs256(NEW_SECRET, &hs256_header(), &claims_with("user1", json!({"scope": scope})));
        for method in methods {
            let reads = matches!(method, "GET" | "HEAD");
            let request = user("user1")
                .with_token(&token)
                .request(Method::from_bytes(method.as_bytes()).expect("a method"), "/data");
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
async fn audience_and_issuer_are_checked_if_configured() {
    let strict = |changes: Value| {
        let token = hs256(NEW_SECRET, &hs256_header(), &claims_with("user1", changes));
        Customer::behind("strict", "user1").with_token(&token).get("/")
    };
    expect_forwarded(strict(json!({"aud": "the-api", "iss": "the-issuer"}))).await;
    expect_forwarded(strict(json!({"aud": ["x", "the-api"], "iss": "the-issuer"}))).await;
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

/// Without secrets, with an invalid secret or an unknown `AUTH`, nobody gets in, with or without a token.
#[tokio::test]
async fn missing_or_invalid_auth_configuration_fails_closed() {
    for dispatcher in ["unconfigured", "auth-unknown", "secrets-short"] {
        for user in [
            Customer::behind(dispatcher, "user1"),
            Customer::behind(dispatcher, "user1").with_token(&valid_token("user1")),
            Customer::behind(dispatcher, "user1").with_token("x"),
        ] {
            let reply = expect_problem(user.get("/"), 503, "auth_not_configured").await;
            for internal in ["AUTH", "TOKEN", "secret", "bytes"] {
                assert!(!reply.json()["detail"].as_str().expect("text").contains(internal), "{reply}");
            }
        }
        // `/healthz` needs no customer.
        assert_eq!(Reply::to(Customer::anonymous_behind(dispatcher).get("/healthz")).await.status, StatusCode::OK);
        expect_problem(Customer::anonymous_behind(dispatcher).get("/"), 400, "missing_user_id").await;
    }
    // An invalid key in the key set verifies no token.
    for header in [json!({"alg": "ES256", "kid": "a"}), json!({"alg": "ES256"})] {
        let token = hs256(NEW_SECRET, &header, &claims("user1"));
        expect_problem(Customer::behind("jwks-broken", "user1").with_token(&token).get("/"), 401, "invalid_token")
            .await;
    }
    let logged =
        log::lines(1, |line| line["cause"].as_str().is_some_and(|cause| cause.contains("cannot use the key"))).await;
    assert_eq!(logged[0]["level"], "error");
}

/// Two secrets have the same key id. The imported key of one is never used for the other.
#[tokio::test]
async fn cached_keys_are_distinguished_by_their_value() {
    let token = |secret| hs256(secret, &json!({"alg": "HS256", "kid": "a"}), &claims("user1"));
    let (by_new, by_old) = (token(NEW_SECRET), token(OLD_SECRET));
    let mut statuses = Vec::new();
    for token in [&by_new, &by_new, &by_new, &by_new, &by_old, &by_old, &by_old, &by_old] {
        let reply = Reply::to(Customer::behind("alternating", "user1").with_token(token).get("/")).await;
        statuses.push(reply.status.as_u16());
    }
    // The dispatcher alternates between the secrets.
    assert_eq!(statuses, [200, 401, 200, 401, 401, 200, 401, 200]);
}

#[tokio::test]
async fn a_customer_worker_never_sees_the_token() {
    let token = valid_token("user1");
    let user = user("user1").with_token(&token);
    for request in [
        user.get("/"),
        user.post("/").body("x"),
        user.get("/").header("X-Request-Id", "mine"),
        user.get("/").header("CF-Ray", "8a9b0c1d2e3f4a5b-AMS"),
        user.get("/").header("Connection", "close"),
    ] {
        let received = expect_forwarded(request).await;
        assert_eq!(received["headers"]["authorization"], Value::Null, "{received}");
        assert!(!received.to_string().contains(&token), "{received}");
        assert_eq!(received["headers"]["x-user-id"], "user1");
    }
}

/// `CF-Worker` marks a request as another Worker's. The dispatcher removes it from clients' requests in both modes of
/// `AUTH`.
#[tokio::test]
async fn cf_worker_headers_from_outside_are_removed() {
    let record = Reply::to(Customer::new("records").put("/posing").body("{}")).await;
    assert_eq!(record.status, StatusCode::NO_CONTENT);
    for user in [user("user1").with_token(&valid_token("user1")), Customer::behind("records", "posing")] {
        let received =
            expect_forwarded(user.get("/").header("CF-Worker", "platform.example").header("cf-worker", "x")).await;
        assert_eq!(received["headers"]["cf-worker"], Value::Null, "{received}");
    }
    let echo = Customer::new("echo");
    let received = Reply::to(echo.get("/").header("CF-Worker", "x").header("Authorization", "Bearer mine")).await;
    let received: Value = serde_json::from_str(received.header("Echo")).expect("JSON");
    assert_eq!(received["headers"]["cf-worker"], Value::Null);
    // A platform without tokens forwards `Authorization`.
    assert_eq!(received["headers"]["authorization"], "Bearer mine");
}
