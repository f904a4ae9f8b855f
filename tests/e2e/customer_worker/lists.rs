//! Lists: `GET /files` and `GET /data` without a key.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tests::{Customer, escaped, expect_json, expect_problem, expect_success};

/// Returns all entries of a list and the number of its pages.
async fn list_all(user: &Customer, path: &str, member: &str) -> (Vec<Value>, usize) {
    let (mut entries, mut pages, mut next) = (Vec::new(), 0, path.to_owned());
    loop {
        let page = expect_success(user.get(&next)).await.json();
        entries.extend(page[member].as_array().expect("a list").clone());
        pages += 1;
        assert!(pages < 1000, "{path} does not end");
        // A page has a cursor if, and only if, more entries follow.
        match (page["truncated"].as_bool(), page.get("cursor").and_then(Value::as_str)) {
            (Some(false), None) => return (entries, pages),
            (Some(true), Some(cursor)) => next = format!("{path}&cursor={cursor}"),
            _ => panic!("{page}"),
        }
    }
}

fn keys(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|entry| entry["key"].as_str().expect("a key").to_owned()).collect()
}

#[tokio::test]
async fn a_listing_is_complete_without_repeats_or_gaps() {
    const COUNT: usize = 2500;
    let user = &Customer::new("list1");
    let expected: BTreeSet<String> = (0..COUNT).map(|number| format!("n/{number:04} é")).collect();
    stream::iter(&expected)
        .for_each_concurrent(50, async |key| {
            let put = user.put(&format!("/files?key={}", escaped(key))).header("Content-Type", "text/x").body("x");
            expect_success(put).await;
            expect_success(user.post_json("/data", json!({"key": key, "value": 1}).to_string())).await;
        })
        .await;
    let expected: Vec<String> = expected.into_iter().collect();

    for (path, member, min_pages) in [
        ("/files?limit=1000", "files", 3),
        ("/files?limit=7", "files", 358),
        ("/files?limit=1000&include=contentType", "files", 3),
        ("/files?limit=7&include=contentType", "files", 358),
        ("/files?prefix=n/", "files", 3),
        ("/data?limit=1000", "keys", 3),
        ("/data?limit=7", "keys", 358),
        ("/data?prefix=n/", "keys", 3),
    ] {
        let (entries, pages) = list_all(user, path, member).await;
        assert!(keys(&entries) == expected, "{path}: {} entries", entries.len());
        assert!(pages >= min_pages, "{path}: {pages} pages");
        let with_type = entries.iter().filter(|entry| entry.get("contentType") == Some(&json!("text/x"))).count();
        assert_eq!(with_type, if path.contains("include") { COUNT } else { 0 }, "{path}");
    }
    // The counts need several pages of R2's and KV's lists.
    let stats = expect_success(user.get("/stats")).await.json();
    assert_eq!((&stats["files"]["count"], &stats["storage"]["kvKeys"]), (&COUNT.into(), &COUNT.into()));
}

#[tokio::test]
async fn entries_have_exactly_the_documented_members() {
    let user = Customer::new("list2");
    expect_success(user.put("/files?key=entry").header("Content-Type", "text/x").body("12345")).await;
    let listed = expect_success(user.get("/files?prefix=entry&include=contentType")).await.json();
    let file = &listed["files"][0];
    let head = tests::Reply::to(user.head("/files?key=entry")).await;
    assert_eq!(format!("\"{}\"", file["etag"].as_str().expect("an etag")), head.header("ETag"));
    let uploaded = file["uploaded"].as_str().expect("a time");
    assert!(uploaded.len() == 24 && uploaded.ends_with('Z'), "{uploaded}");
    let expected =
        json!({"key": "entry", "size": 5, "uploaded": uploaded, "etag": file["etag"], "contentType": "text/x"});
    assert_eq!(listed, json!({"files": [expected], "prefixes": [], "truncated": false}));
    expect_json(user.get("/files?prefix=nothing"), json!({"files": [], "prefixes": [], "truncated": false})).await;
    expect_json(user.get("/data?prefix=nothing"), json!({"keys": [], "truncated": false})).await;
}

