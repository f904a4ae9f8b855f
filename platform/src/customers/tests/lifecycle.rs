//! Tests of creating, deleting, suspending and listing customers, including interrupted runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::api::{AccountState, ApiFault, FakeApi};
use super::*;

/// Returns a state in which the ids of storage are replaced by names, for comparisons.
fn without_ids(state: &AccountState) -> impl PartialEq + std::fmt::Debug + use<> {
    let kv: Vec<_> = state.kv.values().cloned().collect();
    let d1: Vec<_> = state.d1.values().cloned().collect();
    let names = |text: String| {
        let ids = state.kv.iter().map(|(id, (title, _))| (id, title));
        let ids = ids.chain(state.d1.iter().map(|(id, (name, _))| (id, name)));
        ids.fold(text, |text, (id, name)| text.replace(&format!("{id:?}"), &format!("{name:?}")))
    };
    let scripts: BTreeMap<_, _> =
        state.scripts.iter().map(|(name, settings)| (name.clone(), names(settings.to_string()))).collect();
    (kv, state.r2.clone(), d1, scripts)
}

/// A manifest with a plan, tags, a jurisdiction and variables.
const MANIFEST: &str = "plan = 'pro'\ntags = ['eu']\nstorage = { jurisdiction = 'eu' }\nvars = { GREETING = 'hello' }";

