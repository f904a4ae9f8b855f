//! Replies that somebody keeps.

use serde_json::json;
use tests::{Customer, Reply, expect_success};

use super::victim::Scene;

/// What the victim has just read is nobody else's, however public the victim has made it.
#[tokio::test]
async fn nothing_is_answered_from_what_another_got() {
    let scene = Scene::new("caches").await;
    for path in ["/files?key=plain", "/files?key=folder/page", "/data?key=plain", "/files", "/data", "/stats"] {
        for (name, value) in [
            ("Cache-Control", "max-age=600"),
            ("Cache-Control", "only-if-cached, max-stale=600"),
            ("Cache-Control", "no-cache"),
            ("Pragma", "no-cache"),
            ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:01 GMT"),
            ("Vary", "Accept"),
            ("Accept-Encoding", "gzip"),
            ("Age", "1"),
        ] {
            let read = Reply::to(scene.victim.get(path).header(name, value)).await;
            assert!(read.header("Vary").contains("X-User-ID"), "{read}");
            scene.attempt(scene.attacker.get(path).header(name, value)).await;
        }
        scene.attempt(scene.attacker.head(path)).await;
    }
    scene.end().await;
}

/// A cache in front that keeps what it may, for whom it may (RFC 9111): the customers' URLs are the same.
#[tokio::test]
async fn a_cache_in_front_does_not_mix_customers_up() {
    let (one, two) = (Customer::new("user1"), Customer::new("user2"));
    for (user, content) in [(&one, "one's"), (&two, "two's")] {
        expect_success(user.put("/files?key=cached").header("Cache-Control", "public, max-age=600").body(content))
            .await;
        expect_success(user.put("/files?key=uncached").body(content)).await;
        expect_success(user.post_json("/data", json!({"key": "cached", "value": content}).to_string())).await;
    }
    let mut cache: Vec<(String, String, String)> = Vec::new();
    for round in 0..3 {
        for (id, user, content) in [("user1", &one, "one's"), ("user2", &two, "two's")] {
            for path in
                ["/files?key=cached", "/files?key=uncached", "/data?key=cached", "/files?prefix=cached", "/stats", "/"]
            {
                let hit = cache.iter().find(|(url, varied, _)| url == path && varied == id);
                let text = if let Some((_, _, text)) = hit {
                    text.clone()
                } else {
                    let reply = Reply::to(user.get(path)).await;
                    let control = reply.header("Cache-Control");
                    if !control.contains("no-store") && !control.contains("private") {
                        let vary: Vec<&str> = reply.header("Vary").split(", ").collect();
                        // A cache has no other way to tell whose reply it is.
                        assert!(vary.contains(&"X-User-ID") && vary.contains(&"Authorization"), "{reply}");
                        assert_eq!(path, "/files?key=cached", "only what a customer made public may be kept: {reply}");
                        cache.push((path.to_owned(), id.to_owned(), reply.text().to_owned()));
                    }
                    reply.text().to_owned()
                };
                let other = if content == "one's" { "two's" } else { "one's" };
                assert!(!text.contains(other), "{id} {path}: {text}");
            }
        }
        assert_eq!(cache.len(), 2, "round {round}");
    }
}

/// A customer's own Worker need not say that its replies are for that customer alone: the dispatcher does.
#[tokio::test]
async fn what_a_customers_own_worker_replies_is_kept_apart_as_well() {
    let public = json!({"Cache-Control": "public, max-age=600"});
    for (headers, vary) in [
        (public.clone(), "X-User-ID, Authorization"),
        (json!({"Vary": "Accept"}), "Accept, X-User-ID, Authorization"),
        (json!({"Vary": "X-User-ID"}), "X-User-ID, X-User-ID, Authorization"),
        (json!({"Vary": "authorization,x-user-id"}), "authorization,x-user-id"),
        (json!({"Vary": "*"}), "*"),
    ] {
        let path = format!("/?headers={}", tests::escaped(&headers.to_string()));
        let reply = Reply::to(Customer::new("strange").get(&path)).await;
        let found: Vec<&str> = reply.headers.get_all("Vary").iter().map(|vary| vary.to_str().expect("text")).collect();
        assert_eq!((found.join(", "), reply.text()), (vary.to_owned(), "strange"), "{headers}: {reply}");
    }
}
