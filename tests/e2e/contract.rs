//! `docs/openapi.json`: it is served, is valid `OpenAPI`, and describes every reply of the platform.
//! `shared/tests/openapi.rs` compares it with the code.

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Mutex;

use futures::{StreamExt, stream};
use http::Method;
use nix::sys::signal::Signal;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{Customer, Dev, Reply, chunked, client, escaped, expect_problem, expect_success, platform_url};

const DOCUMENT: &str = include_str!("../../docs/openapi.json");

fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("JSON")
}

/// Runs one of the Python programs that `cargo xtask test` installs.
fn run_tester(program: &str, configure: impl FnOnce(&mut Command)) -> Output {
    let folder = env::var_os("API_TESTERS").expect("API_TESTERS is not set: run the tests with `cargo xtask test`");
    let mut command = Command::new(PathBuf::from(folder).join(program));
    configure(&mut command);
    command.output().expect("the program runs")
}

/// Returns a program's standard output and standard error.
fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn openapi_json_needs_no_user_id() {
    let url = platform_url() + "/openapi.json";
    for request in [
        client().get(&url),
        client().get(format!("{url}?x=1")).header("X-User-ID", "User1"),
        Customer::new("user1").get("/openapi.json"),
        Customer::new("throws").get("/openapi.json"),
        Customer::anonymous_behind("unconfigured").get("/openapi.json"),
    ] {
        assert_eq!(expect_success(request).await.json(), document());
    }
    let head = Reply::to(client().head(&url)).await;
    assert_eq!((head.status.as_u16(), head.header("Content-Type"), &*head.body), (200, "application/json", &b""[..]));
    for request in [client().post(&url), Customer::new("user1").delete("/openapi.json")] {
        let reply = expect_problem(request, 405, "method_not_allowed").await;
        assert_eq!(reply.header("Allow"), "GET, HEAD");
    }
}

#[test]
fn openapi_json_is_valid_openapi() {
    let output = run_tester("openapi-spec-validator", |command| {
        command.args(["--schema", "3.1"]).arg(tests::repository().join("docs/openapi.json"));
    });
    assert!(output.status.success(), "{}", printed(&output));
}

#[tokio::test]
async fn every_path_allows_exactly_the_described_methods() {
    let user = Customer::new("user1");
    for (path, item) in document()["paths"].as_object().expect("paths") {
        let reply = expect_problem(user.request(Method::OPTIONS, path), 405, "method_not_allowed").await;
        let mut allowed: Vec<String> = reply.header("Allow").split(", ").map(str::to_lowercase).collect();
        allowed.sort();
        let methods = item.as_object().expect("methods").keys().filter(|name| *name != "parameters");
        let mut methods: Vec<String> = methods.cloned().collect();
        methods.sort();
        assert_eq!(allowed, methods, "{path}");
    }
}

/// Makes every object of a schema reject members that it does not name.
fn reject_unknown_members(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(reject_unknown_members);
            if members.get("type") == Some(&json!("object")) && members.contains_key("properties") {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(reject_unknown_members),
        _ => {}
    }
}

/// The document, with objects that reject unknown members, and the replies that were received so far.
struct Contract {
    document: Value,
    seen: Mutex<BTreeSet<String>>,
}

impl Contract {
    fn new() -> Self {
        let mut document = document();
        reject_unknown_members(&mut document);
        Self { document, seen: Mutex::default() }
    }

    /// Expects that every described status of every operation was seen, except those of the dispatcher and of storage,
    /// which every operation has.
    fn expect_all_seen(&self) {
        const COMMON: [&str; 8] = ["401", "403", "404", "429", "500", "501", "502", "503"];
        // This reply would need a form of 48 GiB.
        const UNSEEN: &str = "post /files 413";
        let mut described = BTreeSet::new();
        for (path, item) in self.document["paths"].as_object().expect("paths") {
            for (method, operation) in
                item.as_object().expect("methods").iter().filter(|(name, _)| *name != "parameters")
            {
                let statuses = operation["responses"].as_object().expect("responses").keys();
                let specific = statuses.filter(|status| !COMMON.contains(&&***status));
                described
                    .extend(specific.map(|status| format!("{method} {path} {status}")).filter(|reply| reply != UNSEEN));
            }
        }
        let seen = self.seen.lock().expect("the lock is not poisoned");
        let unseen: Vec<&String> = described.difference(&seen).collect();
        assert!(unseen.is_empty(), "described, but no request got it: {unseen:?}");
    }

