//! A writer's writes and deletes.

use http::StatusCode;
use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::content::GeneratedContent;
use super::writer::{ExpectedFailures, Writer, path_with_key};
use crate::escaped;

impl Writer {
    pub(super) async fn put_file(&mut self) {
        let (key, content) = (self.random_key(), self.random_content(200_000));
        let request = self.user.put(&path_with_key("/files", &key)).header("Content-Type", content.content_type());
        // The HTTP client sends no `Content-Length` of its own if the body is empty.
        let request = request.header("Content-Length", content.length).body(content.bytes());
        self.write_file(key, Some(content), request).await;
    }

    pub(super) async fn upload_form(&mut self) {
        // One in ten may be large enough for a multipart upload to R2.
        let limit = if self.random.u32(0..10) == 0 { 6_000_000 } else { 100_000 };
        let (key, content) = (self.random_key(), self.random_content(limit));
        let file = Part::bytes(content.bytes()).file_name("f").mime_str(&content.content_type()).expect("a type");
        let form = Form::new().text("key", key.clone()).part("file", file);
        let request = self.user.post("/files").multipart(form);
        self.write_file(key, Some(content), request).await;
    }

    pub(super) async fn upload_in_parts(&mut self) {
        const PART: usize = 5 << 20;
        let (key, seed) = (self.random_key(), self.random.u64(..));
        let content = GeneratedContent { seed, length: PART + self.random.usize(1..100_000) };
        let file = content.bytes();
        let request = self.user.post(&path_with_key("/files/uploads", &key));
        let request = request.header("Content-Type", content.content_type());
        let Some(created) = self.send(request).await else { return };
        assert_eq!(created.status, StatusCode::OK, "{created}");
        let upload_id = created.json()["uploadId"].as_str().expect("an id").to_owned();
        let upload = format!("key={}&uploadId={}", escaped(&key), escaped(&upload_id));
        let mut parts = Vec::new();
        for (number, part) in file.chunks(PART).enumerate() {
            let target = format!("/files/uploads?{upload}&partNumber={}", number + 1);
            let Some(stored) = self.send(self.user.put(&target).body(part.to_vec())).await else { return };
            assert_eq!(stored.status, StatusCode::OK, "{stored}");
            parts.push(stored.json());
        }
        let complete = format!("/files/uploads/complete?{upload}");
        let request = self.user.post_json(&complete, json!({ "parts": parts }).to_string());
        self.write_file(key, Some(content), request).await;
    }

    pub(super) async fn delete_file(&mut self) {
        let key = self.random_key();
        let request = self.user.delete(&path_with_key("/files", &key));
        self.write_file(key, None, request).await;
    }

    async fn write_file(&mut self, key: String, content: Option<GeneratedContent>, request: RequestBuilder) {
        self.files.entry(key.clone()).or_insert_with(|| vec![None]).push(content);
        let reply = self.write(request).await;
        let Some(reply) = reply else { return };
        let stored = reply.json();
        assert_eq!(stored["success"], true, "{reply}");
        if let Some(content) = content {
            assert_eq!((&stored["key"], &stored["size"]), (&json!(key), &json!(content.length)), "{reply}");
            assert_eq!(stored["contentType"], content.content_type(), "{reply}");
        }
        self.files.insert(key, vec![content]);
    }

    pub(super) async fn set_value(&mut self) {
        let (key, content) = (self.random_key(), self.random_content(20_000));
        let body = format!("{{\"key\":\"{key}\",\"value\":{}}}", content.json());
        let request = self.user.post_json("/data", body);
        self.write_value(key, Some(content), request).await;
    }

    pub(super) async fn delete_value(&mut self) {
        let key = self.random_key();
        let request = self.user.delete(&path_with_key("/data", &key));
        self.write_value(key, None, request).await;
    }

    async fn write_value(&mut self, key: String, content: Option<GeneratedContent>, request: RequestBuilder) {
        self.values.entry(key.clone()).or_insert_with(|| vec![None]).push(content);
        if let Some(reply) = self.write(request).await {
            assert_eq!(reply.json()["success"], true, "{reply}");
            self.values.insert(key, vec![content]);
        }
    }

    /// Inserts two rows that must both be stored or neither, with one statement or as one transaction.
    pub(super) async fn insert_rows(&mut self) {
        let content = GeneratedContent { seed: self.random.u64(..1 << 53), length: self.random.usize(..1000) };
        let row = |half: u8| json!([self.name, content.seed, half, content.length]);
        let rows = [row(0), row(1)];
        let insert = "INSERT INTO ledger VALUES (?, ?, ?, ?)";
        // The stand-in for a failing database has no transactions.
        let request = if self.expected_failures == ExpectedFailures::Storage || self.random.bool() {
            let params: Vec<Value> = rows.iter().flat_map(|row| row.as_array().expect("a list").clone()).collect();
            let query = json!({"sql": format!("{insert}, (?, ?, ?, ?)"), "params": params});
            self.user.post_json("/db/query", query.to_string())
        } else {
            let statements = rows.map(|params| json!({"sql": insert, "params": params}));
            self.user.post_json("/db/batch", json!({ "statements": statements }).to_string())
        };
        self.rows.insert(content.seed, vec![None, Some(content)]);
        if self.write(request).await.is_some() {
            self.rows.insert(content.seed, vec![Some(content)]);
        }
    }
}