#[tokio::test]
async fn create_creates_storage_a_script_that_is_bound_to_it_and_a_record() {
    let (api, customers) = FakeApi::start().await;
    let report = customers.try_create("user3", MANIFEST).await.expect_success();
    let created = [Component::Kv, Component::R2, Component::D1, Component::Script, Component::Record]
        .map(|what| (what, Outcome::Created));
    assert_eq!(report.outcomes(), created);

    let state = api.state();
    assert_eq!(state.kv["kv-1"].0, "customer-user3");
    assert_eq!(state.r2.keys().collect::<Vec<_>>(), [&("eu".to_owned(), "customer-user3".to_owned())]);
    assert_eq!(state.d1["d1-2"], ("customer-user3".to_owned(), Some("eu".to_owned())));
    assert_eq!(state.kv["records"].1, [("user3".to_owned(), r#"{"plan":"pro","limits":{}}"#.to_owned())].into());
    assert_eq!(state.scripts.keys().collect::<Vec<_>>(), ["p-user3"]);
    let expected = json!({
        "main_module": "index.js",
        "compatibility_date": "2026-11-17",
        "compatibility_flags": [],
        "observability": {"enabled": true},
        "tags": ["customer-worker", "eu"],
        "bindings": [
            {"name": "USER_KV", "type": "kv_namespace", "namespace_id": "kv-1"},
            {"name": "USER_R2", "type": "r2_bucket", "bucket_name": "customer-user3", "jurisdiction": "eu"},
            {"name": "USER_DB", "type": "d1", "id": "d1-2"},
            {"name": "GREETING", "type": "plain_text", "text": "hello"},
        ],
    });
    assert_eq!(api.last_upload(), expected);
}

#[tokio::test]
async fn create_creates_only_the_storage_that_the_manifest_enables() {
    let (api, customers) = FakeApi::start().await;
    let report = customers.try_create("user3", "storage = { kv = false, d1 = false }").await.expect_success();
    let created = [Component::R2, Component::Script, Component::Record].map(|what| (what, Outcome::Created));
    assert_eq!(report.outcomes(), created);
    assert_eq!((api.state().kv.len(), api.state().d1.len()), (1, 0));
}

#[tokio::test]
async fn a_second_create_changes_nothing() {
    let (api, customers) = FakeApi::start().await;
    customers.try_create("user3", MANIFEST).await.expect_success();
    let before = api.state();
    let report = customers.try_create("user3", MANIFEST).await.expect_success();
    assert!(report.is_unchanged(), "{:?}", report.steps);
    assert_eq!(api.state(), before);
}

#[tokio::test]
async fn concurrent_runs_create_one_customer() {
    let (api, customers) = FakeApi::start().await;
    customers.try_create("user3", MANIFEST).await.expect_success();
    let expected = without_ids(&api.state());
    for _ in 0..10 {
        let (api, customers) = FakeApi::start().await;
        let (first, second) =
            tokio::join!(customers.try_create("user3", MANIFEST), customers.try_create("user3", MANIFEST));
        first.expect_success();
        second.expect_success();
        assert_eq!(without_ids(&api.state()), expected);
    }
}

#[tokio::test]
async fn an_interrupted_create_can_be_repeated() {
    let (api, customers) = FakeApi::start().await;
    customers.try_create("user3", MANIFEST).await.expect_success();
    let (requests, expected) = (api.requests(), without_ids(&api.state()));
    assert!(requests.len() >= 6, "{requests:?}");
    for number in 1..=requests.len() {
        let (api, customers) = FakeApi::start().await;
        api.set_fault(ApiFault::LoseReplyAndFail(number));
        let interrupted = customers.try_create("user3", MANIFEST).await;
        assert!(interrupted.failure.is_some(), "after {}", requests[number - 1]);
        api.set_fault(ApiFault::None);
        customers.try_create("user3", MANIFEST).await.expect_success();
        assert_eq!(without_ids(&api.state()), expected, "after {}", requests[number - 1]);

        // If only one reply is lost, a retry succeeds.
        let (api, customers) = FakeApi::start().await;
        api.set_fault(ApiFault::LoseReply(number));
        customers.try_create("user3", MANIFEST).await.expect_success();
        assert_eq!(without_ids(&api.state()), expected, "without the reply to {}", requests[number - 1]);
    }
}

/// Starts a platform with the customers `user` and `user3`, who have objects in their buckets.
async fn start_with_two_customers() -> (FakeApi, Customers) {
    let (api, customers) = FakeApi::start().await;
    for user in ["user", "user3"] {
        customers.try_create(user, "").await.expect_success();
    }
    api.change(|state| {
        for objects in state.r2.values_mut() {
            objects.extend(["../a", "b", "c", "d/e", "f"].map(str::to_owned));
        }
    });
    (api, customers)
}

#[tokio::test]
async fn delete_removes_a_customer_and_nothing_of_other_customers() {
    let (api, customers) = start_with_two_customers().await;
    let report = customers.try_delete("user", false).await.expect_success();
    let deleted = [Component::Record, Component::Script, Component::R2, Component::D1, Component::Kv]
        .map(|what| (what, Outcome::Deleted));
    assert_eq!(report.outcomes(), deleted);
    let state = api.state();
    assert_eq!(state.scripts.keys().collect::<Vec<_>>(), ["p-user3"]);
    assert_eq!(state.kv.values().map(|(title, _)| &**title).collect::<Vec<_>>(), ["customer-user3", "customers"]);
    assert_eq!(state.kv["records"].1.keys().collect::<Vec<_>>(), ["user3"]);
    assert_eq!(state.d1.values().map(|(name, _)| &**name).collect::<Vec<_>>(), ["customer-user3"]);
    assert_eq!(state.r2.values().map(std::collections::BTreeSet::len).collect::<Vec<_>>(), [5]);

    let again = customers.try_delete("user", false).await;
    assert_eq!(again.error(), "there is no customer user: no script, no record, no storage");
}

#[tokio::test]
async fn an_interrupted_delete_can_be_repeated() {
    let (api, customers) = start_with_two_customers().await;
    api.set_fault(ApiFault::None);
    customers.try_delete("user", false).await.expect_success();
    let (requests, expected) = (api.requests(), api.state());
    for number in 1..=requests.len() {
        let (api, customers) = start_with_two_customers().await;
        api.set_fault(ApiFault::LoseReplyAndFail(number));
        assert!(customers.try_delete("user", false).await.failure.is_some(), "after {}", requests[number - 1]);
        api.set_fault(ApiFault::None);
        let again = customers.try_delete("user", false).await;
        // After the last request, there is nothing left to delete.
        assert!(
            again.failure.is_none() || number == requests.len(),
            "after {}: {}",
            requests[number - 1],
            again.error()
        );
        assert_eq!(api.state(), expected, "after {}", requests[number - 1]);

        let (api, customers) = start_with_two_customers().await;
        api.set_fault(ApiFault::LoseReply(number));
        customers.try_delete("user", false).await.expect_success();
        assert_eq!(api.state(), expected, "without the reply to {}", requests[number - 1]);
    }
}

#[tokio::test]
async fn kept_data_is_found_by_the_next_create() {
    let (api, customers) = start_with_two_customers().await;
    let before = api.state();
    let report = customers.try_delete("user", true).await.expect_success();
    let kept = [Component::R2, Component::D1, Component::Kv].map(|what| (what, Outcome::Kept));
    let expected =
        [(Component::Record, Outcome::Deleted), (Component::Script, Outcome::Deleted)].into_iter().chain(kept);
    assert_eq!(report.outcomes(), expected.collect::<Vec<_>>());
    assert_eq!((api.state().r2, api.state().d1), (before.r2.clone(), before.d1.clone()));

    customers.try_create("user", "").await.expect_success();
    assert_eq!(api.state(), before);
}

#[tokio::test]
async fn delete_keeps_storage_of_further_bindings() {
    let (api, customers) = FakeApi::start().await;
    api.change(|state| {
        state.kv.insert("further".to_owned(), ("logs".to_owned(), BTreeMap::new()));
    });
    let text = "[[bindings]]\nname = 'LOGS'\ntype = 'kv_namespace'\nnamespace_id = 'further'";
    customers.try_create("user3", text).await.expect_success();
    customers.try_delete("user3", false).await.expect_success();
    assert_eq!(api.state().kv.keys().collect::<Vec<_>>(), ["further", "records"]);
}

#[tokio::test]
async fn objects_that_are_added_while_a_bucket_is_deleted_are_deleted() {
    let (api, customers) = start_with_two_customers().await;
    api.add_late_objects(3);
    customers.try_delete("user", false).await.expect_success();
    assert_eq!(api.state().r2.len(), 1);

    let (api, customers) = start_with_two_customers().await;
    api.add_late_objects(10);
    let report = customers.try_delete("user", false).await;
    assert!(report.error().contains("The bucket is not empty"), "{}", report.error());
}

#[tokio::test]
async fn an_object_that_cannot_be_deleted_is_an_error() {
    let (api, customers) = start_with_two_customers().await;
    api.change(|state| {
        for objects in state.r2.values_mut() {
            objects.insert("locked/x".to_owned());
        }
    });
    let report = customers.try_delete("user", false).await;
    assert!(report.error().contains("The specified key does not exist"), "{}", report.error());
    assert_eq!(api.state().r2.len(), 2);
}

#[tokio::test]
async fn buckets_are_found_in_their_jurisdiction() {
    let (api, customers) = FakeApi::start().await;
    customers.try_create("user3", "storage = { jurisdiction = 'fedramp' }").await.expect_success();
    // There is no manifest, but the script's binding names the jurisdiction.
    customers.try_delete("user3", false).await.expect_success();
    assert_eq!(api.state().r2.len(), 0);

    customers.try_create("user3", "storage = { r2 = false }").await.expect_success();
    let moved = customers.try_create("user3", MANIFEST).await;
    assert!(moved.error().contains("the database customer-user3 is not in the jurisdiction eu"), "{}", moved.error());
    customers.try_create("user4", "storage = { d1 = false }").await.expect_success();
    let moved = customers.try_create("user4", MANIFEST).await;
    assert!(moved.error().contains("the bucket customer-user4 is not in the jurisdiction eu"), "{}", moved.error());
}

#[tokio::test]
async fn a_dry_run_reports_what_would_be_created_and_changes_nothing() {
    let (api, customers) = FakeApi::start().await;
    let dry_run = async |text: &str| {
        let manifest = manifest(text);
        let run = async |id: &UserId, steps: &mut Steps| {
            customers.create_dry_run(id, &manifest, &RunCache::default(), steps).await
        };
        CustomerReport::run(id("user3"), run).await.expect_success()
    };
    let before = api.state();
    let report = dry_run("").await;
    let all = [Component::Kv, Component::R2, Component::D1, Component::Script, Component::Record];
    assert_eq!(report.outcomes(), all.map(|what| (what, Outcome::WouldBeCreated)));
    assert_eq!(api.state(), before);
    assert!(api.requests().iter().all(|line| line.starts_with("GET ")), "{:?}", api.requests());

    customers.try_create("user3", "").await.expect_success();
    assert!(dry_run("").await.is_unchanged());
    let changed = dry_run("plan = 'pro'").await;
    let expected = [
        Outcome::AlreadyExists,
        Outcome::AlreadyExists,
        Outcome::AlreadyExists,
        Outcome::AlreadyExists,
        Outcome::WouldBeUpdated,
    ];
    assert_eq!(changed.outcomes().into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn errors_about_account_limits_explain_the_limit() {
    for (request, code, message, expected) in [
        (
            "POST storage/kv/namespaces",
            1,
            "you have reached the maximum number of namespaces",
            "its limit of KV namespaces, which is 1,000 unless",
        ),
        ("POST r2/buckets", 1, "account limit exceeded", "its limit of R2 buckets, which is 100,000 unless"),
        ("POST d1/database", 7406, "no", "its limit of D1 databases, which is 50,000"),
    ] {
        let (api, customers) = FakeApi::start().await;
        api.refuse(request, 403, code, message);
        let error = customers.try_create("user3", "").await.error();
        assert!(error.contains(expected) && error.contains(&format!("{message} [code: {code}]")), "{error}");
    }
    // The limit does not matter if the storage already exists.
    let (api, customers) = FakeApi::start().await;
    customers.try_create("user3", "").await.expect_success();
    api.refuse("POST storage/kv/namespaces", 403, 1, "you have reached the maximum number of namespaces");
    assert!(customers.try_create("user3", "").await.expect_success().is_unchanged());
    // The API refuses the name, but there is no bucket of this name.
    let (api, customers) = FakeApi::start().await;
    api.refuse("POST r2/buckets", 409, 10004, "taken");
    let error = customers.try_create("user3", "").await.error();
    assert!(error.starts_with("the name is already used, but nothing with this name was found"), "{error}");
}

#[tokio::test]
async fn a_platform_without_records_cannot_suspend_customers() {
    let (api, _) = FakeApi::start().await;
    api.change(|state| {
        let bindings = state.dispatcher.as_mut().and_then(Value::as_array_mut).expect("bindings");
        bindings.retain(|binding| binding["name"] == "DISPATCHER");
    });
    let customers = api.customers().await.expect("a platform");
    let report = customers.try_create("user3", "plan = 'pro'").await.expect_success();
    assert_eq!(report.outcomes().last(), Some(&(Component::Record, Outcome::Unchanged)));
    assert_eq!(api.state().scripts.keys().collect::<Vec<_>>(), ["user3"], "there is no prefix");
    let error = customers.try_suspend("user3", true).await.error();
    assert!(error.contains("bind a KV namespace to it as CUSTOMERS"), "{error}");
    let listed = customers.list().await.expect("a list");
    assert_eq!((&*listed[0].id, listed[0].record), ("user3", None));
    customers.try_delete("user3", false).await.expect_success();
    assert_eq!(api.state().kv.len(), 1);
}

#[tokio::test]
async fn suspending_keeps_the_rest_of_a_record() {
    let (api, customers) = FakeApi::start().await;
    let set = |text: &str| {
        api.change(|state| {
            state.kv.get_mut("records").expect("records").1.insert("user3".to_owned(), text.to_owned());
        });
    };
    let record = || api.state().kv["records"].1["user3"].clone();
    set(r#"{"script":"s","plan":"pro","limits":{"cpuMs":5}}"#);
    customers.try_suspend("user3", true).await.expect_success();
    assert_eq!(record(), r#"{"script":"s","plan":"pro","suspended":true,"limits":{"cpuMs":5}}"#);
    assert!(customers.try_suspend("user3", true).await.expect_success().is_unchanged());

    // `create` and `deploy` keep it as well.
    customers.try_create("user3", "plan = 'free'\nlimits = { subRequests = 9 }").await.expect_success();
    let expected = r#"{"script":"s","plan":"free","suspended":true,"limits":{"cpuMs":5,"subRequests":9}}"#;
    assert_eq!(record(), expected);
    customers.try_deploy(Targets::Named(vec![id("user3")]), "", CodeOwner::Platform).await.remove(0).expect_success();
    assert_eq!(record(), expected);

    customers.try_suspend("user3", false).await.expect_success();
    assert!(record().contains(r#""suspended":false"#));

    for malformed in ["{", r#"{"suspendd":true}"#] {
        set(malformed);
        let error = customers.try_suspend("user3", true).await.error();
        assert!(error.contains("correct it by hand"), "{error}");
        assert_eq!(record(), malformed);
    }
    let error = customers.try_suspend("user4", true).await.error();
    assert_eq!(error, "the customer user4 has no record");
}

#[tokio::test]
async fn the_list_has_customers_with_a_script_or_a_record() {
    let (api, customers) = start_with_two_customers().await;
    api.change(|state| {
        let records = &mut state.kv.get_mut("records").expect("records").1;
        records.remove("user");
        records.insert("user4".to_owned(), "{}".to_owned());
        records.insert("No Customer".to_owned(), "{}".to_owned());
        state.scripts.insert("another".to_owned(), json!({"bindings": [], "tags": []}));
    });
    let listed = customers.list().await.expect("a list");
    let listed: Vec<_> =
        listed.iter().map(|customer| (&*customer.id, customer.script.as_deref(), customer.record)).collect();
    let expected =
        [("user", Some("p-user"), Some(false)), ("user3", Some("p-user3"), Some(true)), ("user4", None, Some(true))];
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn connecting_fails_without_a_dispatcher() {
    let (api, _) = FakeApi::start().await;
    api.change(|state| state.dispatcher = None);
    let error = api.customers().await.expect_err("no dispatcher").to_string();
    assert!(error.contains("deploy the dispatcher first"), "{error}");
    api.change(|state| state.dispatcher = Some(json!([{"type": "ai", "name": "DISPATCHER"}])));
    let error = api.customers().await.expect_err("no namespace").to_string();
    assert!(error.contains("no dispatch namespace is bound to it as DISPATCHER"), "{error}");
}