    /// Follows a `$ref`.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(pointer) => self.document.pointer(pointer.trim_start_matches('#')).expect(pointer),
            None => value,
        }
    }

    /// Returns how a value violates a schema.
    fn errors(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut schema = schema.clone();
        if let Some(members) = schema.as_object_mut() {
            members.insert("components".to_owned(), self.document["components"].clone());
        }
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema");
        validator.iter_errors(value).map(|error| error.to_string()).collect()
    }

    /// Sends a request, and expects this status and a reply as its operation describes it.
    async fn expect(&self, request: RequestBuilder, status: u16) -> Reply {
        let request = request.build().expect("a request");
        let path = request.url().path();
        let (path, method) =
            (path.strip_prefix("/gate").unwrap_or(path).to_owned(), request.method().as_str().to_lowercase());
        let reply = Reply::read(client().execute(request).await.expect("a reply")).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {path}: {reply}");

        let described = &self.document["paths"][&path][&method]["responses"][status.to_string()];
        assert!(!described.is_null(), "{method} {path} describes no {status}: {reply}");
        self.seen.lock().expect("the lock is not poisoned").insert(format!("{method} {path} {status}"));
        let described = self.resolved(described);
        for (name, header) in described["headers"].as_object().into_iter().flatten() {
            let header = self.resolved(header);
            assert!(header["required"] != true || reply.headers.contains_key(name), "{name}: {reply}");
            if reply.headers.contains_key(name) {
                let text = reply.header(name);
                let value = text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number));
                let errors = self.errors(&header["schema"], &value);
                assert!(errors.is_empty(), "{name}: {errors:#?}: {reply}");
            }
        }
        if let Some(content) = described["content"].as_object().filter(|_| method != "head") {
            let content_type = reply.header("Content-Type");
            let media = content.get(content_type).or_else(|| content.get("*/*"));
            let media = media.unwrap_or_else(|| panic!("{method} {path} describes no {content_type}: {reply}"));
            if let Some(schema) = media.get("schema") {
                // A file may have the type JSON without being JSON.
                let body = serde_json::from_slice(&reply.body).unwrap_or_default();
                let errors = self.errors(schema, &body);
                assert!(errors.is_empty(), "{method} {path}: {errors:#?}: {reply}");
            }
        } else {
            assert!(reply.body.is_empty(), "{method} {path}: {reply}");
        }
        reply
    }
}

