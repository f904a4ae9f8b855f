//! `/files/uploads`: multipart uploads of large files.

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tests::{Customer, Reply, chunked, escaped, expect_json, expect_problem, expect_success, noise};

const MIB: usize = 1024 * 1024;

/// A multipart upload that was created.
struct CreatedUpload<'a> {
    user: &'a Customer,
    key: &'a str,
    id: String,
}

impl<'a> CreatedUpload<'a> {
    async fn create(user: &'a Customer, key: &'a str) -> Self {
        let created = expect_success(user.post(&format!("/files/uploads?key={key}"))).await.json();
        let id = created["uploadId"].as_str().expect("an id").to_owned();
        assert_eq!(created, json!({"key": key, "uploadId": id}));
        Self { user, key, id }
    }

    fn query(&self) -> String {
        format!("key={}&uploadId={}", self.key, escaped(&self.id))
    }

    fn part(&self, number: impl std::fmt::Display, content: impl Into<reqwest::Body>) -> RequestBuilder {
        self.user.put(&format!("/files/uploads?{}&partNumber={number}", self.query())).body(content)
    }

    async fn put(&self, number: u16, content: &[u8]) -> Value {
        let part = expect_success(self.part(number, content.to_vec())).await.json();
        assert_eq!(part, json!({"partNumber": number, "etag": part["etag"]}));
        part
    }

    fn complete(&self, parts: &[&Value]) -> RequestBuilder {
        self.user.post_json(&format!("/files/uploads/complete?{}", self.query()), json!({"parts": parts}).to_string())
    }

    fn abort(&self) -> RequestBuilder {
        self.user.delete(&format!("/files/uploads?{}", self.query()))
    }
}

#[tokio::test]
async fn completed_parts_become_the_file() {
    let user = Customer::new("parts");
    let upload = CreatedUpload::create(&user, "whole").await;
    let content = noise(12 * MIB, 40);
    let parts: Vec<&[u8]> = content.chunks(5 * MIB).collect();
    // Parts may be sent in any order, concurrently, and again. The last one counts.
    let (third, first, second) =
        futures::join!(upload.put(3, parts[2]), upload.put(1, parts[0]), upload.put(2, &content[..5 * MIB]));
    let again = upload.put(2, parts[1]).await;
    assert_ne!(second, again);
    expect_problem(user.get("/files?key=whole"), 404, "file_not_found").await;

    let stored = expect_success(upload.complete(&[&first, &again, &third])).await.json();
    let etag = stored["etag"].as_str().expect("an etag");
    let expected = json!({"success": true, "key": "whole", "size": content.len(), "etag": etag, "contentType": "application/octet-stream"});
    assert_eq!(stored, expected);
    let reply = Reply::to(user.get("/files?key=whole")).await;
    assert!(reply.body == content, "{} bytes came back", reply.body.len());
    assert_eq!(reply.header("ETag"), format!("\"{etag}\""));
    // The upload no longer exists.
    expect_problem(upload.complete(&[&first]), 404, "upload_not_found").await;
    expect_problem(upload.part(4, "x"), 404, "upload_not_found").await;
}

/// A client that did not receive the reply to `complete` can see in the file's headers whether it took effect.
#[tokio::test]
async fn the_file_shows_whether_its_upload_was_completed() {
    let user = Customer::new("parts");
    expect_success(user.put("/files?key=known").body("old")).await;
    let create = async || {
        let upload = CreatedUpload::create(&user, "known").await;
        let parts = [upload.put(1, &noise(5 * MIB, 44)).await, upload.put(2, b"end").await];
        (upload, parts)
    };
    let is_completed = async || {
        let head = Reply::to(user.head("/files?key=known")).await;
        head.header("ETag").ends_with("-2\"") && head.header("Content-Length") == (5 * MIB + 3).to_string()
    };
    let (upload, parts) = create().await;
    expect_success(upload.abort()).await;
    expect_problem(upload.complete(&[&parts[0], &parts[1]]), 404, "upload_not_found").await;
    assert!(!is_completed().await, "it was aborted");
    let (upload, parts) = create().await;
    expect_success(upload.complete(&[&parts[0], &parts[1]])).await;
    let reply = expect_problem(upload.complete(&[&parts[0], &parts[1]]), 404, "upload_not_found").await;
    assert!(reply.text().contains("HEAD /files?key="), "{reply}");
    assert!(is_completed().await, "it was completed");
}

#[tokio::test]
async fn an_aborted_upload_keeps_the_old_file() {
    let user = Customer::new("parts");
    expect_success(user.put("/files?key=given-up").body("old")).await;
    let upload = CreatedUpload::create(&user, "given-up").await;
    let part = upload.put(1, b"new").await;
    expect_json(upload.abort(), json!({"success": true})).await;
    for request in [upload.complete(&[&part]), upload.part(1, "x")] {
        expect_problem(request, 404, "upload_not_found").await;
    }
    assert_eq!(Reply::to(user.get("/files?key=given-up")).await.text(), "old");
}

