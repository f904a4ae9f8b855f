//! Tests that customers are not bound to resources of others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::api::{ApiFault, FakeApi};
use super::*;

/// Starts a platform with the customer `user1`, whose script is also bound to storage that is not named after it.
pub async fn start_with_foreign_storage() -> (FakeApi, Customers) {
    let (api, customers) = FakeApi::start().await;
    api.change(|state| {
        for name in ["theirs", "free"] {
            state.kv.insert(format!("kv-{name}"), (name.to_owned(), BTreeMap::new()));
            state.d1.insert(format!("d1-{name}"), (name.to_owned(), None));
            state.r2.insert((String::new(), format!("{name}-bucket")), BTreeSet::new());
        }
        state.r2.insert((String::new(), "customer-nobody".to_owned()), BTreeSet::new());
    });
    customers.try_create("user1", "").await.expect_success();
    api.change(|state| {
        let bindings =
            state.scripts.get_mut("p-user1").expect("a script")["bindings"].as_array_mut().expect("bindings");
        bindings.extend([
            json!({"name": "A", "type": "kv_namespace", "namespace_id": "kv-theirs"}),
            json!({"name": "B", "type": "d1", "database_id": "d1-theirs"}),
            json!({"name": "C", "type": "r2_bucket", "bucket_name": "theirs-bucket"}),
        ]);
    });
    (api, customers)
}

#[tokio::test]
async fn resources_of_other_customers_are_refused_before_anything_is_created() {
    let (api, customers) = start_with_foreign_storage().await;
    let kv = api.state().kv.iter().find(|(_, (title, _))| title == "customer-user1").expect("user1's").0.clone();
    let d1 = api.state().d1.iter().find(|(_, (name, _))| name == "customer-user1").expect("user1's").0.clone();
    for (binding, reason) in [
        (
            format!("type = 'kv_namespace'\nnamespace_id = '{kv}'"),
            "called customer-user1 and belongs to another customer",
        ),
        (format!("type = 'd1'\nid = '{d1}'"), "called customer-user1 and belongs to another customer"),
        (
            "type = 'r2_bucket'\nbucket_name = 'customer-user1'".to_owned(),
            "called customer-user1 and belongs to another customer",
        ),
        (
            "type = 'r2_bucket'\nbucket_name = 'customer-nobody'".to_owned(),
            "called customer-nobody and belongs to another customer",
        ),
        ("type = 'kv_namespace'\nnamespace_id = 'kv-theirs'".to_owned(), "the script p-user1 is bound to as well"),
        ("type = 'd1'\nid = 'd1-theirs'".to_owned(), "the script p-user1 is bound to as well"),
        ("type = 'r2_bucket'\nbucket_name = 'theirs-bucket'".to_owned(), "the script p-user1 is bound to as well"),
        (
            "type = 'durable_object_namespace'\nclass_name = 'Room'\nscript_name = 'p-user1'".to_owned(),
            "the Durable Object class Room of the script p-user1, which belongs to another script",
        ),
        (
            "type = 'workflow'\nworkflow_name = 'w'\nclass_name = 'W'\nscript_name = 'p-user1'".to_owned(),
            "the Workflow w of the script p-user1, which belongs to another script",
        ),
        ("type = 'dispatch_namespace'\nnamespace = 'staging'".to_owned(), "gives access to all scripts in it"),
    ] {
        let text = format!("[[bindings]]\nname = 'X'\n{binding}");
        let before = api.state();
        let report = customers.try_create("user2", &text).await;
        assert!(report.error().contains(reason), "{binding}: {}", report.error());
        assert!(report.error().contains("shared = true"), "{}", report.error());
        assert_eq!((report.steps.len(), api.state() == before), (0, true), "{binding}");

        let shared = format!("{text}\nshared = true");
        customers.try_create("user2", &shared).await.expect_success();

        // `deploy` has the same check.
        let report =
            customers.try_deploy(Targets::Named(vec![id("user2")]), &text, CodeOwner::Platform).await.remove(0);
        assert!(report.error().contains(reason), "{}", report.error());
        customers.try_delete("user2", false).await.expect_success();
    }
}