#[tokio::test]
async fn replies_match_their_description() {
    let contract = Contract::new();
    let (user, bare, file) = (Customer::new("user2"), Customer::new("bare"), "/files?key=contract/file");
    let part = user.put("/files/uploads?key=a&uploadId=x&partNumber=1");
    let with_token = Customer::behind("token", "user1");
    let form = || Form::new().text("key", "contract/form").part("file", Part::text("form").file_name("f"));
    let too_large = |limit: usize| "x".repeat(limit + 1);
    for (request, status) in vec![
        (user.get("/healthz"), 200),
        (user.head("/healthz"), 200),
        (user.get("/openapi.json"), 200),
        (user.head("/openapi.json"), 200),
        (user.get("/"), 200),
        (user.head("/"), 200),
        (user.get("/?x=1&x=2"), 400),
        (user.head("/?x=1&x=2"), 400),
        (Customer::new("nobody").get("/"), 404),
        (Customer::new("throws").get("/"), 502),
        (with_token.get("/"), 401),
        (with_token.clone().with_token("x").get("/"), 401),
        (Customer::behind("unconfigured", "user1").get("/"), 503),
        (Customer::behind("unbound", "user1").get("/"), 500),
        (user.post("/files").multipart(form()), 200),
        (user.post("/files").multipart(form()).header("If-None-Match", "*"), 412),
        (user.post("/files").multipart(Form::new()), 400),
        (user.post("/files").body("x"), 415),
        (user.put(file).body("0123456789"), 200),
        (user.put(file).body(chunked("x")), 411),
        (user.put(file).body("x").header("If-None-Match", "*"), 412),
        (user.put("/files").body("x"), 400),
        (user.put("/files?key=contract/json").body("no JSON").header("Content-Type", "application/json"), 200),
        (user.get("/files?key=contract/json"), 200),
        (user.get(file), 200),
        (user.get(file).header("Range", "bytes=2-5"), 206),
        (user.get(file).header("If-None-Match", "*"), 304),
        (user.get(file).header("If-Match", "x"), 412),
        (user.get(file).header("Range", "bytes=20-"), 416),
        (user.get("/files?key=contract/absent"), 404),
        (user.head(file), 200),
        (user.head(file).header("If-None-Match", "*"), 304),
        (user.head(file).header("If-Match", "x"), 412),
        (user.head("/files?key=contract/absent"), 404),
        (user.head("/files"), 200),
        (user.head("/files?limit=0"), 400),
        (user.put(file).body(stalled_body()).header("Content-Length", 6_u64 << 30), 413),
        (user.get("/files?prefix=contract/&include=contentType&limit=1"), 200),
        (user.get("/files?delimiter=/"), 200),
        (user.get("/files?limit=0"), 400),
        (user.delete("/files?key=contract/absent"), 200),
        (user.delete("/files"), 400),
        (user.post("/files/uploads"), 400),
        (user.delete("/files/uploads"), 400),
        (user.put("/files/uploads?key=a&uploadId=x&partNumber=0").body("x"), 400),
        (part.body(stalled_body()).header("Content-Length", 6_u64 << 30), 413),
        (user.put("/files/uploads?key=a&uploadId=x&partNumber=1").body("x"), 404),
        (user.put("/files/uploads?key=a&uploadId=x&partNumber=1").body(chunked("x")), 411),
        (user.put("/files/uploads?key=a&uploadId=x&partNumber=1").body("x").header("Content-Encoding", "gzip"), 415),
        (user.delete("/files/uploads?key=a&uploadId=x"), 404),
        (user.post("/files/uploads/complete?key=a&uploadId=x").body("x"), 415),
        (user.post_json("/files/uploads/complete?key=a&uploadId=x", "{}"), 400),
        (user.post_json("/files/uploads/complete?key=a&uploadId=x", too_large(4 << 20)), 413),
        (user.post_json("/data", r#"{"key":"contract","value":[1],"metadata":{"a":1},"expirationTtl":60}"#), 200),
        (user.post_json("/data", r#"{"key":"contract"}"#), 400),
        (user.post("/data").body("x"), 415),
        (user.post_json("/data", too_large(26 << 20)), 413),
        (user.get("/data?key=contract"), 200),
        (user.get("/data?prefix=contract&limit=1"), 200),
        (user.get("/data?cursor=x"), 400),
        (user.get("/data?key=contract/absent"), 404),
        (user.head("/data?key=contract"), 200),
        (user.head("/data"), 200),
        (user.head("/data?cursor=x"), 400),
        (user.delete("/data?key=contract/absent"), 200),
        (user.delete("/data"), 400),
        (user.get("/stats"), 200),
        (user.head("/stats"), 200),
        (user.get("/stats?x=1&x=2"), 400),
        (user.head("/stats?x=1&x=2"), 400),
        (user.post_json("/db/query", r#"{"sql":"SELECT 1 AS a, NULL AS b, 'x' AS c, x'00' AS d"}"#), 200),
        (user.post_json("/db/query", r#"{"sql":"SELEC"}"#), 400),
        (user.post_json("/db/query", too_large(8 << 20)), 413),
        (user.post("/db/query").body("x"), 415),
        (user.post_json("/db/batch", r#"{"statements":[{"sql":"SELECT ?","params":[1]},{"sql":"SELECT 2"}]}"#), 200),
        (user.post_json("/db/batch", r#"{"statements":[]}"#), 400),
        (user.post_json("/db/batch", too_large(8 << 20)), 413),
        (user.post("/db/batch").body("x"), 415),
        (bare.get("/files"), 501),
        (bare.get("/data"), 501),
        (bare.get("/stats"), 501),
        (bare.post_json("/db/query", r#"{"sql":"SELECT 1"}"#), 501),
    ] {
        contract.expect(request, status).await;
    }
    upload_in_parts(&contract, &user).await;
    contract.expect_all_seen();
}

async fn upload_in_parts(contract: &Contract, user: &Customer) {
    let create = async || {
        let created = contract.expect(user.post("/files/uploads?key=contract/parts"), 200).await.json();
        format!("?key=contract/parts&uploadId={}", escaped(created["uploadId"].as_str().expect("an id")))
    };
    let query = create().await;
    let part = user.put(&format!("/files/uploads{query}&partNumber=1")).body("x");
    let parts = json!({"parts": [contract.expect(part, 200).await.json()]});
    contract.expect(user.post_json(&format!("/files/uploads/complete{query}"), parts.to_string()), 200).await;
    contract.expect(user.delete(&format!("/files/uploads{}", create().await)), 200).await;
}

/// Creates a body that stalls after its first byte.
fn stalled_body() -> Body {
    Body::wrap_stream(stream::once(async { Ok::<_, std::io::Error>("x") }).chain(stream::pending()))
}

/// Runs schemathesis against a local platform that requires tokens, as a deployed one does. It sends `cases` random
/// requests for each operation, as many sequences of requests, and requests at the limits of the document's schemas.
async fn schemathesis(cases: u32, arguments: &[&str]) {
    let state = TempDir::new().expect("a folder");
    let dev = Dev::start(state.path(), &["--auth", "token", "--customer", "contract"]).await;
    let platform = env::var_os("PLATFORM").expect("PLATFORM is not set: run the tests with `cargo xtask test`");
    let mut issue = Command::new(platform);
    issue.current_dir(tests::repository()).args([
        "token",
        "issue",
        "contract",
        "--scope",
        "read,write",
        "--ttl",
        "12h",
        "--state",
    ]);
    let issued = issue.arg(state.path()).env_remove("TOKEN_SECRETS").output().expect("the program runs");
    assert!(issued.status.success(), "{}", printed(&issued));
    let token = String::from_utf8(issued.stdout).expect("a token");

    let (url, report) = (format!("{}/openapi.json", dev.url), state.path().join("report"));
    let folder = tests::repository().join("tests/schemathesis");
    let cases = cases.to_string();
    let run = tokio::task::spawn_blocking({
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        move || {
            run_tester("schemathesis", |command| {
                command.current_dir(folder).env("PYTHONPATH", ".").env("PYTHONDONTWRITEBYTECODE", "1");
                command.env("CUSTOMER", "contract").env("TOKEN", token.trim());
                command.env("HYPOTHESIS_STORAGE_DIRECTORY", report.join("hypothesis"));
                command.args(["run", &url, "--max-examples", &cases, "--report-dir"]).arg(report).args(arguments);
            })
        }
    });
    let output = run.await.expect("the task does not panic");
    println!("{}", printed(&output));
    assert!(output.status.success(), "the platform violates docs/openapi.json");
    assert!(dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn random_requests_get_described_replies() {
    schemathesis(20, &["--seed", "1"]).await;
}

/// `cargo xtask test --long contract` runs this. The requests differ each time; schemathesis prints their seed.
#[tokio::test]
#[ignore = "takes minutes"]
async fn many_random_requests_get_described_replies() {
    schemathesis(400, &["--continue-on-failure"]).await;
}
