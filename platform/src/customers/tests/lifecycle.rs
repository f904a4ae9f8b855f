//! Customers come and go whole, wherever a run breaks off.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::api::{Api, Fault, State};
use super::*;

/// A state in which ids do not matter.
fn by_name(state: &State) -> impl PartialEq + std::fmt::Debug + use<> {
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

/// Everything that a customer has.
const WHOLE: &str = "plan = 'pro'\ntags = ['eu']\nstorage = { jurisdiction = 'eu' }\nvars = { GREETING = 'hello' }";

#[tokio::test]
async fn a_customer_is_storage_a_script_bound_to_it_and_a_record() {
    let (api, customers) = Api::start().await;
    let report = customers.try_create("user3", WHOLE).await.all_done();
    let made = [Component::Kv, Component::R2, Component::D1, Component::Script, Component::Record]
        .map(|what| (what, Outcome::Created));
    assert_eq!(report.outcomes(), made);

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
async fn a_customer_gets_the_storage_that_its_manifest_wants() {
    let (api, customers) = Api::start().await;
    let report = customers.try_create("user3", "storage = { kv = false, d1 = false }").await.all_done();
    let made = [Component::R2, Component::Script, Component::Record].map(|what| (what, Outcome::Created));
    assert_eq!(report.outcomes(), made);
    assert_eq!((api.state().kv.len(), api.state().d1.len()), (1, 0));
}

#[tokio::test]
async fn a_second_time_there_is_nothing_to_do() {
    let (api, customers) = Api::start().await;
    customers.try_create("user3", WHOLE).await.all_done();
    let before = api.state();
    let report = customers.try_create("user3", WHOLE).await.all_done();
    assert!(report.is_unchanged(), "{:?}", report.steps);
    assert_eq!(api.state(), before);
}

#[tokio::test]
async fn two_who_create_at_once_make_one() {
    let (api, customers) = Api::start().await;
    customers.try_create("user3", WHOLE).await.all_done();
    let expected = by_name(&api.state());
    for _ in 0..10 {
        let (api, customers) = Api::start().await;
        let (one, other) = tokio::join!(customers.try_create("user3", WHOLE), customers.try_create("user3", WHOLE));
        one.all_done();
        other.all_done();
        assert_eq!(by_name(&api.state()), expected);
    }
}

#[tokio::test]
async fn create_goes_on_wherever_it_broke_off() {
    let (api, customers) = Api::start().await;
    customers.try_create("user3", WHOLE).await.all_done();
    let (calls, expected) = (api.calls(), by_name(&api.state()));
    assert!(calls.len() >= 6, "{calls:?}");
    for call in 1..=calls.len() {
        let (api, customers) = Api::start().await;
        api.set_fault(Fault::LoseAndFail(call));
        let broken = customers.try_create("user3", WHOLE).await;
        assert!(broken.failure.is_some(), "after {}", calls[call - 1]);
        api.set_fault(Fault::None);
        customers.try_create("user3", WHOLE).await.all_done();
        assert_eq!(by_name(&api.state()), expected, "after {}", calls[call - 1]);

        // An answer that is lost, and no more than that, is not even noticed.
        let (api, customers) = Api::start().await;
        api.set_fault(Fault::Lose(call));
        customers.try_create("user3", WHOLE).await.all_done();
        assert_eq!(by_name(&api.state()), expected, "without the answer to {}", calls[call - 1]);
    }
}

/// A platform with two customers who have objects in their buckets, as they stay when the first is deleted.
async fn with_two() -> (Api, Customers) {
    let (api, customers) = Api::start().await;
    for user in ["user", "user3"] {
        customers.try_create(user, "").await.all_done();
    }
    api.change(|state| {
        for objects in state.r2.values_mut() {
            objects.extend(["../a", "b", "c", "d/e", "f"].map(str::to_owned));
        }
    });
    (api, customers)
}

#[tokio::test]
async fn delete_removes_a_customer_and_nothing_of_others() {
    let (api, customers) = with_two().await;
    let report = customers.try_delete("user", false).await.all_done();
    let deleted = [Component::Record, Component::Script, Component::R2, Component::D1, Component::Kv]
        .map(|what| (what, Outcome::Deleted));
    assert_eq!(report.outcomes(), deleted);
    let left = api.state();
    assert_eq!(left.scripts.keys().collect::<Vec<_>>(), ["p-user3"]);
    assert_eq!(left.kv.values().map(|(title, _)| &**title).collect::<Vec<_>>(), ["customer-user3", "customers"]);
    assert_eq!(left.kv["records"].1.keys().collect::<Vec<_>>(), ["user3"]);
    assert_eq!(left.d1.values().map(|(name, _)| &**name).collect::<Vec<_>>(), ["customer-user3"]);
    assert_eq!(left.r2.values().map(std::collections::BTreeSet::len).collect::<Vec<_>>(), [5]);

    let again = customers.try_delete("user", false).await;
    assert_eq!(again.error(), "there is no customer user: no script, no record, no storage");
}

#[tokio::test]
async fn delete_goes_on_wherever_it_broke_off() {
    let (api, customers) = with_two().await;
    api.set_fault(Fault::None);
    customers.try_delete("user", false).await.all_done();
    let (calls, expected) = (api.calls(), api.state());
    for call in 1..=calls.len() {
        let (api, customers) = with_two().await;
        api.set_fault(Fault::LoseAndFail(call));
        assert!(customers.try_delete("user", false).await.failure.is_some(), "after {}", calls[call - 1]);
        api.set_fault(Fault::None);
        let again = customers.try_delete("user", false).await;
        // After the very last call there is nothing left to delete.
        assert!(again.failure.is_none() || call == calls.len(), "after {}: {}", calls[call - 1], again.error());
        assert_eq!(api.state(), expected, "after {}", calls[call - 1]);

        let (api, customers) = with_two().await;
        api.set_fault(Fault::Lose(call));
        customers.try_delete("user", false).await.all_done();
        assert_eq!(api.state(), expected, "without the answer to {}", calls[call - 1]);
    }
}

#[tokio::test]
async fn data_is_kept_on_request_and_found_again() {
    let (api, customers) = with_two().await;
    let before = api.state();
    let report = customers.try_delete("user", true).await.all_done();
    let kept = [Component::R2, Component::D1, Component::Kv].map(|what| (what, Outcome::Kept));
    let expected =
        [(Component::Record, Outcome::Deleted), (Component::Script, Outcome::Deleted)].into_iter().chain(kept);
    assert_eq!(report.outcomes(), expected.collect::<Vec<_>>());
    assert_eq!((api.state().r2, api.state().d1), (before.r2.clone(), before.d1.clone()));

    customers.try_create("user", "").await.all_done();
    assert_eq!(api.state(), before);
}

#[tokio::test]
async fn further_storage_of_a_customer_is_not_deleted_with_it() {
    let (api, customers) = Api::start().await;
    api.change(|state| {
        state.kv.insert("further".to_owned(), ("logs".to_owned(), BTreeMap::new()));
    });
    let text = "[[bindings]]\nname = 'LOGS'\ntype = 'kv_namespace'\nnamespace_id = 'further'";
    customers.try_create("user3", text).await.all_done();
    customers.try_delete("user3", false).await.all_done();
    assert_eq!(api.state().kv.keys().collect::<Vec<_>>(), ["further", "records"]);
}

#[tokio::test]
async fn what_comes_into_a_bucket_while_it_is_deleted_goes_too() {
    let (api, customers) = with_two().await;
    api.add_late_objects(3);
    customers.try_delete("user", false).await.all_done();
    assert_eq!(api.state().r2.len(), 1);

    let (api, customers) = with_two().await;
    api.add_late_objects(10);
    let report = customers.try_delete("user", false).await;
    assert!(report.error().contains("The bucket is not empty"), "{}", report.error());
}

#[tokio::test]
async fn a_bucket_with_an_object_that_stays_is_a_failure() {
    let (api, customers) = with_two().await;
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
async fn buckets_are_found_in_the_jurisdiction_that_they_were_made_in() {
    let (api, customers) = Api::start().await;
    customers.try_create("user3", "storage = { jurisdiction = 'fedramp' }").await.all_done();
    // The manifest is gone; the script still says where.
    customers.try_delete("user3", false).await.all_done();
    assert_eq!(api.state().r2.len(), 0);

    customers.try_create("user3", "storage = { r2 = false }").await.all_done();
    let moved = customers.try_create("user3", WHOLE).await;
    assert!(moved.error().contains("the database customer-user3 is not in the jurisdiction eu"), "{}", moved.error());
    customers.try_create("user4", "storage = { d1 = false }").await.all_done();
    let moved = customers.try_create("user4", WHOLE).await;
    assert!(moved.error().contains("the bucket customer-user4 is not in the jurisdiction eu"), "{}", moved.error());
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_made_and_makes_nothing() {
    let (api, customers) = Api::start().await;
    let dry_run = async |text: &str| {
        let manifest = manifest(text);
        let run = async |id: &UserId, steps: &mut Steps| {
            customers.create_dry_run(id, &manifest, &RunCache::default(), steps).await
        };
        Report::of(id("user3"), run).await.all_done()
    };
    let before = api.state();
    let report = dry_run("").await;
    let all = [Component::Kv, Component::R2, Component::D1, Component::Script, Component::Record];
    assert_eq!(report.outcomes(), all.map(|what| (what, Outcome::WouldBeCreated)));
    assert_eq!(api.state(), before);
    assert!(api.calls().iter().all(|call| call.starts_with("GET ")), "{:?}", api.calls());

    customers.try_create("user3", "").await.all_done();
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
async fn a_limit_explains_itself() {
    for (call, code, message, expected) in [
        (
            "POST storage/kv/namespaces",
            1,
            "you have reached the maximum number of namespaces",
            "as many KV namespaces as it may: 1,000, unless",
        ),
        ("POST r2/buckets", 1, "account limit exceeded", "as many R2 buckets as it may: 100,000, unless"),
        ("POST d1/database", 7406, "no", "as many D1 databases as it may: 50,000"),
    ] {
        let (api, customers) = Api::start().await;
        api.refuse(call, 403, code, message);
        let error = customers.try_create("user3", "").await.error();
        assert!(error.contains(expected) && error.contains(&format!("{message} [code: {code}]")), "{error}");
    }
    // Who has the storage already is not kept from going on.
    let (api, customers) = Api::start().await;
    customers.try_create("user3", "").await.all_done();
    api.refuse("POST storage/kv/namespaces", 403, 1, "you have reached the maximum number of namespaces");
    assert!(customers.try_create("user3", "").await.all_done().is_unchanged());
    // A name that is taken by nothing is nothing to go on with.
    let (api, customers) = Api::start().await;
    api.refuse("POST r2/buckets", 409, 10004, "taken");
    let error = customers.try_create("user3", "").await.error();
    assert!(error.starts_with("the name is taken, but nothing of that name is there"), "{error}");
}

#[tokio::test]
async fn without_records_none_is_kept_and_suspending_says_how() {
    let (api, _) = Api::start().await;
    api.change(|state| {
        let bindings = state.dispatcher.as_mut().and_then(Value::as_array_mut).expect("bindings");
        bindings.retain(|binding| binding["name"] == "DISPATCHER");
    });
    let customers = api.customers().await.expect("a platform");
    let report = customers.try_create("user3", "plan = 'pro'").await.all_done();
    assert_eq!(report.outcomes().last(), Some(&(Component::Record, Outcome::Unchanged)));
    assert_eq!(api.state().scripts.keys().collect::<Vec<_>>(), ["user3"], "and there is no prefix");
    let error = customers.try_suspend("user3", true).await.error();
    assert!(error.contains("bind a KV namespace to it as CUSTOMERS"), "{error}");
    let listed = customers.list().await.expect("a list");
    assert_eq!((&*listed[0].id, listed[0].record), ("user3", None));
    customers.try_delete("user3", false).await.all_done();
    assert_eq!(api.state().kv.len(), 1);
}

#[tokio::test]
async fn suspending_changes_nothing_else_in_a_record() {
    let (api, customers) = Api::start().await;
    let set = |text: &str| {
        api.change(|state| {
            state.kv.get_mut("records").expect("records").1.insert("user3".to_owned(), text.to_owned());
        });
    };
    let record = || api.state().kv["records"].1["user3"].clone();
    set(r#"{"script":"s","plan":"pro","limits":{"cpuMs":5}}"#);
    customers.try_suspend("user3", true).await.all_done();
    assert_eq!(record(), r#"{"script":"s","plan":"pro","suspended":true,"limits":{"cpuMs":5}}"#);
    assert!(customers.try_suspend("user3", true).await.all_done().is_unchanged());

    // Neither does what makes or deploys.
    customers.try_create("user3", "plan = 'free'\nlimits = { subRequests = 9 }").await.all_done();
    let expected = r#"{"script":"s","plan":"free","suspended":true,"limits":{"cpuMs":5,"subRequests":9}}"#;
    assert_eq!(record(), expected);
    customers.try_deploy(Targets::Named(vec![id("user3")]), "", CodeOwner::Platform).await.remove(0).all_done();
    assert_eq!(record(), expected);

    customers.try_suspend("user3", false).await.all_done();
    assert!(record().contains(r#""suspended":false"#));

    for broken in ["{", r#"{"suspendd":true}"#] {
        set(broken);
        let error = customers.try_suspend("user3", true).await.error();
        assert!(error.contains("put it right by hand"), "{error}");
        assert_eq!(record(), broken);
    }
    let error = customers.try_suspend("user4", true).await.error();
    assert_eq!(error, "there is no record of a customer user4");
}

#[tokio::test]
async fn the_list_has_all_who_have_a_script_or_a_record() {
    let (api, customers) = with_two().await;
    api.change(|state| {
        let records = &mut state.kv.get_mut("records").expect("records").1;
        records.remove("user");
        records.insert("user4".to_owned(), "{}".to_owned());
        records.insert("No Customer".to_owned(), "{}".to_owned());
        state.scripts.insert("another".to_owned(), json!({"bindings": [], "tags": []}));
    });
    let listed = customers.list().await.expect("a list");
    let listed: Vec<_> = listed.iter().map(|one| (&*one.id, one.script.as_deref(), one.record)).collect();
    let expected =
        [("user", Some("p-user"), Some(false)), ("user3", Some("p-user3"), Some(true)), ("user4", None, Some(true))];
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn a_platform_that_is_not_there_is_said() {
    let (api, _) = Api::start().await;
    api.change(|state| state.dispatcher = None);
    let error = api.customers().await.expect_err("no dispatcher").to_string();
    assert!(error.contains("deploy the dispatcher first"), "{error}");
    api.change(|state| state.dispatcher = Some(json!([{"type": "ai", "name": "DISPATCHER"}])));
    let error = api.customers().await.expect_err("no namespace").to_string();
    assert!(error.contains("no dispatch namespace is bound to it as DISPATCHER"), "{error}");
}
