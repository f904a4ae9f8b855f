//! Tokens of other customers, and changed tokens.

use serde_json::json;
use tests::token::{NEW_SECRET, OLD_SECRET, claims, claims_with, hs256, hs256_from_text, hs256_header, valid_token};
use tests::{Customer, Reply};

use super::victim::Scene;

#[tokio::test]
async fn a_token_is_valid_for_one_customer() {
    let scene = Scene::new("tokens").await;
    let mine = valid_token("attacker");
    let [header, payload, signature] = mine.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let (none, old_header) = (json!({"alg": "none"}), json!({"alg": "HS256", "kid": "old"}));
    let forged = hs256(OLD_SECRET, &old_header, &claims("victim"));
    let [forged_header, forged_payload, forged_signature] = forged.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let signed_with = |changes| hs256(NEW_SECRET, &hs256_header(), &claims_with("attacker", changes));
    let tokens = [
        // The attacker's own token, unchanged and changed.
        mine.clone(),
        format!("{header}.{forged_payload}.{signature}"),
        format!("{forged_header}.{forged_payload}.{signature}"),
        format!("{header}.{payload}.{forged_signature}"),
        format!("{header}.{payload}.{signature}.{forged_payload}"),
        format!("{header}.{payload}{forged_payload}.{signature}"),
        format!("{mine}, Bearer {forged}"),
        format!("{mine} {forged}"),
        format!("{mine}\t{forged}"),
        // Signed without the secret.
        forged.clone(),
        hs256(b"", &hs256_header(), &claims("victim")),
        hs256(b"victim", &hs256_header(), &claims("victim")),
        hs256(NEW_SECRET, &none, &claims("victim")),
        format!("{forged_header}.{forged_payload}."),
        format!("{forged_header}.{forged_payload}"),
        // Valid signatures for ids that resemble the victim's. The issuer would have to be tricked into signing them.
        signed_with(json!({"sub": ["victim"]})),
        signed_with(json!({"sub": ["attacker", "victim"]})),
        signed_with(json!({"sub": {"victim": "victim"}})),
        signed_with(json!({"sub": "Victim"})),
        signed_with(json!({"sub": "victim "})),
        signed_with(json!({"sub": " victim"})),
        signed_with(json!({"sub": "victim\u{0}"})),
        signed_with(json!({"sub": "victim\n"})),
        signed_with(json!({"sub": "victim,attacker"})),
        signed_with(json!({"sub": "v\u{131}ctim"})),
        signed_with(json!({"sub": "*"})),
        signed_with(json!({"sub": ""})),
        signed_with(json!({"sub": null})),
        signed_with(json!({"sub": true})),
        signed_with(
            json!({"Sub": "victim", "SUB": "victim", "user": "victim", "userId": "victim", "X-User-ID": "victim"}),
        ),
        signed_with(json!({"scope": "read write victim", "aud": "victim", "act": {"sub": "victim"}})),
        hs256_from_text(
            NEW_SECRET,
            &hs256_header().to_string(),
            r#"{"sub":"victim","exp":9999999999,"scope":"read write","sub":"attacker"}"#,
        ),
    ];
    for token in &tokens {
        let victim = Customer::behind("guarded", "victim").with_token(token);
        for request in [
            victim.get("/files?key=plain"),
            victim.get("/data?key=plain"),
            victim.head("/files?key=plain").header("If-None-Match", "*"),
            victim.delete("/data?key=plain"),
            victim.put("/files?key=plain").body("overwritten"),
            victim.post_json("/db/query", r#"{"sql":"DROP TABLE secrets"}"#),
        ] {
            let reply = scene.attempt(request).await;
            assert!([401, 403].contains(&reply.status.as_u16()), "{token}: {reply}");
        }
    }
    // Neither the attacker's id nor a list with the victim's id reaches the victim.
    for id in [
        "attacker",
        "attacker,victim",
        "victim,attacker",
        "attacker victim",
        "victim\tattacker",
        "Victim",
        "victim/",
        "",
    ] {
        for token in [&mine, &forged] {
            let customer = Customer::behind("guarded", id).with_token(token);
            for request in [customer.get("/data?key=plain&sub=victim"), customer.delete("/files?key=plain")] {
                let reply = scene.attempt(request).await;
                assert!([200, 400, 401, 403, 404].contains(&reply.status.as_u16()), "{id}: {reply}");
            }
        }
    }
    scene.end().await;
}

/// Requests with two `Authorization` headers.
#[tokio::test]
async fn two_tokens_are_rejected() {
    let scene = Scene::new("two-tokens").await;
    let (mine, victims) = (valid_token("attacker"), valid_token("victim"));
    // A proxy that adds the victim's token to the attacker's request makes it ambiguous.
    for (id, first, second) in [("victim", &mine, &mine), ("attacker", &mine, &victims), ("attacker", &victims, &mine)]
    {
        let customer = Customer::behind("guarded", id).with_token(first);
        for request in [customer.get("/data?key=plain"), customer.delete("/data?key=plain")] {
            let reply = scene.attempt(request.header("Authorization", format!("Bearer {second}"))).await;
            assert_eq!(reply.status, 401, "{id}: {reply}");
        }
    }
    // The victim's token is not valid with the attacker's id.
    for method in [http::Method::GET, http::Method::DELETE] {
        let customer = Customer::behind("guarded", "attacker").with_token(&victims);
        let reply = scene.attempt(customer.request(method, "/data?key=plain")).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (403, &"user_mismatch".into()), "{reply}");
    }
    scene.end().await;
}

/// The control: the victim's own token is valid.
#[tokio::test]
async fn the_victims_own_token_is_accepted() {
    let scene = Scene::new("own-token").await;
    let victim = Customer::behind("guarded", "victim").with_token(&valid_token("victim"));
    assert!(Reply::to(victim.get("/files?key=plain")).await.text().starts_with(scene.secret()));
    assert!(Reply::to(victim.get("/data?key=plain")).await.text().contains(scene.secret()));
    scene.end().await;
}
