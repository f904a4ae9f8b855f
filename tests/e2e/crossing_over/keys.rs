//! Keys, cursors and upload ids that belong to another customer, or look as if they did.

use http::Method;
use serde_json::json;
use tests::{Customer, Reply, escaped, expect_json, expect_problem, expect_success};

use super::victim::{KEYS, Scene};

/// Keys that would reach other data if they were joined to a path, a key or a query.
const MISLEADING_KEYS: [&str; 30] = [
    "plain",
    "../victim/plain",
    "../customer-victim/plain",
    "../../customer-victim/data/plain",
    "customer-victim/plain",
    "customer-victim:plain",
    "/customer-victim/plain",
    "//customer-victim/plain",
    "victim/plain",
    "victim/data/plain",
    "data/plain",
    "data/..",
    "data/../usage/plain",
    "../usage/plain",
    "../data/plain",
    "usage/plain",
    "usage/..",
    "../attacker/plain",
    "..\\victim\\plain",
    "%2e%2e%2fvictim%2fplain",
    "plain\0",
    "plain\0customer-victim",
    "customer-victim\0plain",
    "plain?customer=victim",
    "plain#victim",
    "plain' OR '1'='1",
    "plain%",
    "*",
    "r2:customer-victim",
    "file:///customer-victim/plain",
];

#[tokio::test]
async fn keys_reach_only_the_customers_own_storage() {
    let scene = Scene::new("keys").await;
    for key in MISLEADING_KEYS {
        let (file, value) = (format!("/files?key={}", escaped(key)), format!("/data?key={}", escaped(key)));
        let attacker = &scene.attacker;
        let body = json!({"key": key, "value": "overwritten", "metadata": {"by": "attacker"}}).to_string();
        for request in [
            attacker.get(&file),
            attacker.head(&file),
            attacker.get(&value),
            attacker.put(&file).body("overwritten"),
            attacker.post("/files").multipart(
                reqwest::multipart::Form::new()
                    .text("key", key)
                    .part("file", reqwest::multipart::Part::text("overwritten").file_name("../customer-victim/plain")),
            ),
            attacker.post_json("/data", body),
            attacker.get(&file),
            attacker.get(&value),
            attacker.delete(&file),
            attacker.delete(&value),
            attacker.post(&format!("/files/uploads?key={}", escaped(key))),
        ] {
            scene.attempt(request).await;
        }
    }
    scene.end().await;
}

/// Neither a prefix, a delimiter nor a cursor lists another customer's entries.
#[tokio::test]
async fn lists_contain_only_the_customers_own_entries() {
    let scene = Scene::new("lists").await;
    for prefix in
        ["", "plain", "folder/", "..", "../", "data/", "usage/", "/", "%", "*", "customer-victim", "\0", "victim"]
    {
        let prefix = escaped(prefix);
        for path in [
            format!("/files?prefix={prefix}&include=contentType"),
            format!("/files?prefix={prefix}&delimiter=/"),
            format!("/files?prefix={prefix}&delimiter={prefix}x"),
            format!("/data?prefix={prefix}"),
        ] {
            scene.attempt(scene.attacker.get(&path)).await;
        }
    }
    for path in ["/stats", "/stats?customer=victim", "/healthz", "/"] {
        scene.attempt(scene.attacker.get(path)).await;
    }
    // The victim's cursor continues the attacker's own list.
    for list in ["/files?limit=1", "/files?limit=2&delimiter=/", "/data?limit=1", "/files?limit=1&prefix=folder"] {
        let page = expect_success(scene.victim.get(list)).await.json();
        for cursor in
            page["cursor"].as_str().into_iter().flat_map(|cursor| [cursor.to_owned(), cursor.replace('a', "b")])
        {
            scene.attempt(scene.attacker.get(&format!("{list}&cursor={cursor}"))).await;
            scene.attempt(scene.attacker.get(&format!("/files?cursor={cursor}"))).await;
        }
    }
    scene.end().await;
}

/// The id of a multipart upload is useless to another customer.
#[tokio::test]
async fn upload_ids_work_only_for_their_customer() {
    let scene = Scene::new("uploads").await;
    let (attacker, id) = (&scene.attacker, &scene.upload_id);
    for key in [scene.upload_key(), "plain", "customer-victim/unfinished/uploads", "../customer-victim/unfinished"] {
        for id in [id.clone(), format!("../{id}"), format!("customer-victim/{id}"), format!("{id}\0")] {
            let query = format!("key={}&uploadId={}", escaped(key), escaped(&id));
            let parts = json!({"parts": [{"partNumber": 1, "etag": "5d4f21cd656c7f1e7f49e9988521304a"}]}).to_string();
            for request in [
                attacker.put(&format!("/files/uploads?{query}&partNumber=1")).body("overwritten"),
                attacker.put(&format!("/files/uploads?{query}&partNumber=2")).body("added"),
                attacker.post_json(&format!("/files/uploads/complete?{query}"), parts),
                attacker.delete(&format!("/files/uploads?{query}")),
            ] {
                let reply = scene.attempt(request).await;
                assert_eq!(
                    (reply.status.as_u16(), &reply.json()["code"]),
                    (404, &"upload_not_found".into()),
                    "{reply}"
                );
            }
        }
    }
    // The victim can complete its upload.
    scene.end().await;
}

