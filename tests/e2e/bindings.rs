//! Bindings that are absent, `null`, or of another type: they cause an error reply, and never a panic.

use reqwest::RequestBuilder;
use tests::workerd::{Configuration, RunningWorkerd};
use tests::{Customer, expect_problem, expect_success};

const TRUSTED: &str = r#"(name = "AUTH", text = "trusted-header")"#;

async fn start(dispatcher: &str, namespace: Option<&str>, customer: &str) -> (RunningWorkerd, Customer) {
    // No server listens on this port: an operation that reaches storage fails.
    let runtime = RunningWorkerd::start(&Configuration { dispatcher, namespace, customer, storage_port: 9 }).await;
    let user = Customer::at(&runtime.url, "one");
    (runtime, user)
}

fn requests(user: &Customer) -> Vec<(&'static str, RequestBuilder)> {
    let upload = "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--x\r\nContent-Disposition: form-data; \
                  name=\"file\"; filename=\"f\"\r\n\r\nabc\r\n--x--\r\n";
    vec![
        ("USER_R2", user.get("/files?key=k")),
        ("USER_R2", user.get("/files?key=k").header("Range", "bytes=0-1")),
        ("USER_R2", user.get("/files")),
        ("USER_R2", user.put("/files?key=k").body("abc")),
        ("USER_R2", user.post("/files").header("Content-Type", "multipart/form-data; boundary=x").body(upload)),
        ("USER_R2", user.delete("/files?key=k")),
        ("USER_R2", user.post("/files/uploads?key=k")),
        ("USER_R2", user.put("/files/uploads?key=k&uploadId=u&partNumber=1").body("abc")),
        ("USER_R2", user.delete("/files/uploads?key=k&uploadId=u")),
        ("USER_KV", user.get("/data?key=k")),
        ("USER_KV", user.get("/data")),
        ("USER_KV", user.post_json("/data", r#"{"key":"k","value":1}"#)),
        ("USER_KV", user.delete("/data?key=k")),
        ("USER_DB", user.post_json("/db/query", r#"{"sql":"SELECT 1"}"#)),
        ("USER_DB", user.post_json("/db/batch", r#"{"statements":[{"sql":"SELECT 1"}]}"#)),
        ("both", user.get("/stats")),
    ]
}

#[tokio::test]
async fn unusable_storage_bindings_are_a_501_or_503() {
    for (bindings, status, code) in [
        ([""; 3], 501, "binding_not_attached"),
        ([r#"json = "null""#; 3], 501, "binding_not_attached"),
        ([r#"text = "storage""#; 3], 501, "binding_not_attached"),
        ([r#"json = "7""#; 3], 501, "binding_not_attached"),
        ([r#"json = "{}""#; 3], 503, "storage_unavailable"),
        ([r#"json = "[]""#; 3], 503, "storage_unavailable"),
        // Each binding has the type of another.
        (
            [r#"r2Bucket = "storage""#, r#"kvNamespace = "storage""#, r#"kvNamespace = "storage""#],
            503,
            "storage_unavailable",
        ),
        ([r#"service = "one""#; 3], 503, "storage_unavailable"),
    ] {
        let binding = |(name, value): (&str, &str)| {
            if value.is_empty() { String::new() } else { format!("(name = \"{name}\", {value}), ") }
        };
        let customer: String = ["USER_KV", "USER_R2", "USER_DB"].into_iter().zip(bindings).map(binding).collect();
        let (_runtime, user) = start(TRUSTED, None, customer.trim_end_matches(", ")).await;
        for (binding, request) in requests(&user) {
            let reply = expect_problem(request, status, code).await;
            assert!(!reply.text().contains("USER_"), "{binding} {bindings:?}: {reply}");
        }
        // The Worker still serves requests.
        expect_success(user.get("/")).await;
    }
}

#[tokio::test]
async fn a_dispatcher_without_a_namespace_replies_with_an_error() {
    for value in ["", r#"json = "null""#, r#"text = "x""#, r#"json = "{}""#, r#"kvNamespace = "storage""#] {
        let namespace = if value.is_empty() {
            r#"(name = "NONE", text = "x")"#.to_owned()
        } else {
            format!("(name = \"DISPATCHER\", {value})")
        };
        let (_runtime, user) = start(TRUSTED, Some(&namespace), "").await;
        let status =
            if value.contains("kvNamespace") { (502, "customer_worker_failed") } else { (500, "internal_error") };
        expect_problem(user.get("/"), status.0, status.1).await;
        expect_success(user.get("/healthz")).await;
    }
}

/// Unreadable records must not count as missing records, which would let everybody in.
#[tokio::test]
async fn unreadable_records_let_nobody_in() {
    for value in [r#"text = "records""#, r#"json = "{}""#, r#"json = "true""#, r#"kvNamespace = "storage""#] {
        let bindings = format!("{TRUSTED}, (name = \"CUSTOMERS\", {value})");
        let (_runtime, user) = start(&bindings, None, "").await;
        expect_problem(user.get("/"), 503, "storage_unavailable").await;
    }
    // An absent binding may be `null`.
    let bindings = format!("{TRUSTED}, (name = \"CUSTOMERS\", json = \"null\")");
    let (_runtime, user) = start(&bindings, None, "").await;
    expect_success(user.get("/")).await;
}

/// A binding that is not needed to serve a request does not make it fail.
#[tokio::test]
async fn optional_dispatcher_bindings_may_have_any_type() {
    for value in
        [r#"json = "null""#, r#"text = "x""#, r#"json = "{}""#, r#"kvNamespace = "storage""#, r#"service = "one""#]
    {
        let names = ["RATE_LIMIT_DEFAULT", "ANALYTICS", "CF_VERSION_METADATA", "OUTBOUND", "SCRIPT_PREFIX"];
        let names = if value.starts_with("json = \"null\"") { &names[..] } else { &names[..3] };
        let bindings: Vec<String> = names.iter().map(|name| format!("(name = \"{name}\", {value})")).collect();
        let (_runtime, user) = start(&format!("{TRUSTED}, {}", bindings.join(", ")), None, "").await;
        expect_success(user.get("/")).await;
        expect_success(user.get("/healthz")).await;
    }
}
