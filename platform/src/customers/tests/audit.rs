//! The audit finds what scripts share, and code is tried before it is uploaded.

use serde_json::json;

use super::api::Api;
use super::ownership::start_with_foreign_storage;
use super::*;
use crate::manifest::Manifest;

#[tokio::test]
async fn an_audit_finds_storage_by_its_name_and_scripts_of_other_namespaces() {
    let (api, customers) = start_with_foreign_storage().await;
    let kv = api.state().kv.iter().find(|(_, (title, _))| title == "customer-user1").expect("theirs").0.clone();
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
    let found: Vec<(&str, &str, Vec<&str>)> = audit
        .crossings
        .iter()
        .map(|found| (&*found.script, &*found.binding, found.others.iter().map(String::as_str).collect()))
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
    assert_eq!(found, expected);
}

#[tokio::test]
async fn code_that_is_refused_leaves_nothing_behind_and_is_tried_once() {
    let (api, customers) = Api::start().await;
    let mut broken = code(CodeOwner::Customer);
    broken.modules[0].content = Bytes::from_static(b"export default }");
    let before = api.state();
    let run = RunCache::default();
    for user in ["user1", "user2"] {
        let report = customers.try_create_with(user, "", &broken, &run).await;
        let error = report.error();
        assert!(error.starts_with("the code is refused: ") && error.contains("SyntaxError"), "{error}");
        assert!(report.steps.is_empty());
    }
    assert_eq!(api.state(), before);
    let uploads = || api.calls().iter().filter(|call| call.starts_with("PUT ") && call.contains("scripts")).count();
    assert_eq!(uploads(), 1);

    // Good code of two customers is tried once as well, and then uploaded for each.
    api.set_fault(super::api::Fault::None);
    let run = RunCache::default();
    for user in ["user1", "user2"] {
        customers.try_create_with(user, "", &code(CodeOwner::Customer), &run).await.all_done();
    }
    assert_eq!(uploads(), 3);
    assert_eq!(api.state().scripts.keys().collect::<Vec<_>>(), ["p-user1", "p-user2"]);
    // It is tried with variables, which it may use as it starts, and with nothing of the account's.
    let text = "vars = { GREETING = 'hi' }\n[[bindings]]\nname = 'KV'\ntype = 'kv_namespace'\nnamespace_id = 'records'";
    let manifest = Manifest { bindings: Vec::new(), ..manifest(text) };
    let bindings = [manifest.bindings(|_| None).expect("variables"), super::manifest(text).bindings].concat();
    customers.check_code(&code(CodeOwner::Customer), &bindings, &RunCache::default()).await.expect("good code");
    let sent = api.last_upload();
    assert_eq!(sent["bindings"], json!([{"name": "GREETING", "type": "plain_text", "text": "hi"}]));
    // The platform's is known to be good.
    api.set_fault(super::api::Fault::None);
    customers.try_create("user3", "").await.all_done();
    assert_eq!(uploads(), 1);

    let report = customers.try_create_dry("user4", "[script]\npath = 'own.js'").await.all_done();
    let note = report.steps.iter().find_map(|step| step.note.clone());
    assert_eq!(note.as_deref(), Some("its code is not checked: a dry run uploads nothing"));
}
