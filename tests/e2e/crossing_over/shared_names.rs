//! Resources that an account shares by name. A manifest cannot use them to reach another customer's resources or the
//! platform's own.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tests::Reply;
use tests::api::{expect_result, text};

use crate::local_api::Platform;

/// A customer's own Worker that calls its rate limiter.
const SCRIPT: &str = "
    export class Flow {}
    export default {
        async fetch(request, env) {
            return Response.json(await env.LIMITER.limit({ key: 'user1' }));
        },
    };
";

/// Returns a binding of each type that names a resource of the account.
fn bindings(kv: &str, d1: &str) -> Vec<(&'static str, String)> {
    [
        ("analytics_engine", "dataset = 'events'".to_owned()),
        ("d1", format!("id = '{d1}'")),
        ("hyperdrive", "id = '22222222222222222222222222222222'".to_owned()),
        ("kv_namespace", format!("namespace_id = '{kv}'")),
        ("mtls_certificate", "certificate_id = '44444444-4444-4444-4444-444444444444'".to_owned()),
        ("pipelines", "pipeline = 'clicks'".to_owned()),
        ("queue", "queue_name = 'jobs'".to_owned()),
        ("r2_bucket", "bucket_name = 'assets'".to_owned()),
        ("ratelimit", "namespace_id = '4711'\nsimple = { limit = 5, period = 60 }".to_owned()),
        ("secrets_store_secret", "store_id = 'store'\nsecret_name = 'key'".to_owned()),
        ("service", "service = 'mailer'".to_owned()),
        ("vectorize", "index_name = 'articles'".to_owned()),
        ("workflow", "workflow_name = 'flow'\nclass_name = 'Flow'".to_owned()),
    ]
    .into()
}

fn table(name: &str, kind: &str, members: &str, shared: bool) -> String {
    let mark = if shared { "shared = true\n" } else { "" };
    format!("[[bindings]]\nname = '{name}'\ntype = '{kind}'\n{members}\n{mark}")
}

struct Operator {
    platform: Platform,
    script: PathBuf,
}

impl Operator {
    async fn start(arguments: &[&str]) -> Self {
        let platform = Platform::start(arguments).await;
        let script = platform.state.path().join("own.js");
        fs::write(&script, SCRIPT).expect("written");
        fs::create_dir(platform.state.path().join("manifests")).expect("a folder");
        Self { platform, script }
    }

