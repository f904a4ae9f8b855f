//! The customer Worker's routes.

mod bodies;
mod conditional_writes;
mod data;
mod db;
mod failing_storage;
mod files;
mod forms;
mod lists;
mod reading;
mod round_trips;
mod rpc;
mod stats;
mod uploads;

use reqwest::Method;
use serde_json::json;
use tests::{Customer, expect_json, expect_problem};

#[tokio::test]
async fn the_root_returns_the_customers_id_and_version() {
    let version = env!("CARGO_PKG_VERSION");
    for id in ["user1", "a", "the-longest-user-id-that-there-can-be-0123456789"] {
        let health = json!({"status": "ok", "worker": id, "version": version});
        expect_json(Customer::new(id).get("/"), health.clone()).await;
        expect_json(Customer::new(id).get("/?x=1"), health).await;
    }
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let user = Customer::new("user1");
    for path in [
        "/x",
        "/files/",
        "/files/x",
        "/file",
        "/data/x",
        "/Data",
        "/db",
        "/db/",
        "/db/x",
        "/files/uploads/",
        "/files/uploads/x",
        "/stats/",
        "/index.html",
        "//",
        "/%66iles",
    ] {
        expect_problem(user.get(path), 404, "not_found").await;
    }
}

#[tokio::test]
async fn a_405_lists_the_allowed_methods() {
    let user = Customer::new("user1");
    let read = "GET, HEAD";
    for (path, allow, methods) in [
        ("/", read, &["POST", "PUT", "DELETE", "PATCH", "OPTIONS"][..]),
        ("/files?key=a", "GET, HEAD, POST, PUT, DELETE", &["PATCH", "OPTIONS"]),
        ("/files/uploads?key=a", "POST, PUT, DELETE", &["GET", "PATCH", "OPTIONS"]),
        ("/files/uploads/complete?key=a", "POST", &["GET", "PUT", "DELETE", "PATCH", "OPTIONS"]),
        ("/data?key=a", "GET, HEAD, POST, DELETE", &["PUT", "PATCH", "OPTIONS"]),
        ("/stats", read, &["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
        ("/db/query", "POST", &["GET", "PUT", "DELETE", "PATCH", "OPTIONS"]),
        ("/db/batch", "POST", &["GET", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    ] {
        for method in methods {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let reply = expect_problem(user.request(method, path), 405, "method_not_allowed").await;
            assert_eq!(reply.header("Allow"), allow, "{reply}");
        }
    }
}

/// A customer Worker may have any of the storage bindings, or none.
#[tokio::test]
async fn routes_without_their_storage_are_a_501() {
    let bare = Customer::new("bare");
    let form = || {
        reqwest::multipart::Form::new()
            .text("key", "a")
            .part("file", reqwest::multipart::Part::text("x").file_name("f"))
    };
    expect_json(bare.get("/"), json!({"status": "ok", "worker": "bare", "version": env!("CARGO_PKG_VERSION")})).await;
    for request in [
        bare.get("/files"),
        bare.get("/files?key=a"),
        bare.put("/files?key=a").body("x"),
        bare.post("/files").multipart(form()),
        bare.delete("/files?key=a"),
        bare.post("/files/uploads?key=a"),
        bare.put("/files/uploads?key=a&uploadId=x&partNumber=1").body("x"),
        bare.post_json("/files/uploads/complete?key=a&uploadId=x", r#"{"parts":[{"partNumber":1,"etag":"x"}]}"#),
        bare.delete("/files/uploads?key=a&uploadId=x"),
        bare.get("/data"),
        bare.get("/data?key=a"),
        bare.post_json("/data", r#"{"key":"a","value":1}"#),
        bare.delete("/data?key=a"),
        bare.get("/stats"),
        bare.post_json("/db/query", r#"{"sql":"SELECT 1"}"#),
        bare.post_json("/db/batch", r#"{"statements":[{"sql":"SELECT 1"}]}"#),
    ] {
        expect_problem(request, 501, "binding_not_attached").await;
    }
}
