//! No customer reaches another's storage.

use http::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tests::{Customer, Reply, expect_json, expect_problem, expect_success};

fn upload(user: &Customer, key: &'static str, content: &'static str) -> reqwest::RequestBuilder {
    user.post("/files").multipart(Form::new().text("key", key).part("file", Part::text(content).file_name("f")))
}

#[tokio::test]
async fn the_same_keys_hold_what_each_customer_put_there() {
    let (one, two) = (Customer::new("user1"), Customer::new("user2"));
    let keys =
        ["isolated", "../user1/isolated", "../customer-user1/isolated", "customer-user1/isolated", "user1/isolated"];
    for key in keys {
        let value = |value: &str| json!({"key": key, "value": value});
        expect_success(one.post_json("/data", value("one's").to_string())).await;
        expect_success(upload(&one, key, "one's")).await;
        expect_problem(two.get(&format!("/data?key={key}")), 404, "data_not_found").await;
        expect_problem(two.get(&format!("/files?key={key}")), 404, "file_not_found").await;

        // What the other deletes and writes is the other's own.
        expect_success(two.delete(&format!("/data?key={key}"))).await;
        expect_success(two.delete(&format!("/files?key={key}"))).await;
        expect_success(two.post_json("/data", value("two's").to_string())).await;
        expect_success(upload(&two, key, "two's")).await;
        for (user, content) in [(&one, "one's"), (&two, "two's")] {
            expect_json(user.get(&format!("/data?key={key}")), value(content)).await;
            assert_eq!(Reply::to(user.get(&format!("/files?key={key}"))).await.text(), content);
        }
        expect_success(two.delete(&format!("/data?key={key}"))).await;
        expect_success(two.delete(&format!("/files?key={key}"))).await;
    }
}

