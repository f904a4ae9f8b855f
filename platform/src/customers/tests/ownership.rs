//! No customer reaches another's storage.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::api::Api;
use super::*;

/// A platform with the customer `user1`, whose script is bound to storage of another name, too.
async fn platform() -> (Api, Customers) {
    let (api, customers) = Api::start().await;
    api.change(|state| {
        for name in ["theirs", "free"] {
            state.kv.insert(format!("kv-{name}"), (name.to_owned(), BTreeMap::new()));
            state.d1.insert(format!("d1-{name}"), (name.to_owned(), None));
            state.r2.insert((String::new(), format!("{name}-bucket")), BTreeSet::new());
        }
    });
    customers.try_create("user1", "").await.all_done();
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
async fn what_is_another_customers_is_refused_before_anything_is_made() {
    let (api, customers) = platform().await;
    let kv = api.state().kv.iter().find(|(_, (title, _))| title == "customer-user1").expect("theirs").0.clone();
    let d1 = api.state().d1.iter().find(|(_, (name, _))| name == "customer-user1").expect("theirs").0.clone();
    for (binding, reason) in [
        (format!("type = 'kv_namespace'\nnamespace_id = '{kv}'"), "called customer-user1, another customer's"),
        (format!("type = 'd1'\nid = '{d1}'"), "called customer-user1, another customer's"),
        ("type = 'r2_bucket'\nbucket_name = 'customer-user1'".to_owned(), "called customer-user1, another customer's"),
        (
            "type = 'r2_bucket'\nbucket_name = 'customer-nobody'".to_owned(),
            "called customer-nobody, another customer's",
        ),
        ("type = 'kv_namespace'\nnamespace_id = 'kv-theirs'".to_owned(), "the script p-user1 is bound to as well"),
        ("type = 'd1'\nid = 'd1-theirs'".to_owned(), "the script p-user1 is bound to as well"),
        ("type = 'r2_bucket'\nbucket_name = 'theirs-bucket'".to_owned(), "the script p-user1 is bound to as well"),
        ("type = 'kv_namespace'\nnamespace_id = 'records'".to_owned(), "has all customers' records"),
        (
            "type = 'durable_object_namespace'\nclass_name = 'Room'\nscript_name = 'p-user1'".to_owned(),
            "Durable Objects of another script",
        ),
        ("type = 'dispatch_namespace'\nnamespace = 'customers'".to_owned(), "all its customers are reached"),
    ] {
        let text = format!("[[bindings]]\nname = 'X'\n{binding}");
        let before = api.state();
        let report = customers.try_create("user2", &text).await;
        assert!(report.error().contains(reason), "{binding}: {}", report.error());
        assert!(report.error().contains("shared = true"), "{}", report.error());
        assert_eq!((report.steps.len(), api.state() == before), (0, true), "{binding}");

        let shared = format!("{text}\nshared = true");
        customers.try_create("user2", &shared).await.all_done();

        // What deploys asks the same.
        let report = customers.try_deploy(Targets::Named(vec![id("user2")]), &text, Whose::Platform).await.remove(0);
        assert!(report.error().contains(reason), "{}", report.error());
        customers.try_delete("user2", false).await.all_done();
    }
}

#[tokio::test]
async fn what_is_nobodys_or_the_customers_own_is_bound() {
    let (api, customers) = platform().await;
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
    customers.try_create("user2", text).await.all_done();
    // It is bound to it now, which does not keep it from being deployed again.
    customers.try_deploy(Targets::Named(vec![id("user2")]), text, Whose::Platform).await.remove(0).all_done();
    let bindings = api.state().scripts["p-user2"]["bindings"].as_array().expect("bindings").len();
    assert_eq!(bindings, 8);

    let report = customers.try_create("user3", "[[bindings]]\nname = 'X'\ntype = 'd1'\nid = 'nowhere'").await;
    assert_eq!(report.error(), "there is no such storage: the database nowhere");
}

/// As when another dispatcher of the same namespace, with another prefix, has a customer of that id.
#[tokio::test]
async fn storage_of_the_right_name_that_another_script_has_is_refused() {
    let (api, customers) = Api::start().await;
    customers.try_create("user1", "").await.all_done();
    api.change(|state| {
        let script = state.scripts.remove("p-user1").expect("a script");
        state.scripts.insert("q-user1".to_owned(), script);
    });
    let before = api.state().r2;
    for report in [customers.try_create("user1", "").await, customers.try_delete("user1", false).await] {
        let error = report.error();
        let expected = "is called as the storage of user1 would be, but the script q-user1 is bound to it";
        assert!(error.ends_with(expected), "{error}");
    }
    assert_eq!(api.state().r2, before);
    assert_eq!(api.state().scripts.keys().collect::<Vec<_>>(), ["q-user1"]);
}

/// As when a dispatcher for staging, with a namespace of its own, is in the same account.
#[tokio::test]
async fn storage_that_a_script_in_another_namespace_has_is_neither_bound_nor_deleted() {
    let (api, customers) = Api::start().await;
    customers.try_create("user1", "").await.all_done();
    api.change(|state| {
        let script = state.scripts["p-user1"].clone();
        state.staging.insert("user1".to_owned(), script);
    });
    let before = api.state();
    let refused = |report: Report| {
        let error = report.error();
        assert!(error.ends_with("the script user1 in the dispatch namespace staging is bound to it"), "{error}");
        assert!(report.steps.is_empty(), "{:?}", report.steps);
    };
    refused(customers.try_delete("user1", false).await);
    assert_eq!(api.state(), before);
    // What the script has already is not looked at anew.
    api.set_fault(super::api::Fault::None);
    customers.try_deploy(Targets::Named(vec![id("user1")]), "", Whose::Platform).await.remove(0).all_done();
    assert!(!api.calls().iter().any(|call| call.contains("staging")), "{:?}", api.calls());

    api.change(|state| {
        state.scripts.get_mut("p-user1").expect("a script")["bindings"] = json!([]);
    });
    let before = api.state();
    refused(customers.try_deploy(Targets::Named(vec![id("user1")]), "", Whose::Platform).await.remove(0));
    assert_eq!(api.state(), before);

    // Nothing else is made before it is refused, and a dry run says the same.
    api.change(|state| {
        state.scripts.clear();
        state.d1.clear();
        state.r2.clear();
    });
    let before = api.state();
    refused(customers.try_create("user1", "").await);
    let dry_run = async |id: &UserId, steps: &mut Steps| customers.create_dry_run(id, &manifest(""), steps).await;
    refused(Report::of(id("user1"), dry_run).await);
    assert_eq!(api.state(), before);
}

#[tokio::test]
async fn no_second_bucket_is_made_in_another_jurisdiction() {
    for (first, then, reason) in [
        ("", "storage = { jurisdiction = 'eu' }", "is not in the jurisdiction eu, and cannot be moved"),
        ("storage = { jurisdiction = 'eu' }", "", "say `jurisdiction = \"eu\"` under [storage]"),
    ] {
        let (api, customers) = Api::start().await;
        customers.try_create("user1", first).await.all_done();
        let named = || Targets::Named(vec![id("user1")]);
        let before = api.state();
        let dry_run = async |id: &UserId, steps: &mut Steps| customers.create_dry_run(id, &manifest(then), steps).await;
        for report in [
            customers.try_create("user1", then).await,
            customers.try_deploy(named(), then, Whose::Platform).await.remove(0),
            Report::of(id("user1"), dry_run).await,
        ] {
            assert!(report.error().contains(reason), "{}", report.error());
            assert!(report.steps.is_empty());
        }
        assert_eq!(api.state(), before);
    }
}

#[test]
fn two_of_one_run_do_not_get_the_same_storage() {
    let mut claims = Claims::default();
    let text = "[[bindings]]\nname = 'X'\ntype = 'd1'\nid = 'one'";
    claims.claim(&id("user1"), &manifest(text)).expect("it is the first");
    claims.claim(&id("user1"), &manifest(text)).expect("it has it");
    let error = claims.claim(&id("user2"), &manifest(text)).expect_err("taken").to_string();
    assert!(error.starts_with("X is the database one, which user1 is to have as well"), "{error}");
    claims.claim(&id("user2"), &manifest(&format!("{text}\nshared = true"))).expect("shared on purpose");
}

#[tokio::test]
async fn create_needs_secrets_only_for_a_new_script_and_a_dry_run_says_what_is_unbound() {
    let (api, mut customers) = Api::start().await;
    customers.secret = |_| Some("hush".to_owned());
    customers.try_create("user1", "secrets = ['KEY']").await.all_done();
    customers.secret = |_| None;
    customers.try_create("user1", "secrets = ['KEY']").await.all_done();
    assert!(customers.try_create("user2", "secrets = ['KEY']").await.error().contains("KEY is not set"));

    api.change(|state| state.kv.retain(|_, (title, _)| title != "customer-user1"));
    let dry_run = async |id: &UserId, steps: &mut Steps| customers.create_dry_run(id, &manifest(""), steps).await;
    let report = Report::of(id("user1"), dry_run).await.all_done();
    let note = report.steps.iter().find_map(|step| step.note.clone()).expect("a note");
    assert!(note.starts_with("it has another USER_KV or none"), "{note}");
}

#[tokio::test]
async fn scripts_are_asked_only_where_it_matters() {
    let (api, customers) = platform().await;
    let text = "[[bindings]]\nname = 'AI'\ntype = 'ai'";
    api.set_fault(super::api::Fault::None);
    customers.try_create("user2", text).await.all_done();
    assert!(!api.calls().iter().any(|call| call.ends_with("/bindings")), "{:?}", api.calls());
}