#[tokio::test]
async fn unused_resources_and_the_customers_own_are_bound() {
    let (api, customers) = start_with_foreign_storage().await;
    let text = "
        [[bindings]]
        name = 'KV'
        type = 'kv_namespace'
        namespace_id = 'kv-free'
        [[bindings]]
        name = 'DB'
        type = 'd1'
        id = 'd1-free'
        [[bindings]]
        name = 'R2'
        type = 'r2_bucket'
        bucket_name = 'free-bucket'
        [[bindings]]
        name = 'OWN'
        type = 'r2_bucket'
        bucket_name = 'customer-user2'
        [[bindings]]
        name = 'ROOMS'
        type = 'durable_object_namespace'
        class_name = 'Room'
        script_name = 'p-user2'
    ";
    customers.try_create("user2", text).await.expect_success();
    // The customer's own bindings do not prevent another deployment.
    customers.try_deploy(Targets::Named(vec![id("user2")]), text, CodeOwner::Platform).await.remove(0).expect_success();
    let bindings = api.state().scripts["p-user2"]["bindings"].as_array().expect("bindings").len();
    assert_eq!(bindings, 8);

    let report = customers.try_create("user3", "[[bindings]]\nname = 'X'\ntype = 'd1'\nid = 'nowhere'").await;
    assert_eq!(report.error(), "X is the database nowhere, which does not exist");

    // The customer's own bucket is created only if the manifest enables it, and only in the manifest's jurisdiction.
    for storage in ["r2 = false", "jurisdiction = 'eu'"] {
        let text = format!(
            "storage = {{ {storage} }}\n[[bindings]]\nname = 'X'\ntype = 'r2_bucket'\nbucket_name = 'customer-user3'"
        );
        let before = api.state();
        let report = customers.try_create("user3", &text).await;
        assert_eq!(report.error(), "X is the bucket customer-user3, which does not exist");
        assert_eq!(api.state(), before);
    }
    let class = "[[bindings]]\nname = 'ROOMS'\ntype = 'durable_object_namespace'\nclass_name = 'Room'";
    let before = api.state();
    let report = customers.try_create("user3", class).await;
    assert_eq!(report.error(), "ROOMS is a Durable Object class of the script, but the platform's Worker has none");
    assert_eq!(api.state(), before);
}

/// A binding for each kind of resource: its members, the API path of the resource if its existence is checked, and the
/// resource in messages.
const SHARED_BY_NAME: [(&str, &str, &str); 10] = [
    ("type = 'analytics_engine'\ndataset = 'n'", "", "the dataset n"),
    ("type = 'hyperdrive'\nid = 'n'", "hyperdrive/configs/n", "the Hyperdrive configuration n"),
    ("type = 'mtls_certificate'\ncertificate_id = 'n'", "mtls_certificates/n", "the client certificate n"),
    ("type = 'pipelines'\npipeline = 'n'", "", "the pipeline n"),
    ("type = 'queue'\nqueue_name = 'n'", "queues/n", "the queue n"),
    ("type = 'ratelimit'\nnamespace_id = '7'\nsimple = { limit = 1, period = 10 }", "", "the rate limiter namespace 7"),
    (
        "type = 'secrets_store_secret'\nstore_id = 's'\nsecret_name = 'n'",
        "secrets_store/stores/s/secrets/n",
        "the secret n of the store s",
    ),
    ("type = 'service'\nservice = 'n'", "workers/n", "the Worker n"),
    ("type = 'vectorize'\nindex_name = 'n'", "vectorize/v2/indexes/n", "the Vectorize index n"),
    ("type = 'workflow'\nworkflow_name = 'n'\nclass_name = 'W'", "", "the Workflow n"),
];