/// A customer without storage gets an error, not the storage of a concurrent request.
#[tokio::test]
async fn a_customer_without_storage_gets_no_other_storage() {
    let scene = Scene::new("no-storage").await;
    let bare = Customer::new("bare");
    for key in KEYS {
        let (file, value) = (format!("/files?key={}", escaped(key)), format!("/data?key={}", escaped(key)));
        let upload = format!("/files/uploads?key={}&uploadId={}", scene.upload_key(), escaped(&scene.upload_id));
        // All at once: after each attempt the victim's data is read, so that the victim's requests run in between.
        let attempts = [
            bare.get(&file),
            bare.get(&file).header("Range", "bytes=0-40"),
            bare.head(&file),
            bare.get("/files"),
            bare.put(&file).body("overwritten"),
            bare.delete(&file),
            bare.put(&format!("{upload}&partNumber=1")).body("overwritten"),
            bare.delete(&upload),
            bare.get(&value),
            bare.get("/data"),
            bare.post_json("/data", json!({"key": key, "value": "overwritten"}).to_string()),
            bare.delete(&value),
            bare.get("/stats"),
            bare.post_json("/db/query", r#"{"sql":"SELECT * FROM secrets"}"#),
            bare.post_json("/db/batch", r#"{"statements":[{"sql":"DELETE FROM secrets"}]}"#),
        ];
        for reply in futures::future::join_all(attempts.map(|request| scene.attempt(request))).await {
            assert_eq!(reply.status, 501, "{reply}");
        }
    }
    scene.end().await;
}

/// Preconditions with the victim's etag do not match the attacker's file under the same key.
#[tokio::test]
async fn etags_of_other_customers_do_not_match() {
    let scene = Scene::new("versions").await;
    let attacker = &scene.attacker;
    for key in KEYS {
        let path = format!("/files?key={}", escaped(key));
        let victims = Reply::to(scene.victim.head(&path)).await;
        let (etag, date) = (victims.header("ETag"), victims.header("Last-Modified"));
        for request in [
            attacker.get(&path).header("If-None-Match", etag),
            attacker.get(&path).header("If-Match", etag),
            attacker.get(&path).header("Range", "bytes=0-"),
            attacker.get(&path).header("Range", "bytes=0-").header("If-Range", etag),
            attacker.get(&path).header("Range", "bytes=-40").header("If-Range", date),
            attacker.get(&path).header("Range", "bytes=0-,0-"),
            attacker.head(&path).header("If-None-Match", etag),
        ] {
            let reply = scene.attempt(request).await;
            assert_ne!(reply.status, 304, "a 304 would disclose the victim's version: {reply}");
        }
        let overwrite = attacker.put(&path).header("If-Match", etag).body("overwritten");
        assert_eq!(scene.attempt(overwrite).await.status, 412);
    }
    scene.end().await;
}

/// Ids that only look like a customer's.
#[tokio::test]
async fn a_customer_has_exactly_one_id() {
    let scene = Scene::new("names").await;
    for id in [
        "Victim",
        "victim-",
        "-victim",
        "victim.",
        "victim/",
        "customer-victim",
        "victim%00",
        "vict\u{131}m",
        "*",
        "team-a-victim",
    ] {
        let named = http::HeaderValue::from_bytes(id.as_bytes()).expect("a header");
        for method in [Method::GET, Method::DELETE] {
            let request = tests::client().request(method, format!("{}/files?key=plain", tests::platform_url()));
            let reply = scene.attempt(request.header("X-User-ID", named.clone())).await;
            assert!([400, 404].contains(&reply.status.as_u16()), "{id}: {reply}");
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn equal_keys_of_two_customers_are_independent() {
    let (one, two) = (Customer::new("user1"), Customer::new("user2"));
    for key in ["isolated", "../user1/isolated", "../customer-user1/isolated", "user1/isolated"] {
        let (file, data) = (format!("/files?key={key}"), format!("/data?key={key}"));
        let value = |value: &str| json!({"key": key, "value": value});
        expect_success(one.post_json("/data", value("one's").to_string())).await;
        expect_success(one.put(&file).body("one's")).await;
        expect_problem(two.get(&data), 404, "data_not_found").await;
        expect_problem(two.get(&file), 404, "file_not_found").await;

        // Deletes and writes of `user2` change only its own data.
        expect_success(two.delete(&data)).await;
        expect_success(two.delete(&file)).await;
        expect_success(two.post_json("/data", value("two's").to_string())).await;
        expect_success(two.put(&file).body("two's")).await;
        for (user, content) in [(&one, "one's"), (&two, "two's")] {
            expect_json(user.get(&data), value(content)).await;
            assert_eq!(Reply::to(user.get(&file)).await.text(), content);
        }
        expect_success(two.delete(&data)).await;
        expect_success(two.delete(&file)).await;
    }
}

#[tokio::test]
async fn stats_count_only_the_customers_own_data() {
    let (counted, other) = (Customer::new("count2"), Customer::new("user2"));
    expect_success(other.put("/files?key=counted").body("content")).await;
    expect_success(other.post_json("/data", r#"{"key":"counted","value":1}"#)).await;
    let nothing = json!({
        "files": {"count": 0, "totalSize": 0},
        "activity": {"totalOperations": 0, "lastActivity": null, "byOperation": {}, "windowDays": 30},
        "storage": {"kvKeys": 0, "r2Objects": 0},
    });
    expect_json(counted.get("/stats"), nothing).await;
}
