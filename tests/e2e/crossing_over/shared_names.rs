//! What is shared by its name in an account: a manifest reaches nothing of another customer's by it, nor of the platform's.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tests::Reply;
use tests::api::{expect_result, text};

use crate::local_api::Platform;

/// A Worker of a customer's own, which asks its rate limiter.
const SCRIPT: &str = "
    export class Flow {}
    export default {
        async fetch(request, env) {
            return Response.json(await env.LIMITER.limit({ key: 'user1' }));
        },
    };
";

/// A binding of each kind that names something of the account.
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

    /// Creates a customer with a Worker of its own or deploys to it, and answers the exit code and what went wrong.
    async fn run(&self, command: &str, id: &str, manifest: &str) -> (Option<i32>, String) {
        let (manifest, script) = (self.manifest(id, manifest), self.script.to_str().expect("UTF-8"));
        let arguments = ["customer", command, id, "--manifest", &manifest, "--script", script];
        let output = self.platform.api.platform(&arguments).await;
        (output.status.code(), text(&output.stderr))
    }

    async fn expect_done(&self, command: &str, id: &str, manifest: &str) {
        let (code, errors) = self.run(command, id, manifest).await;
        assert_eq!(code, Some(0), "{errors}");
    }

    async fn expect_refused(&self, command: &str, id: &str, manifest: &str, reason: &str) {
        let (code, errors) = self.run(command, id, manifest).await;
        assert!(code == Some(1) && errors.contains(reason), "{manifest}: {errors}");
    }

    async fn audit(&self) -> (Option<i32>, Value) {
        let manifests = self.platform.state.path().join("manifests");
        let manifests = manifests.to_str().expect("UTF-8");
        let output = self.platform.api.platform(&["customer", "audit", "--manifests", manifests, "--json"]).await;
        (output.status.code(), serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// What all there is of customers is called.
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
async fn a_name_that_another_customer_has_is_refused_unless_it_is_marked() {
    let operator = Operator::start(&[]).await;
    let api = &operator.platform.api;
    let kv = api.kv_namespace("sessions").await;
    let d1 = api.post("/d1/database", json!({ "name": "catalogue" })).await["uuid"].as_str().expect("an id").to_owned();
    api.post("/r2/buckets", json!({ "name": "assets" })).await;
    let bindings = bindings(&kv, &d1);
    let all = |shared| -> String {
        bindings.iter().map(|(kind, members)| table(&format!("MY_{kind}"), kind, members, shared)).collect()
    };

    // The queue is not there yet: nothing is made.
    let before = operator.everything().await;
    operator.expect_refused("create", "first", &all(false), "is the queue jobs, which does not exist").await;
    assert_eq!(operator.everything().await, before);
    api.post("/queues", json!({ "queue_name": "jobs" })).await;
    operator.expect_done("create", "first", &all(false)).await;

    let before = operator.everything().await;
    for (kind, members) in &bindings {
        let manifest = table("X", kind, members, false);
        operator.expect_refused("create", "second", &manifest, "which the script first is bound to as well").await;
    }
    operator.expect_refused("deploy", "user1", &all(false), "which the script first is bound to as well").await;
    assert_eq!(operator.everything().await, before);
    assert_eq!(operator.audit().await.0, Some(0));

    // Marked on one side it is bound, and said; marked on both it is in order.
    operator.expect_done("create", "second", &all(true)).await;
    let (code, audit) = operator.audit().await;
    let of = |script: &str, shared: bool| {
        let crossings = audit["crossings"].as_array().expect("a list").iter();
        crossings.filter(|crossing| crossing["script"] == script && crossing["shared"] == shared).count()
    };
    assert_eq!((code, of("first", false), of("second", true)), (Some(4), bindings.len(), bindings.len()), "{audit}");
    operator.manifest("first", &all(true));
    assert_eq!(operator.audit().await.0, Some(0));
}

#[tokio::test]
async fn the_platforms_own_is_refused_and_found_whatever_a_manifest_says() {
    let operator = Operator::start(&["--records"]).await;
    let api = &operator.platform.api;
    let namespaces = expect_result(api.get("/storage/kv/namespaces?per_page=1000")).await;
    let named = |title: &str| {
        let found = namespaces.as_array().expect("a list").iter().find(|namespace| namespace["title"] == title);
        found.expect("it is there")["id"].as_str().expect("an id").to_owned()
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
        operator.expect_refused("create", "thief", &manifest, "which is the platform's own").await;
        let marked = table("X", kind, &members, true);
        operator.expect_refused("deploy", "user1", &marked, "which is the platform's own").await;
    }

    // Uploads are not refused, but found.
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
async fn rate_limiters_that_name_no_namespace_count_for_themselves() {
    let operator = Operator::start(&[]).await;
    let manifest = table("LIMITER", "ratelimit", "simple = { limit = 5, period = 60 }", false);
    for id in ["first", "second"] {
        operator.expect_done("create", id, &manifest).await;
    }
    let ask = async |id: &str| Reply::to(operator.platform.customer(id).get("/")).await.json()["success"].clone();
    let mut refused = false;
    for _ in 0..20 {
        refused |= ask("first").await == false;
    }
    assert!(refused, "five in a minute");
    assert_eq!(ask("second").await, true);
    assert_eq!(operator.audit().await.0, Some(0));
}