#[tokio::test]
async fn a_resource_belongs_to_one_customer_unless_it_is_marked_as_shared() {
    for (members, path, resource) in SHARED_BY_NAME {
        let (api, customers) = FakeApi::start().await;
        let text = format!("[[bindings]]\nname = 'X'\n{members}");
        let shared = format!("{text}\nshared = true");
        if !path.is_empty() {
            let before = api.state();
            let report = customers.try_create("user1", &text).await;
            assert_eq!(report.error(), format!("X is {resource}, which does not exist"));
            assert_eq!(customers.try_create_dry_run("user1", &text).await.error(), report.error());
            assert_eq!(api.state(), before, "{members}");
            api.change(|state| {
                state.others.insert(path.to_owned());
            });
        }
        customers.try_create("user1", &text).await.expect_success();
        let before = api.state();
        let report = customers.try_create("user2", &text).await;
        let expected = format!("X is {resource}, which the script p-user1 is bound to as well");
        assert!(report.error().starts_with(&expected), "{}", report.error());
        assert_eq!(api.state(), before, "{members}");

        let audit = async |user1: &str, user2: &str| {
            let manifests = [("user1", user1), ("user2", user2)];
            let manifest_of = |id: &UserId| {
                let (user, text) = manifests.into_iter().find(|(user, _)| *user == id.as_str()).expect("a manifest");
                Manifest::parse(text, &super::id(user))
            };
            customers.audit(manifest_of).await.expect("an audit")
        };
        assert_eq!(audit(&text, "").await, Audit { scripts: 1, crossings: Vec::new() });
        customers.try_create("user2", &shared).await.expect_success();
        let half_marked = audit(&text, &shared).await;
        let crossing = |own: &str, other: &str, shared| Crossing {
            script: format!("p-{own}"),
            binding: "X".to_owned(),
            resource: resource.to_owned(),
            others: vec![format!("the script p-{other}")],
            shared,
        };
        assert_eq!(half_marked.crossings, [crossing("user1", "user2", false), crossing("user2", "user1", true)]);
        assert_eq!((half_marked.unmarked(), audit(&shared, &shared).await.unmarked()), (1, 0));
    }
}

#[tokio::test]
async fn the_platforms_resources_are_refused_even_if_marked_as_shared() {
    let (api, _) = FakeApi::start().await;
    api.change(|state| {
        let bindings = state.dispatcher.as_mut().and_then(|bindings| bindings.as_array_mut()).expect("bindings");
        bindings[0]["outbound"] = json!({"worker": {"service": "outbound"}});
        bindings.push(json!({"type": "ratelimit", "name": "RATE_LIMIT_FREE", "namespace_id": "1001"}));
        bindings.push(json!({"type": "analytics_engine", "name": "ANALYTICS", "dataset": "requests"}));
        state.outbound = Some(json!([{"type": "kv_namespace", "name": "HOSTS", "namespace_id": "kv-hosts"}]));
    });
    let customers = api.customers().await.expect("a platform");
    customers.try_create("user1", "").await.expect_success();
    for (members, binding) in [
        ("type = 'kv_namespace'\nnamespace_id = 'records'", json!({"type": "kv_namespace", "namespace_id": "records"})),
        (
            "type = 'kv_namespace'\nnamespace_id = 'kv-hosts'",
            json!({"type": "kv_namespace", "namespace_id": "kv-hosts"}),
        ),
        (
            "type = 'dispatch_namespace'\nnamespace = 'customers'",
            json!({"type": "dispatch_namespace", "namespace": "customers"}),
        ),
        (
            "type = 'ratelimit'\nnamespace_id = '1001'\nsimple = { limit = 1, period = 10 }",
            json!({"type": "ratelimit", "namespace_id": "1001"}),
        ),
        ("type = 'analytics_engine'\ndataset = 'requests'", json!({"type": "analytics_engine", "dataset": "requests"})),
        ("type = 'service'\nservice = 'dispatcher'", json!({"type": "service", "service": "dispatcher"})),
        ("type = 'service'\nservice = 'outbound'", json!({"type": "service", "service": "outbound"})),
    ] {
        let text = format!("[[bindings]]\nname = 'X'\n{members}");
        for text in [text.clone(), format!("{text}\nshared = true")] {
            let before = api.state();
            for report in [
                customers.try_create("user2", &text).await,
                customers.try_create_dry_run("user2", &text).await,
                customers.try_deploy(Targets::Named(vec![id("user1")]), &text, CodeOwner::Platform).await.remove(0),
            ] {
                assert!(report.error().ends_with("which is the platform's own: no customer can have it"), "{members}");
            }
            assert_eq!(api.state(), before, "{members}");
        }

        // The audit finds a script that was bound to it by other means.
        let mut binding = binding;
        binding["name"] = "X".into();
        api.change(|state| {
            state.scripts.get_mut("p-user1").expect("a script")["bindings"] = json!([binding]);
        });
        let marked = |id: &UserId| Manifest::parse(&format!("{text}\nshared = true"), id);
        let audit = customers.audit(marked).await.expect("an audit");
        assert_eq!((audit.unmarked(), &*audit.crossings[0].others), (1, &["the platform".to_owned()][..]), "{members}");
    }
}