    fn manifest(&self, id: &str, text: &str) -> String {
        let path = self.platform.state.path().join("manifests").join(format!("{id}.toml"));
        fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Creates a customer with its own Worker, or deploys to it. Returns the exit code and standard error.
    async fn run(&self, command: &str, id: &str, manifest: &str) -> (Option<i32>, String) {
        let (manifest, script) = (self.manifest(id, manifest), self.script.to_str().expect("UTF-8"));
        let arguments = ["customer", command, id, "--manifest", &manifest, "--script", script];
        let output = self.platform.api.platform(&arguments).await;
        (output.status.code(), text(&output.stderr))
    }

    async fn expect_success(&self, command: &str, id: &str, manifest: &str) {
        let (code, errors) = self.run(command, id, manifest).await;
        assert_eq!(code, Some(0), "{errors}");
    }

    async fn expect_rejection(&self, command: &str, id: &str, manifest: &str, reason: &str) {
        let (code, errors) = self.run(command, id, manifest).await;
        assert!(code == Some(1) && errors.contains(reason), "{manifest}: {errors}");
    }

    async fn audit(&self) -> (Option<i32>, Value) {
        let manifests = self.platform.state.path().join("manifests");
        let manifests = manifests.to_str().expect("UTF-8");
        let output = self.platform.api.platform(&["customer", "audit", "--manifests", manifests, "--json"]).await;
        (output.status.code(), serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// Lists all storage and all scripts.
    async fn everything(&self) -> Value {
        let api = &self.platform.api;
        let listed = async |path: &str| expect_result(api.get(path)).await;
        json!([
            listed("/storage/kv/namespaces?per_page=1000").await,
            listed("/d1/database?per_page=1000").await,
            listed("/r2/buckets").await,
            listed(tests::api::SCRIPTS).await,
        ])
    }
}

#[tokio::test]
async fn resources_of_another_customer_are_rejected_unless_shared() {
    let operator = Operator::start(&[]).await;
    let api = &operator.platform.api;
    let kv = api.kv_namespace("sessions").await;
    let d1 = api.post("/d1/database", json!({ "name": "catalogue" })).await["uuid"].as_str().expect("an id").to_owned();
    api.post("/r2/buckets", json!({ "name": "assets" })).await;
    let bindings = bindings(&kv, &d1);
    let all = |shared| -> String {
        bindings.iter().map(|(kind, members)| table(&format!("MY_{kind}"), kind, members, shared)).collect()
    };

    // The queue does not exist yet, so nothing is created.
    let before = operator.everything().await;
    operator.expect_rejection("create", "first", &all(false), "is the queue jobs, which does not exist").await;
    assert_eq!(operator.everything().await, before);
    api.post("/queues", json!({ "queue_name": "jobs" })).await;
    operator.expect_success("create", "first", &all(false)).await;

    let before = operator.everything().await;
    for (kind, members) in &bindings {
        let manifest = table("X", kind, members, false);
        operator.expect_rejection("create", "second", &manifest, "which the script first is bound to as well").await;
    }
    operator.expect_rejection("deploy", "user1", &all(false), "which the script first is bound to as well").await;
    assert_eq!(operator.everything().await, before);
    assert_eq!(operator.audit().await.0, Some(0));

    // If one customer marks a resource as shared, it is bound, and the audit reports it. If both do, the audit is
    // clean.
    operator.expect_success("create", "second", &all(true)).await;
    let (code, audit) = operator.audit().await;
    let count = |script: &str, shared: bool| {
        let crossings = audit["crossings"].as_array().expect("a list").iter();
        crossings.filter(|crossing| crossing["script"] == script && crossing["shared"] == shared).count()
    };
    assert_eq!(
        (code, count("first", false), count("second", true)),
        (Some(4), bindings.len(), bindings.len()),
        "{audit}"
    );
    operator.manifest("first", &all(true));
    assert_eq!(operator.audit().await.0, Some(0));
}

#[tokio::test]
async fn the_platforms_own_resources_are_always_rejected_and_audited() {
    let operator = Operator::start(&["--records"]).await;
    let api = &operator.platform.api;
    let namespaces = expect_result(api.get("/storage/kv/namespaces?per_page=1000")).await;
    let named = |title: &str| {
        let found = namespaces.as_array().expect("a list").iter().find(|namespace| namespace["title"] == title);
        found.expect("the namespace")["id"].as_str().expect("an id").to_owned()
    };
    let records = expect_result(api.get("/workers/scripts/dispatcher/settings")).await;
    let records =
        records["bindings"].as_array().expect("bindings").iter().find(|binding| binding["name"] == "CUSTOMERS");
    let records = records.expect("records")["namespace_id"].as_str().expect("an id").to_owned();
    for (kind, members) in [
        ("kv_namespace", format!("namespace_id = '{records}'")),
        ("dispatch_namespace", "namespace = 'customers'".to_owned()),
        ("service", "service = 'dispatcher'".to_owned()),
        ("service", "service = 'outbound'".to_owned()),
    ] {
        let manifest = table("X", kind, &members, false);
        operator.expect_rejection("create", "thief", &manifest, "which is the platform's own").await;
        let marked = table("X", kind, &members, true);
        operator.expect_rejection("deploy", "user1", &marked, "which is the platform's own").await;
    }

    // The API accepts such uploads, but the audit reports them.
    let user1 = named("customer-user1");
    let stolen = json!([
        {"name": "A", "type": "kv_namespace", "namespace_id": records},
        {"name": "B", "type": "kv_namespace", "namespace_id": user1},
        {"name": "C", "type": "r2_bucket", "bucket_name": "customer-user2"},
    ]);
    expect_result(api.upload("thief", SCRIPT, json!({"compatibility_date": "2026-11-17", "bindings": stolen}))).await;
    let (code, audit) = operator.audit().await;
    let crossings = audit["crossings"].as_array().expect("a list").iter();
    let of_thief: Vec<(&Value, &Value)> = crossings
        .filter(|crossing| crossing["script"] == "thief")
        .map(|crossing| (&crossing["binding"], &crossing["others"][0]))
        .collect();
    let expected = [("A", "the platform"), ("B", "the customer user1"), ("C", "the customer user2")];
    assert_eq!((code, json!(of_thief)), (Some(4), json!(expected)));
}

#[tokio::test]
async fn rate_limiters_without_a_namespace_count_per_script() {
    let operator = Operator::start(&[]).await;
    let manifest = table("LIMITER", "ratelimit", "simple = { limit = 5, period = 60 }", false);
    for id in ["first", "second"] {
        operator.expect_success("create", id, &manifest).await;
    }
    let is_allowed =
        async |id: &str| Reply::to(operator.platform.customer(id).get("/")).await.json()["success"].clone();
    let mut rejected = false;
    for _ in 0..20 {
        rejected |= is_allowed("first").await == false;
    }
    assert!(rejected, "the limit is five requests in a minute");
    assert_eq!(is_allowed("second").await, true);
    assert_eq!(operator.audit().await.0, Some(0));
}
