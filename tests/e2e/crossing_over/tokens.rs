//! Another customer's token, and one's own for another customer.

use serde_json::json;
use tests::token::{NEW_SECRET, OLD_SECRET, claims, claims_with, hs256, hs256_from_text, hs256_header, valid_token};
use tests::{Customer, Reply};

use super::victim::Scene;

#[tokio::test]
async fn a_token_is_of_one_customer() {
    let scene = Scene::new("tokens").await;
    let mine = valid_token("attacker");
    let [header, payload, signature] = mine.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let (none, by_old) = (json!({"alg": "none"}), json!({"alg": "HS256", "kid": "old"}));
    let theirs = hs256(OLD_SECRET, &by_old, &claims("victim"));
    let [their_header, their_payload, their_signature] = theirs.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let by_mine = |changes| hs256(NEW_SECRET, &hs256_header(), &claims_with("attacker", changes));
    let tokens = [
        // The attacker's own, as it is and changed.
        mine.clone(),
        format!("{header}.{their_payload}.{signature}"),
        format!("{their_header}.{their_payload}.{signature}"),
        format!("{header}.{payload}.{their_signature}"),
        format!("{header}.{payload}.{signature}.{their_payload}"),
        format!("{header}.{payload}{their_payload}.{signature}"),
        format!("{mine}, Bearer {theirs}"),
        format!("{mine} {theirs}"),
        format!("{mine}\t{theirs}"),
        // Made without the secret.
        theirs.clone(),
        hs256(b"", &hs256_header(), &claims("victim")),
        hs256(b"victim", &hs256_header(), &claims("victim")),
        hs256(NEW_SECRET, &none, &claims("victim")),
        format!("{their_header}.{their_payload}."),
        format!("{their_header}.{their_payload}"),
        // Signed as it must be, of a customer whose id is almost the victim's. Who makes tokens would have to be talked into it.
        by_mine(json!({"sub": ["victim"]})),
        by_mine(json!({"sub": ["attacker", "victim"]})),
        by_mine(json!({"sub": {"victim": "victim"}})),
        by_mine(json!({"sub": "Victim"})),
        by_mine(json!({"sub": "victim "})),
        by_mine(json!({"sub": " victim"})),
        by_mine(json!({"sub": "victim\u{0}"})),
        by_mine(json!({"sub": "victim\n"})),
        by_mine(json!({"sub": "victim,attacker"})),
        by_mine(json!({"sub": "v\u{131}ctim"})),
        by_mine(json!({"sub": "*"})),
        by_mine(json!({"sub": ""})),
        by_mine(json!({"sub": null})),
        by_mine(json!({"sub": true})),
        by_mine(json!({"Sub": "victim", "SUB": "victim", "user": "victim", "userId": "victim", "X-User-ID": "victim"})),
        by_mine(json!({"scope": "read write victim", "aud": "victim", "act": {"sub": "victim"}})),
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
    // Neither the one who is named with the victim, nor the attacker that it is, leads to the victim.
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
        for token in [&mine, &theirs] {
            let customer = Customer::behind("guarded", id).with_token(token);
            for request in [customer.get("/data?key=plain&sub=victim"), customer.delete("/files?key=plain")] {
                let reply = scene.attempt(request).await;
                assert!([200, 400, 401, 403, 404].contains(&reply.status.as_u16()), "{id}: {reply}");
            }
        }
    }
    scene.end().await;
}

/// Two of what there must be one of.
#[tokio::test]
async fn two_tokens_are_none() {
    let scene = Scene::new("two-tokens").await;
    let (mine, victims) = (valid_token("attacker"), valid_token("victim"));
    // Somebody in front, who adds the victim's token to what the attacker sends, would be read as the attacker or as the victim,
    // and must be read as neither.
    for (id, first, second) in [("victim", &mine, &mine), ("attacker", &mine, &victims), ("attacker", &victims, &mine)]
    {
        let customer = Customer::behind("guarded", id).with_token(first);
        for request in [customer.get("/data?key=plain"), customer.delete("/data?key=plain")] {
            let reply = scene.attempt(request.header("Authorization", format!("Bearer {second}"))).await;
            assert_eq!(reply.status, 401, "{id}: {reply}");
        }
    }
    // The victim's own token does not make the attacker's id the victim's.
    for method in [http::Method::GET, http::Method::DELETE] {
        let customer = Customer::behind("guarded", "attacker").with_token(&victims);
        let reply = scene.attempt(customer.request(method, "/data?key=plain")).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (403, &"user_mismatch".into()), "{reply}");
    }
    scene.end().await;
}

/// The way in that all these are kept from is there.
#[tokio::test]
async fn the_victims_own_token_lets_it_in() {
    let scene = Scene::new("own-token").await;
    let victim = Customer::behind("guarded", "victim").with_token(&valid_token("victim"));
    assert!(Reply::to(victim.get("/files?key=plain")).await.text().starts_with(scene.secret()));
    assert!(Reply::to(victim.get("/data?key=plain")).await.text().contains(scene.secret()));
    scene.end().await;
}
