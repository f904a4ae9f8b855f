//! A writer's reads and lists, each checked against the ledger.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::json;

use super::content::GeneratedContent;
use super::possible::{check_reply, possible_contents, settle};
use super::writer::{Writer, path_with_key};
use crate::{Reply, escaped};

impl Writer {
    pub(super) async fn read_file(&mut self) {
        let key = self.random_key();
        if let Some(reply) = self.read(self.user.get(&path_with_key("/files", &key))).await {
            self.check_file(&key, &reply, self.read_settles());
        }
    }

    pub(super) async fn read_range(&mut self) {
        let key = self.random_key();
        let (first, length) = (self.random.usize(..1000), self.random.usize(1..100_000));
        let range = format!("bytes={first}-{}", first + length - 1);
        let request = self.user.get(&path_with_key("/files", &key)).header("Range", range);
        let Some(reply) = self.read(request).await else { return };
        let possible = possible_contents(&self.files, &key);
        let matches = |content: &Option<GeneratedContent>| match (reply.status.as_u16(), content) {
            (404, None) => true,
            (416, Some(content)) => content.length <= first,
            (206, Some(content)) => {
                let bytes = content.bytes();
                first < bytes.len() && reply.body == bytes[first..bytes.len().min(first + length)]
            }
            _ => false,
        };
        assert!(possible.iter().any(matches), "{key}, {first}+{length}: none of {possible:?}, but {reply}");
    }

    pub(super) async fn head_file(&mut self) {
        let key = self.random_key();
        let Some(reply) = self.read(self.user.head(&path_with_key("/files", &key))).await else { return };
        let headers = (reply.status != StatusCode::NOT_FOUND).then(|| {
            assert_eq!(reply.status, StatusCode::OK, "{reply}");
            (reply.header("Content-Length").to_owned(), reply.header("Content-Type").to_owned())
        });
        let possible = possible_contents(&self.files, &key);
        let matches = |content: &Option<GeneratedContent>| {
            headers == content.map(|content| (content.length.to_string(), content.content_type()))
        };
        assert!(possible.iter().any(matches), "{key}: none of {possible:?}, but {reply}");
    }

    pub(super) async fn read_health(&mut self) {
        if let Some(reply) = self.read(self.user.get("/")).await {
            assert_eq!((reply.status, &reply.json()["status"]), (StatusCode::OK, &json!("ok")), "{reply}");
        }
    }

    pub(super) async fn read_value(&mut self) {
        let key = self.random_key();
        if let Some(reply) = self.read(self.user.get(&path_with_key("/data", &key))).await {
            self.check_value(&key, &reply, self.read_settles());
        }
    }

    pub(super) async fn list_files(&mut self) {
        let list = format!("/files?prefix={}", escaped(&self.prefix()));
        let Some(reply) = self.read(self.user.get(&list)).await else { return };
        assert_eq!(reply.status, StatusCode::OK, "{reply}");
        let page = reply.json();
        let listed = page["files"].as_array().expect("a list");
        let sizes: BTreeMap<&str, u64> = listed
            .iter()
            .map(|file| (file["key"].as_str().expect("a key"), file["size"].as_u64().expect("a size")))
            .collect();
        for (key, possible) in &self.files {
            let size = sizes.get(&**key).copied();
            let matches = possible.iter().any(|content| content.map(|content| content.length as u64) == size);
            assert!(matches, "{key}: none of {possible:?}, but {size:?}");
        }
        assert!(sizes.keys().all(|key| self.files.contains_key(*key)), "{reply}");
    }

    pub(super) async fn list_values(&mut self) {
        let list = format!("/data?prefix={}", escaped(&self.prefix()));
        let Some(reply) = self.read(self.user.get(&list)).await else { return };
        assert_eq!(reply.status, StatusCode::OK, "{reply}");
        let page = reply.json();
        let listed: BTreeSet<&str> = page["keys"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|entry| entry["key"].as_str().expect("a key"))
            .collect();
        for (key, possible) in &self.values {
            let is_listed = listed.contains(&**key);
            let matches = possible.iter().any(|content| content.is_some() == is_listed);
            assert!(matches, "{key}: {possible:?}, listed: {is_listed}");
        }
        assert!(listed.iter().all(|key| self.values.contains_key(*key)), "{reply}");
    }

    pub(super) async fn read_stats(&mut self) {
        if let Some(reply) = self.read(self.user.get("/stats")).await {
            assert_eq!(reply.status, StatusCode::OK, "{reply}");
            let minimum = self.files.values().filter(|possible| possible.iter().all(Option::is_some)).count();
            assert!(reply.json()["files"]["count"].as_u64() >= Some(minimum as u64), "{reply}");
        }
    }

    pub(super) async fn read_rows(&mut self) {
        if let Some(reply) = self.read(self.user.post_json("/db/query", self.select_rows())).await {
            self.check_rows(&reply, self.read_settles());
        }
    }

    /// Reads everything again. No write may be in progress.
    pub(super) async fn verify(&mut self) {
        for key in self.files.keys().cloned().collect::<Vec<_>>() {
            let reply = self.retry(|user| user.get(&path_with_key("/files", &key))).await;
            self.check_file(&key, &reply, true);
        }
        for key in self.values.keys().cloned().collect::<Vec<_>>() {
            let reply = self.retry(|user| user.get(&path_with_key("/data", &key))).await;
            self.check_value(&key, &reply, true);
        }
        let rows = self.select_rows();
        let reply = self.retry(|user| user.post_json("/db/query", rows.clone())).await;
        self.check_rows(&reply, true);
    }

    fn check_file(&mut self, key: &str, reply: &Reply, read_settles: bool) {
        check_reply(&mut self.files, key, reply, read_settles, |content| {
            reply.header("Content-Type") == content.content_type() && reply.body == content.bytes()
        });
    }

    fn check_value(&mut self, key: &str, reply: &Reply, read_settles: bool) {
        check_reply(&mut self.values, key, reply, read_settles, |content| {
            reply.text() == format!("{{\"key\":\"{key}\",\"value\":{}}}", content.json())
        });
    }

    /// Returns the body of a query for the writer's rows, the two halves of each as one row.
    fn select_rows(&self) -> String {
        let sql = "SELECT id, count(*) AS halves, sum(length) AS length FROM ledger WHERE writer = ? GROUP BY id";
        json!({"sql": sql, "params": [self.name]}).to_string()
    }

    fn check_rows(&mut self, reply: &Reply, read_settles: bool) {
        assert_eq!(reply.status, StatusCode::OK, "{reply}");
        let rows = reply.json();
        let rows = rows["results"].as_array().expect("rows");
        let stored: BTreeMap<u64, Option<GeneratedContent>> = rows
            .iter()
            .map(|row| {
                assert_eq!(row["halves"], 2, "half a transaction: {row}");
                let (seed, length) = (row["id"].as_u64().expect("an id"), row["length"].as_u64().expect("a length"));
                (seed, Some(GeneratedContent { seed, length: usize::try_from(length / 2).expect("small") }))
            })
            .collect();
        assert!(stored.keys().all(|id| self.rows.contains_key(id)), "{reply}");
        for (id, possible) in &mut self.rows {
            let stored = stored.get(id).copied().flatten();
            let index = possible.iter().position(|content| *content == stored);
            let index = index.unwrap_or_else(|| panic!("row {id}: none of {possible:?}, but {stored:?}"));
            settle(read_settles, Some(possible), index);
        }
    }
}