#[tokio::test]
async fn counts_are_each_customers_own() {
    let (counted, other) = (Customer::new("count2"), Customer::new("user2"));
    expect_success(upload(&other, "counted", "content")).await;
    expect_success(other.post_json("/data", r#"{"key":"counted","value":1}"#)).await;
    let nothing = json!({
        "files": {"count": 0, "totalSize": 0},
        "activity": {"totalOperations": 0, "lastActivity": null, "byOperation": {}, "windowDays": 30},
        "storage": {"kvKeys": 0, "r2Objects": 0},
    });
    expect_json(counted.get("/stats"), nothing).await;
}

/// What lies under the same key is each customer's own on every route.
#[tokio::test]
async fn every_route_is_the_customers_own() {
    let (one, two) = (Customer::new("user1"), Customer::new("user2"));
    expect_success(one.put("/files?key=routes/a").body("one's")).await;
    expect_success(one.post_json("/data", r#"{"key":"routes/a","value":"one's"}"#)).await;
    let etag = Reply::to(one.head("/files?key=routes/a")).await.header("ETag").to_owned();
    for request in [
        two.get("/files?key=routes/a").header("Range", "bytes=0-"),
        two.get("/files?key=routes/a").header("If-None-Match", &etag),
        two.head("/files?key=routes/a"),
        two.get("/data?key=routes/a"),
    ] {
        assert_eq!(Reply::to(request).await.status, StatusCode::NOT_FOUND);
    }
    expect_problem(two.put("/files?key=routes/a").header("If-Match", &etag).body("x"), 412, "precondition_failed")
        .await;
    for list in ["/files?prefix=routes/", "/data?prefix=routes/", "/files?prefix=routes/&include=contentType"] {
        assert!(!expect_success(two.get(list)).await.text().contains("routes/a"), "{list}");
    }
    // A cursor is a place in a list, whoever has it: the other's list goes on there.
    expect_success(one.put("/files?key=routes/b").body("one's")).await;
    let page = expect_success(one.get("/files?prefix=routes/&limit=1")).await.json();
    let cursor = page["cursor"].as_str().expect("there is more");
    let theirs = expect_success(two.get(&format!("/files?prefix=routes/&cursor={cursor}&limit=1"))).await;
    assert_eq!(theirs.json()["files"], json!([]), "{theirs}");
    assert_eq!(Reply::to(one.get("/files?key=routes/a")).await.text(), "one's");
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

/// One connection serves many customers: whose request it is must never stick.
#[tokio::test]
async fn requests_on_one_connection_do_not_mix() {
    let (one, two) = (Customer::new("user1"), Customer::new("user2"));
    for (user, content) in [(&one, "one's"), (&two, "two's")] {
        expect_success(upload(user, "mixed", content)).await;
    }
    let client = tests::client();
    let requests = (0..200).map(|number| {
        let (id, content) = if number % 2 == 0 { ("user1", "one's") } else { ("user2", "two's") };
        let request = client.get(format!("{}/files?key=mixed", tests::platform_url())).header("X-User-ID", id);
        async move {
            let reply = Reply::to(request).await;
            assert!(reply.status == StatusCode::OK && reply.text() == content, "{id}: {reply}");
        }
    });
    futures::future::join_all(requests).await;
}

/// Whatever else a request says of whom it is for, `X-User-ID` alone counts.
#[tokio::test]
async fn no_other_header_and_no_part_of_the_url_names_a_customer() {
    let (one, two) = (Customer::new("user1"), Customer::new("user2"));
    expect_success(one.post_json("/data", r#"{"key":"named","value":"one's"}"#)).await;
    for (name, value) in [
        ("MF-Route-Override", "customer-user1"),
        ("MF-Original-URL", "http://x/data?key=named"),
        ("X-User", "user1"),
        ("X_User_ID", "user1"),
        ("X-User-ID-Override", "user1"),
        ("X-Forwarded-User", "user1"),
        ("CF-Worker", "customer-user1"),
        ("Host", "user1.example.com"),
        ("Host", "customer-user1"),
        ("Cookie", "X-User-ID=user1"),
        ("Connection", "X-User-ID"),
    ] {
        let reply = Reply::to(two.get("/data?key=named").header(name, value)).await;
        assert!([StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST].contains(&reply.status), "{name}: {reply}");
        assert!(!reply.text().contains("one's"), "{name}: {reply}");
    }
    // A header is its name in any case, with blanks around its value, and nothing else.
    for (name, value, found) in
        [("x-user-id", "user1", true), ("X-USER-ID", " user1\t", true), ("X-User-ID", "user1\t,", false)]
    {
        let request = tests::client().get(format!("{}/data?key=named", tests::platform_url())).header(name, value);
        assert_eq!(Reply::to(request).await.status == StatusCode::OK, found, "{name}: {value:?}");
    }
    for path in ["/data?key=named&X-User-ID=user1", "/data?X-User-ID=user1&key=named&user=user1"] {
        expect_problem(two.get(path), 404, "data_not_found").await;
    }
    expect_json(one.get("/data?key=named"), json!({"key": "named", "value": "one's"})).await;
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

/// A reply that nobody may make, handed on from elsewhere by one customer's Worker, is that customer's failure and nobody
/// else's.
#[tokio::test]
async fn a_strange_reply_of_one_customer_harms_no_other() {
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 999 Strange\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx").await;
        }
    });
    let strange = format!("/?url={}", tests::escaped(&format!("http://{address}/")));
    for (dispatcher, customer) in
        [("cors", Customer::behind("cors", "strange")), ("platform", Customer::new("strange"))]
    {
        let slow = Reply::to(customer.get("/?wait=1500"));
        let others = async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            for _ in 0..3 {
                let reply = Reply::to(customer.get(&strange)).await;
                assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (502, &"customer_worker_failed".into()));
            }
        };
        let (slow, ()) = futures::join!(slow, others);
        assert_eq!((slow.status, slow.text()), (StatusCode::OK, "strange"), "{dispatcher}");
    }
}
