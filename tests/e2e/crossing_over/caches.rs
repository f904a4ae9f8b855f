//! Caches: replies that are stored and used again.

use serde_json::json;
use tests::{Customer, Reply, expect_success};

use super::victim::Scene;

/// The victim's files have `Cache-Control: public`. Still, a reply to the victim is never sent to the attacker.
#[tokio::test]
async fn replies_are_never_reused_for_another_customer() {
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

/// Simulates a shared cache that follows `Cache-Control` and `Vary` (RFC 9111). Both customers use the same URLs.
#[tokio::test]
async fn a_shared_cache_keeps_customers_apart() {
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
                        // Without these, a cache would send the reply to other customers.
                        assert!(vary.contains(&"X-User-ID") && vary.contains(&"Authorization"), "{reply}");
                        assert_eq!(
                            path, "/files?key=cached",
                            "only a file that its customer made public is cacheable: {reply}"
                        );
                        cache.push((path.to_owned(), id.to_owned(), reply.text().to_owned()));
                    }
                    reply.text().to_owned()
                };
                let others_content = if content == "one's" { "two's" } else { "one's" };
                assert!(!text.contains(others_content), "{id} {path}: {text}");
            }
        }
        assert_eq!(cache.len(), 2, "round {round}");
    }
}

/// The dispatcher adds `Vary` to the replies of customers' own Workers.
#[tokio::test]
async fn replies_of_a_customers_own_worker_vary_by_customer() {
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
        let actual: Vec<&str> = reply.headers.get_all("Vary").iter().map(|vary| vary.to_str().expect("text")).collect();
        assert_eq!((actual.join(", "), reply.text()), (vary.to_owned(), "strange"), "{headers}: {reply}");
    }
}
