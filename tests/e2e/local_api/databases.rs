//! D1 over the API, as in Cloudflare's reference: <https://developers.cloudflare.com/api/resources/d1/>.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::LocalApi;
use tests::api::{expect_error, expect_result};

use super::Platform;

/// A new database, and requests to its two endpoints.
struct TestDatabase<'a> {
    api: &'a LocalApi,
    path: String,
}

impl<'a> TestDatabase<'a> {
    async fn new(api: &'a LocalApi) -> Self {
        let id = api.post("/d1/database", json!({"name": "queried"})).await["uuid"].clone();
        Self { api, path: format!("/d1/database/{}", id.as_str().expect("an id")) }
    }

    fn request(&self, endpoint: &str, body: &Value) -> RequestBuilder {
        self.api.request(Method::POST, &format!("{}/{endpoint}", self.path)).body(body.to_string())
    }

    /// Sends a request that must succeed, and returns the results. Each result must have its metadata.
    async fn results(&self, endpoint: &str, body: Value) -> Vec<Value> {
        let results = expect_result(self.request(endpoint, &body)).await;
        let results = results.as_array().unwrap_or_else(|| panic!("{body}: {results}")).clone();
        for result in &results {
            assert_eq!(result["success"], true, "{body}: {result}");
            for member in ["changes", "duration", "last_row_id", "rows_read", "rows_written", "size_after"] {
                assert!(result["meta"][member].is_number(), "{member} of {body}: {result}");
            }
            assert!(result["meta"]["changed_db"].is_boolean(), "{body}: {result}");
        }
        results.iter().map(|result| result["results"].clone()).collect()
    }
}

#[tokio::test]
async fn each_statement_has_a_result_in_both_formats() {
    let platform = Platform::start(&[]).await;
    let database = TestDatabase::new(&platform.api).await;
    let query = async |body: Value| database.results("query", body).await;
    let raw = async |body: Value| database.results("raw", body).await;

    assert_eq!(query(json!({"sql": "SELECT 1 a; SELECT 2 b"})).await, [json!([{"a": 1}]), json!([{"b": 2}])]);
    let rows = |columns: Value, rows: Value| json!({"columns": columns, "rows": rows});
    let expected = [rows(json!(["a", "a"]), json!([[1, "x"]])), rows(json!(["b"]), json!([]))];
    assert_eq!(raw(json!({"sql": "SELECT 1 a, 'x' a; SELECT 2 b WHERE 0; -- done"})).await, expected);
    assert_eq!(
        raw(json!({"sql": "SELECT ?1 + ?2 AS sum", "params": [1, 2]})).await,
        [rows(json!(["sum"]), json!([[3]]))]
    );

    // The metadata describes writes.
    query(json!({"sql": "CREATE TABLE t (a); CREATE TABLE log (a); CREATE TRIGGER tr AFTER INSERT ON t BEGIN \
                         INSERT INTO log VALUES (new.a); INSERT INTO log VALUES (CASE 1 WHEN 1 THEN 'x;' END); END;"}))
    .await;
    for (endpoint, id) in [("query", 1), ("raw", 2)] {
        let written = expect_result(database.request(endpoint, &json!({"sql": "INSERT INTO t VALUES (1)"}))).await;
        let meta = &written[0]["meta"];
        assert_eq!((&meta["last_row_id"], &meta["changed_db"]), (&json!(id), &json!(true)), "{written}");
        assert!(meta["changes"].as_u64() >= Some(1), "{written}");
    }
    let count = json!({"sql": "SELECT count(*) AS n FROM log; SELECT count(*) AS n FROM t"});
    assert_eq!(query(count).await, [json!([{"n": 4}]), json!([{"n": 2}])]);

    // In a batch, each statement has its own parameters.
    let batch = json!({"batch": [
        {"sql": "INSERT INTO t VALUES (?)", "params": ["b"]},
        {"sql": "SELECT a FROM t WHERE a = ?", "params": ["b"]},
        {"sql": "SELECT 1 x; SELECT 2 y"},
    ]});
    assert_eq!(query(batch.clone()).await, [json!([]), json!([{"a": "b"}]), json!([{"x": 1}]), json!([{"y": 2}])]);
    let expected = [
        rows(json!([]), json!([])),
        rows(json!(["a"]), json!([["b"], ["b"]])),
        rows(json!(["x"]), json!([[1]])),
        rows(json!(["y"]), json!([[2]])),
    ];
    assert_eq!(raw(batch).await, expected);
}

#[tokio::test]
async fn several_statements_are_one_transaction() {
    let platform = Platform::start(&[]).await;
    let database = TestDatabase::new(&platform.api).await;
    database.results("query", json!({"sql": "CREATE TABLE t (a UNIQUE)"})).await;
    let insert = |value: &str| json!({"sql": "INSERT INTO t VALUES (?)", "params": [value]});
    for endpoint in ["query", "raw"] {
        for body in [
            json!({"batch": [insert("x"), insert("x")]}),
            json!({"batch": [insert("x"), {"sql": "SELECT * FROM nowhere"}]}),
            json!({"sql": "INSERT INTO t VALUES ('x'); INSERT INTO t VALUES ('x')"}),
            json!({"sql": "INSERT INTO t VALUES ('x'); SELECT nonsense"}),
        ] {
            expect_error(database.request(endpoint, &body), 400, 7500).await;
            let rows = database.results("query", json!({"sql": "SELECT * FROM t"})).await;
            assert_eq!(rows, [json!([])], "{endpoint}: {body}");
        }
    }
}

#[tokio::test]
async fn invalid_queries_are_rejected_before_anything_is_executed() {
    let platform = Platform::start(&[]).await;
    let database = TestDatabase::new(&platform.api).await;
    database.results("query", json!({"sql": "CREATE TABLE t (a)"})).await;
    let insert = json!({"sql": "INSERT INTO t VALUES (1)"});
    for endpoint in ["query", "raw"] {
        for (body, reason) in [
            (json!({"sql": ""}), "there is no SQL"),
            (json!({"sql": " ; -- nothing\n/* ; */"}), "there is no SQL"),
            (json!({"batch": []}), "no statements"),
            (json!({"batch": [insert, {"sql": "-- nothing"}]}), "statement 2 of the batch"),
            (json!({"sql": "SELECT ?; SELECT ?", "params": [1]}), "params with multiple statements is not supported"),
            (json!({"batch": [insert, {"sql": "SELECT ?; SELECT ?", "params": [1]}]}), "params with multiple"),
        ] {
            let message = expect_error(database.request(endpoint, &body), 400, 7400).await;
            assert!(message.contains("The request is malformed") && message.contains(reason), "{body}: {message}");
        }
        expect_error(database.request(endpoint, &json!({"query": "SELECT 1"})), 400, 10026).await;
    }
    assert_eq!(database.results("query", json!({"sql": "SELECT * FROM t"})).await, [json!([])]);
}