#[tokio::test]
async fn the_list_has_customers_with_only_storage() {
    let (api, customers) = FakeApi::start().await;
    customers.try_create("user1", "").await.expect_success();
    api.change(|state| {
        state.kv.insert("k".to_owned(), ("customer-user2".to_owned(), BTreeMap::new()));
        state.kv.insert("l".to_owned(), ("another".to_owned(), BTreeMap::new()));
        state.d1.insert("d".to_owned(), ("customer-user3".to_owned(), None));
        state.r2.insert(("eu".to_owned(), "customer-user4".to_owned()), BTreeSet::new());
    });
    let listed = customers.list().await.expect("a list");
    let listed: Vec<_> =
        listed.iter().map(|customer| (&*customer.id, customer.script.is_some(), customer.storage)).collect();
    assert_eq!(listed, [("user1", true, true), ("user2", false, true), ("user3", false, true), ("user4", false, true)]);
}

/// Another dispatcher with the same namespace and another prefix may have a customer with the same id.
#[tokio::test]
async fn storage_with_the_customers_name_is_refused_if_another_script_is_bound_to_it() {
    let (api, customers) = FakeApi::start().await;
    customers.try_create("user1", "").await.expect_success();
    api.change(|state| {
        let script = state.scripts.remove("p-user1").expect("a script");
        state.scripts.insert("q-user1".to_owned(), script);
    });
    let before = api.state().r2;
    for report in [customers.try_create("user1", "").await, customers.try_delete("user1", false).await] {
        let error = report.error();
        let expected = "has the name of the storage of user1, but the script q-user1 is bound to it";
        assert!(error.ends_with(expected), "{error}");
    }
    assert_eq!(api.state().r2, before);
    assert_eq!(api.state().scripts.keys().collect::<Vec<_>>(), ["q-user1"]);
}

/// A dispatcher for staging with its own namespace may be in the same account.
#[tokio::test]
async fn storage_that_a_script_in_another_namespace_is_bound_to_is_neither_bound_nor_deleted() {
    let (api, customers) = FakeApi::start().await;
    customers.try_create("user1", "").await.expect_success();
    api.change(|state| {
        let script = state.scripts["p-user1"].clone();
        state.staging.insert("user1".to_owned(), script);
    });
    let before = api.state();
    let expect_refused = |report: CustomerReport| {
        let error = report.error();
        assert!(error.ends_with("the script user1 in the dispatch namespace staging is bound to it"), "{error}");
        assert!(report.steps.is_empty(), "{:?}", report.steps);
    };
    expect_refused(customers.try_delete("user1", false).await);
    assert_eq!(api.state(), before);
    // Storage that the script is already bound to is not checked again.
    api.set_fault(ApiFault::None);
    customers.try_deploy(Targets::Named(vec![id("user1")]), "", CodeOwner::Platform).await.remove(0).expect_success();
    assert!(!api.requests().iter().any(|line| line.contains("staging")), "{:?}", api.requests());

    api.change(|state| {
        state.scripts.get_mut("p-user1").expect("a script")["bindings"] = json!([]);
    });
    let before = api.state();
    expect_refused(customers.try_deploy(Targets::Named(vec![id("user1")]), "", CodeOwner::Platform).await.remove(0));
    assert_eq!(api.state(), before);

    // `create` refuses it before it creates anything, and so does a dry run.
    api.change(|state| {
        state.scripts.clear();
        state.d1.clear();
        state.r2.clear();
    });
    let before = api.state();
    expect_refused(customers.try_create("user1", "").await);
    expect_refused(customers.try_create_dry_run("user1", "").await);
    assert_eq!(api.state(), before);
}

