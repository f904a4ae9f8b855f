//! Tests of the audit and of the check of customers' own code.

use serde_json::json;

use super::api::{ApiFault, FakeApi};
use super::ownership::start_with_foreign_storage;
use super::*;

#[tokio::test]
async fn an_audit_finds_storage_named_after_others_and_scripts_in_other_namespaces() {
    let (api, customers) = start_with_foreign_storage().await;
    let kv = api.state().kv.iter().find(|(_, (title, _))| title == "customer-user1").expect("user1's").0.clone();
    api.change(|state| {
        state.scripts.insert(
            "p-user2".to_owned(),
            json!({"tags": [], "bindings": [
                {"name": "A", "type": "kv_namespace", "namespace_id": kv},
                {"name": "B", "type": "r2_bucket", "bucket_name": "customer-nobody"},
                {"name": "C", "type": "d1", "id": "d1-free"},
                {"name": "D", "type": "dispatch_namespace", "namespace": "staging"},
                {"name": "E", "type": "durable_object_namespace", "class_name": "Room", "script_name": "p-user1"},
                {"name": "F", "type": "durable_object_namespace", "class_name": "Room", "script_name": "p-user2"},
                {"name": "G", "type": "durable_object_namespace", "class_name": "Room", "namespace_id": "7"},
                {"name": "H", "type": "durable_object_namespace", "namespace_id": "8"},
                {
                    "name": "I",
                    "type": "durable_object_namespace",
                    "class_name": "Room",
                    "script_name": "p-user2",
                    "dispatch_namespace": "staging",
                },
            ]}),
        );
        state.staging.insert("s".to_owned(), json!({"bindings": [{"name": "Z", "type": "d1", "id": "d1-free"}]}));
    });
    let audit = customers.audit(|_| Ok(Manifest::default())).await.expect("an audit");
    let crossings: Vec<(&str, &str, Vec<&str>)> = audit
        .crossings
        .iter()
        .map(|crossing| (&*crossing.script, &*crossing.binding, crossing.others.iter().map(String::as_str).collect()))
        .collect();
    let expected = [
        ("p-user1", "USER_KV", vec!["the script p-user2"]),
        ("p-user2", "A", vec!["the customer user1", "the script p-user1"]),
        ("p-user2", "B", vec!["the customer nobody"]),
        ("p-user2", "C", vec!["the script s in the dispatch namespace staging"]),
        ("p-user2", "D", vec!["all scripts in it"]),
        ("p-user2", "E", vec!["the script p-user1"]),
        ("p-user2", "H", vec!["another script"]),
        ("p-user2", "I", vec!["the script staging/p-user2"]),
    ];
    assert_eq!(crossings, expected);
}

#[tokio::test]
async fn customers_code_is_checked_once_and_refused_code_leaves_nothing_behind() {
    let (api, customers) = FakeApi::start().await;
    let mut broken = code(CodeOwner::Customer);
    broken.modules[0].content = Bytes::from_static(b"export default }");
    let before = api.state();
    let cache = RunCache::default();
    for user in ["user1", "user2"] {
        let report = customers.try_create_with(user, "", &broken, &cache).await;
        let error = report.error();
        assert!(error.starts_with("the API refuses the code: ") && error.contains("SyntaxError"), "{error}");
        assert!(report.steps.is_empty());
    }
    assert_eq!(api.state(), before);
    let uploads = || api.requests().iter().filter(|line| line.starts_with("PUT ") && line.contains("scripts")).count();
    assert_eq!(uploads(), 1);

    // Accepted code of two customers is checked once, too, and then uploaded for each.
    api.set_fault(ApiFault::None);
    let cache = RunCache::default();
    for user in ["user1", "user2"] {
        customers.try_create_with(user, "", &code(CodeOwner::Customer), &cache).await.expect_success();
    }
    assert_eq!(uploads(), 3);
    assert_eq!(api.state().scripts.keys().collect::<Vec<_>>(), ["p-user1", "p-user2"]);
    // The check has the variables, which the code may use when it starts, but no resources of the account.
    let text = "vars = { GREETING = 'hi' }\n[[bindings]]\nname = 'KV'\ntype = 'kv_namespace'\nnamespace_id = 'records'";
    let manifest = Manifest { bindings: Vec::new(), ..manifest(text) };
    let bindings = [manifest.bindings(|_| None).expect("variables"), super::manifest(text).bindings].concat();
    let (user1, code) = (id("user1"), code(CodeOwner::Customer));
    let spec = CustomerSpec { id: &user1, manifest: &manifest, code: &code };
    customers.check_code(spec, &bindings, &RunCache::default()).await.expect("accepted code");
    assert_eq!(api.last_upload()["bindings"], json!([{"name": "GREETING", "type": "plain_text", "text": "hi"}]));
    // The platform's code is not checked.
    api.set_fault(ApiFault::None);
    customers.try_create("user3", "").await.expect_success();
    assert_eq!(uploads(), 1);

    let report = customers.try_create_dry_run("user4", "[script]\npath = 'own.js'").await.expect_success();
    let note = report.steps.iter().find_map(|step| step.note.clone());
    assert_eq!(note.as_deref(), Some("its code was not checked: a dry run uploads nothing"));
}