#[tokio::test]
async fn a_delimiter_groups_keys_by_prefix() {
    let user = Customer::new("list2");
    for key in ["tree/a", "tree/b/1", "tree/b/2", "tree/c/d/1", "tree/é+/1"] {
        expect_success(user.put(&format!("/files?key={}", escaped(key))).body("x")).await;
    }
    for (query, files, prefixes) in [
        ("prefix=tree/&delimiter=/", vec!["tree/a"], vec!["tree/b/", "tree/c/", "tree/é+/"]),
        ("prefix=tree/b/&delimiter=/", vec!["tree/b/1", "tree/b/2"], vec![]),
        ("prefix=tree&delimiter=/", vec![], vec!["tree/"]),
        ("prefix=tree/c&delimiter=/d", vec![], vec!["tree/c/d"]),
        ("prefix=tree/%C3%A9%2B/", vec!["tree/é+/1"], vec![]),
    ] {
        let listed = expect_success(user.get(&format!("/files?{query}"))).await.json();
        assert_eq!(keys(listed["files"].as_array().expect("a list")), files, "{query}");
        assert_eq!(listed["prefixes"], json!(prefixes), "{query}");
    }
    // Prefixes count towards the limit, and are not repeated on later pages.
    let (mut seen, mut next) = (Vec::new(), "/files?prefix=tree/&delimiter=/&limit=1".to_owned());
    for _ in 0..10 {
        let page = expect_success(user.get(&next)).await.json();
        seen.extend(keys(page["files"].as_array().expect("a list")));
        seen.extend(
            page["prefixes"].as_array().expect("a list").iter().map(|prefix| prefix.as_str().expect("text").to_owned()),
        );
        let Some(cursor) = page.get("cursor").and_then(Value::as_str) else { break };
        next = format!("/files?prefix=tree/&delimiter=/&limit=1&cursor={cursor}");
    }
    seen.sort();
    assert_eq!(seen, ["tree/a", "tree/b/", "tree/c/", "tree/é+/"]);
}

#[tokio::test]
async fn bad_parameters_are_refused() {
    let user = Customer::new("list2");
    for key in ["page/1", "page/2"] {
        expect_success(user.put(&format!("/files?key={key}")).body("x")).await;
        expect_success(user.post_json("/data", json!({"key": key, "value": 1}).to_string())).await;
    }
    let cursor = |listing: &'static str| {
        let user = user.clone();
        async move {
            let page = expect_success(user.get(&format!("{listing}?prefix=page/&limit=1"))).await.json();
            page["cursor"].as_str().expect("there is more").to_owned()
        }
    };
    let (files, data) = (cursor("/files").await, cursor("/data").await);
    for listing in ["/files", "/data"] {
        for (query, code) in [
            ("limit=0", "invalid_parameter"),
            ("limit=1001", "invalid_parameter"),
            ("limit=-1", "invalid_parameter"),
            ("limit=x", "invalid_parameter"),
            ("limit=", "invalid_parameter"),
            ("limit=1&limit=2", "invalid_parameter"),
            ("key=a&prefix=b&prefix=c", "invalid_parameter"),
            ("x=1&x=2", "invalid_parameter"),
            ("prefix=a&prefix=b", "invalid_parameter"),
            ("prefix=%ff", "invalid_parameter"),
            ("cursor=", "invalid_cursor"),
            ("cursor=x", "invalid_cursor"),
            ("cursor=bm90LW9uZS1vZi1vdXJz", "invalid_cursor"),
            (&format!("cursor={}", if listing == "/files" { &data } else { &files }), "invalid_cursor"),
            // A cursor of a list with another prefix: the client would miss entries without noticing.
            (&format!("prefix=pag&cursor={}", if listing == "/files" { &files } else { &data }), "invalid_cursor"),
            (&format!("prefix={}", "p".repeat(if listing == "/files" { 1025 } else { 508 })), "invalid_parameter"),
            (&format!("cursor={}x", if listing == "/files" { &files } else { &data }), "invalid_cursor"),
        ] {
            expect_problem(user.get(&format!("{listing}?{query}")), 400, code).await;
        }
    }
    for query in
        ["include=x", "include=", "include=contentType&include=contentType", "delimiter=", "delimiter=a&delimiter=b"]
    {
        expect_problem(user.get(&format!("/files?{query}")), 400, "invalid_parameter").await;
    }
}