#[tokio::test]
async fn no_second_bucket_is_created_in_another_jurisdiction() {
    for (first, second, reason) in [
        ("", "storage = { jurisdiction = 'eu' }", "is not in the jurisdiction eu and cannot be moved"),
        ("storage = { jurisdiction = 'eu' }", "", "set `jurisdiction = \"eu\"` under [storage]"),
    ] {
        let (api, customers) = FakeApi::start().await;
        customers.try_create("user1", first).await.expect_success();
        let named = || Targets::Named(vec![id("user1")]);
        let before = api.state();
        for report in [
            customers.try_create("user1", second).await,
            customers.try_deploy(named(), second, CodeOwner::Platform).await.remove(0),
            customers.try_create_dry_run("user1", second).await,
        ] {
            assert!(report.error().contains(reason), "{}", report.error());
            assert!(report.steps.is_empty());
        }
        assert_eq!(api.state(), before);
    }
}

#[test]
fn two_customers_of_a_run_cannot_name_the_same_unshared_resource() {
    let mut claims = ResourceClaims::default();
    let text = "[[bindings]]\nname = 'X'\ntype = 'd1'\nid = 'one'";
    claims.claim(&id("user1"), &manifest(text)).expect("the first customer");
    claims.claim(&id("user1"), &manifest(text)).expect("the same customer");
    let error = claims.claim(&id("user2"), &manifest(text)).expect_err("another customer").to_string();
    assert!(error.starts_with("X is the database one, which the manifest of user1 names as well"), "{error}");
    claims.claim(&id("user2"), &manifest(&format!("{text}\nshared = true"))).expect("marked as shared");

    // The second customer must mark it as shared, too.
    let mut claims = ResourceClaims::default();
    claims.claim(&id("user1"), &manifest(&format!("{text}\nshared = true"))).expect("the first customer");
    let error = claims.claim(&id("user2"), &manifest(text)).expect_err("not marked").to_string();
    assert!(error.starts_with("X is the database one, which the manifest of user1 names as well"), "{error}");
}

#[tokio::test]
async fn create_needs_secrets_only_for_a_new_script_and_a_dry_run_reports_missing_bindings() {
    let (api, mut customers) = FakeApi::start().await;
    customers.secret = |_| Some("hush".to_owned());
    customers.try_create("user1", "secrets = ['KEY']").await.expect_success();
    customers.secret = |_| None;
    customers.try_create("user1", "secrets = ['KEY']").await.expect_success();
    assert!(customers.try_create("user2", "secrets = ['KEY']").await.error().contains("KEY is not set"));

    api.change(|state| state.kv.retain(|_, (title, _)| title != "customer-user1"));
    let report = customers.try_create_dry_run("user1", "").await.expect_success();
    let note = report.steps.iter().find_map(|step| step.note.clone()).expect("a note");
    assert!(note.starts_with("its binding USER_KV is missing or different"), "{note}");
}

#[tokio::test]
async fn bindings_of_other_scripts_are_read_only_if_necessary() {
    let (api, customers) = start_with_foreign_storage().await;
    let text = "[[bindings]]\nname = 'AI'\ntype = 'ai'";
    api.set_fault(ApiFault::None);
    customers.try_create("user2", text).await.expect_success();
    assert!(!api.requests().iter().any(|line| line.ends_with("/bindings")), "{:?}", api.requests());
}
