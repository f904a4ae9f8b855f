//! The customer Worker's routes.

mod data;
mod files;
mod stats;

use reqwest::Method;
use serde_json::json;
use tests::{Customer, expect_json, expect_problem};

#[tokio::test]
async fn the_root_says_who_answers() {
    let version = env!("CARGO_PKG_VERSION");
    for id in ["user1", "a", "the-longest-user-id-that-there-can-be-0123456789"] {
        let health = json!({"status": "ok", "worker": id, "version": version});
        expect_json(Customer::new(id).get("/"), health.clone()).await;
        expect_json(Customer::new(id).get("/?x=1"), health).await;
    }
}

#[tokio::test]
async fn there_are_no_other_routes() {
    let user = Customer::new("user1");
    for path in ["/x", "/files/", "/files/x", "/file", "/data/x", "/Data", "/stats/", "/index.html", "//", "/%66iles"] {
        expect_problem(user.get(path), 404, "not_found").await;
    }
}

#[tokio::test]
async fn a_route_names_the_methods_it_has() {
    let user = Customer::new("user1");
    let read = "GET, HEAD";
    let all = "GET, HEAD, POST, DELETE";
    for (path, allow, methods) in [
        ("/", read, &["POST", "PUT", "DELETE", "PATCH", "OPTIONS"][..]),
        ("/files?key=a", all, &["PUT", "PATCH", "OPTIONS"]),
        ("/data?key=a", all, &["PUT", "PATCH", "OPTIONS"]),
        ("/stats", read, &["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    ] {
        for method in methods {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let reply = expect_problem(user.request(method, path), 405, "method_not_allowed").await;
            assert_eq!(reply.header("Allow"), allow, "{reply}");
        }
    }
}