#[tokio::test]
async fn violations_of_r2s_rules_are_explained() {
    let user = Customer::new("parts");
    let upload = CreatedUpload::create(&user, "rules").await;
    let (large, small) = (noise(5 * MIB, 41), noise(MIB, 42));
    let part = [upload.put(1, &large).await, upload.put(2, &small).await, upload.put(3, &large).await];
    let larger = upload.put(4, &noise(6 * MIB, 43)).await;
    let wrong_etag = json!({"partNumber": 1, "etag": "5d4f21cd656c7f1e7f49e9988521304a"});
    let absent = json!({"partNumber": 9, "etag": part[0]["etag"]});
    for (parts, reason) in [
        (vec![&part[1], &part[2]], "smaller than 5 MiB"),
        (vec![&part[0], &larger, &absent], "not uploaded"),
        (vec![&wrong_etag], "another etag"),
        (vec![&absent], "not uploaded"),
        (vec![&part[2], &part[0]], "in ascending order"),
        (vec![&part[0], &part[0]], "without repetition"),
    ] {
        let reply = expect_problem(upload.complete(&parts), 400, "invalid_part").await;
        assert!(reply.json()["detail"].as_str().expect("text").contains(reason), "{reason}: {reply}");
    }
    // All parts but the last must have the same size.
    expect_problem(
        upload.complete(&[&part[0], &larger, &json!({"partNumber": 5, "etag": upload.put(5, &small).await["etag"]})]),
        400,
        "invalid_part",
    )
    .await;
    for number in ["0", "10001", "-1", "1.5", "x", ""] {
        expect_problem(upload.part(number, "x"), 400, "invalid_parameter").await;
    }
    expect_problem(user.put(&format!("/files/uploads?{}", upload.query())).body("x"), 400, "invalid_parameter").await;
    expect_problem(upload.part(1, chunked("x")), 411, "length_required").await;
    for (body, code) in [
        ("{", "invalid_json"),
        ("[]", "invalid_body"),
        (r#"{"parts":[]}"#, "invalid_body"),
        (r#"{"parts":[{"partNumber":1}]}"#, "invalid_body"),
    ] {
        let path = format!("/files/uploads/complete?{}", upload.query());
        expect_problem(user.post_json(&path, body), 400, code).await;
        expect_problem(user.post(&path).body(body), 415, "unsupported_media_type").await;
    }
    // An etag in the body may be quoted, as it is in headers.
    let quoted = json!({"partNumber": 1, "etag": format!("\"{}\"", part[0]["etag"].as_str().expect("an etag"))});
    expect_problem(upload.complete(&[&quoted, &absent]), 400, "invalid_part").await;
    let part = [quoted, part[1].clone(), part[2].clone()];
    // Errors do not end the upload.
    expect_success(upload.complete(&[
        &part[0],
        &part[2],
        &json!({"partNumber": 5, "etag": upload.put(5, &small).await["etag"]}),
    ]))
    .await;
    assert_eq!(Reply::to(user.head("/files?key=rules")).await.header("Content-Length"), (11 * MIB).to_string());
}

#[tokio::test]
async fn an_upload_id_is_valid_for_one_key_of_one_customer() {
    let (user, other) = (Customer::new("parts"), Customer::new("user2"));
    let upload = CreatedUpload::create(&user, "mine").await;
    let part = upload.put(1, b"mine").await;
    for invalid in [
        CreatedUpload { user: &other, key: "mine", id: upload.id.clone() },
        CreatedUpload { user: &user, key: "other", id: upload.id.clone() },
        CreatedUpload { user: &user, key: "mine", id: "made-up".to_owned() },
    ] {
        expect_problem(invalid.part(1, "theirs"), 404, "upload_not_found").await;
        expect_problem(invalid.complete(&[&part]), 404, "upload_not_found").await;
        expect_problem(invalid.abort(), 404, "upload_not_found").await;
    }
    for id in ["", "&x=", &"x".repeat(5000)] {
        let query = format!("key=mine&uploadId={id}");
        expect_problem(user.delete(&format!("/files/uploads?{query}")), 400, "invalid_parameter").await;
    }
    for request in [
        user.post("/files/uploads"),
        user.delete("/files/uploads?uploadId=x"),
        user.put("/files/uploads?uploadId=x&partNumber=1").body("x"),
    ] {
        expect_problem(request, 400, "missing_key").await;
    }
    expect_success(upload.complete(&[&part])).await;
    assert_eq!(Reply::to(user.get("/files?key=mine")).await.text(), "mine");
    expect_problem(other.get("/files?key=mine"), 404, "file_not_found").await;
}
