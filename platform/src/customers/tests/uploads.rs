//! What is uploaded: to whom, with what, and what stays.

use crate::manifest::Manifest;
use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::api::Api;
use super::*;

fn named(ids: &[&str]) -> Targets {
    Targets::Named(ids.iter().map(|name| id(name)).collect())
}

fn all() -> Targets {
    Targets::All { tag: None }
}

fn bindings(api: &Api, script: &str) -> Vec<String> {
    let bindings = api.state().scripts[script]["bindings"].as_array().expect("bindings").clone();
    bindings.iter().map(|binding| binding["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn deploy_keeps_what_the_manifest_does_not_name() {
    let (api, customers) = Api::start().await;
    customers.try_create("user1", "tags = ['eu']").await.all_done();
    api.change(|state| {
        let bindings =
            state.scripts.get_mut("p-user1").expect("a script")["bindings"].as_array_mut().expect("bindings");
        bindings.extend([
            json!({"name": "API_KEY", "type": "secret_text"}),
            json!({"name": "JOBS", "type": "queue", "queue_name": "jobs"}),
            json!({"name": "NEW", "type": "not_known_here_yet"}),
        ]);
    });
    let text = "tags = ['beta']\n[vars]\nJOBS = 'no queue'\nMODE = 'x'";
    let report = customers.try_deploy(named(&["user1"]), text, CodeOwner::Platform).await.remove(0).all_done();
    assert_eq!(report.outcomes(), [(Component::Script, Outcome::Updated), (Component::Record, Outcome::Unchanged)]);
    assert_eq!(bindings(&api, "p-user1"), ["API_KEY", "JOBS", "MODE", "NEW", "USER_DB", "USER_KV", "USER_R2"]);
    assert_eq!(api.state().scripts["p-user1"]["tags"], json!(["beta", "customer-worker", "eu"]));

    // There may be eight, with those that it has.
    let many = "tags = ['a', 'b', 'c', 'd', 'e', 'f']";
    let before = api.state();
    let error = customers.try_deploy(named(&["user1"]), many, CodeOwner::Platform).await.remove(0).error();
    assert!(error.contains("would have 9 tags, and may have 8") && error.contains("--exact"), "{error}");
    assert_eq!(api.state(), before);

    // Exactly what the manifest names, and secrets.
    let (manifest, code) = (manifest(text), code(CodeOwner::Platform));
    let (ids, run) = customers.deployment(named(&["user1"]), true).await.expect("a run");
    let order = CustomerSpec { id: &ids[0], manifest: &manifest, code: &code };
    customers.deploy(order, &run, &mut Steps::default()).await.expect("deployed");
    assert_eq!(bindings(&api, "p-user1"), ["API_KEY", "JOBS", "MODE", "USER_DB", "USER_KV", "USER_R2"]);
    assert_eq!(api.state().scripts["p-user1"]["tags"], json!(["beta", "customer-worker"]));
}

#[tokio::test]
async fn deploy_goes_on_past_failures_and_says_who_failed() {
    let (api, customers) = Api::start().await;
    for user in ["user1", "user2", "user3"] {
        customers.try_create(user, "").await.all_done();
    }
    api.refuse(
        "GET workers/dispatch/namespaces/customers/scripts/p-user2/settings",
        403,
        10000,
        "Authentication error",
    );
    api.change(|state| state.kv.retain(|_, (title, _)| title != "customer-user3"));
    let targets = named(&["user1", "user2", "user3", "user4"]);
    let reports = customers.try_deploy(targets, "", CodeOwner::Platform).await;
    let errors: Vec<_> = reports.iter().map(|report| report.failure.as_ref().map(|_| report.error())).collect();
    assert_eq!(errors[0], None);
    assert!(errors[1].as_ref().expect("refused").ends_with("Authentication error [code: 10000]"));
    assert_eq!(errors[2].as_deref(), Some("it has no KV namespace customer-user3: `customer create user3` makes it"));
    assert_eq!(errors[3].as_deref(), Some("there is no script p-user4: create the customer first"));
}

#[tokio::test]
async fn all_are_those_with_our_code_and_nobodys_own_is_overwritten() {
    let (api, customers) = Api::start().await;
    for user in ["user1", "user2"] {
        customers.try_create(user, "").await.all_done();
    }
    api.change(|state| {
        state.scripts.get_mut("p-user2").expect("a script")["tags"] = json!(["customer-worker", "eu"]);
        state.scripts.insert("p-own".to_owned(), json!({"bindings": [], "tags": ["own-script"]}));
        state.scripts.insert("p-wrangler".to_owned(), json!({"bindings": [], "tags": []}));
        state.scripts.insert("no-customers".to_owned(), json!({"bindings": [], "tags": []}));
    });
    let outcomes = |reports: &[Report]| {
        let outcome = |report: &Report| (report.id.to_string(), report.steps.first().map(|step| step.outcome));
        reports.iter().map(outcome).collect::<Vec<_>>()
    };
    let of = |user: &str, outcome| (user.to_owned(), Some(outcome));
    let expected = [
        of("own", Outcome::Unchanged),
        of("user1", Outcome::Updated),
        of("user2", Outcome::Updated),
        of("wrangler", Outcome::Unchanged),
    ];
    assert_eq!(outcomes(&customers.try_deploy(all(), "", CodeOwner::Platform).await), expected);
    let tagged = Targets::All { tag: Some("eu".to_owned()) };
    let expected = [of("user2", Outcome::Updated)];
    assert_eq!(outcomes(&customers.try_deploy(tagged, "", CodeOwner::Platform).await), expected);

    let none = "storage = { kv = false, r2 = false, d1 = false }";
    let refused = customers.try_deploy(named(&["own"]), none, CodeOwner::Platform).await.remove(0).error();
    assert!(refused.contains("its code is the customer's own: give it with --script"), "{refused}");
    customers.try_deploy(named(&["own"]), none, CodeOwner::Customer).await.remove(0).all_done();
    // Who is named is meant.
    customers.try_deploy(named(&["wrangler"]), none, CodeOwner::Platform).await.remove(0).all_done();
    customers.try_deploy(named(&["user1"]), none, CodeOwner::Customer).await.remove(0).all_done();
    assert_eq!(api.state().scripts["p-user1"]["tags"], json!(["own-script"]));
}

#[tokio::test]
async fn a_secret_that_is_not_set_stops_before_anything_is_made() {
    let (api, mut customers) = Api::start().await;
    let before = api.state();
    customers.secret = |_| None;
    let error = customers.try_create("user1", "secrets = ['API_KEY']").await.error();
    assert_eq!(error, "the secret API_KEY is not set in the environment");
    assert_eq!(api.state(), before);
    customers.secret = |name| (name == "API_KEY").then(|| "hush".to_owned());
    customers.try_create("user1", "secrets = ['API_KEY']").await.all_done();
    assert!(api.last_upload().to_string().contains("hush"));
    assert!(!format!("{:?}", api.state()).contains("hush"));

    // Once it is there, it need not be said again, and stays.
    customers.secret = |_| None;
    let secrets = "secrets = ['API_KEY']";
    customers.try_deploy(named(&["user1"]), secrets, CodeOwner::Platform).await.remove(0).all_done();
    assert_eq!(bindings(&api, "p-user1"), ["API_KEY", "USER_DB", "USER_KV", "USER_R2"]);
    let more = "secrets = ['API_KEY', 'OTHER']";
    let error = customers.try_deploy(named(&["user1"]), more, CodeOwner::Platform).await.remove(0).error();
    assert_eq!(error, "the secret OTHER is not set in the environment");
}

#[tokio::test]
async fn create_leaves_a_script_that_lacks_storage_to_deploy() {
    let (api, customers) = Api::start().await;
    customers.try_create("user1", "storage = { d1 = false }").await.all_done();
    let report = customers.try_create("user1", "").await.all_done();
    let script = report.steps.iter().find(|step| step.what == Component::Script).expect("a script");
    let note = "it has another USER_DB or none: `customer deploy user1` changes that";
    assert_eq!((script.outcome, script.note.as_deref()), (Outcome::AlreadyExists, Some(note)));
    customers.try_deploy(named(&["user1"]), "", CodeOwner::Platform).await.remove(0).all_done();
    assert_eq!(bindings(&api, "p-user1"), ["USER_DB", "USER_KV", "USER_R2"]);
}

/// A repository with what a wrangler file is made from.
fn repository() -> TempDir {
    let repository = TempDir::new().expect("a folder");
    let folder = repository.path().join("customer-worker");
    fs::create_dir(&folder).expect("made");
    let config = "name = 'customer-worker'\nmain = 'build/index.js'\ncompatibility_date = '2026-11-17'\n\
        [build]\ncommand = 'make'\nwatch_dir = ['src']\n[observability]\nenabled = true\n";
    fs::write(folder.join("wrangler.toml"), config).expect("written");
    fs::write(repository.path().join("own.js"), "export default {}").expect("written");
    repository
}

#[tokio::test]
async fn a_wrangler_file_has_the_bindings_that_the_script_has() {
    let (api, customers) = Api::start().await;
    let repository = repository();
    let folder = repository.path().join("customer-worker");
    let config = async |manifest: &Manifest, folder| {
        let file = ConfigFile { repository: repository.path(), folder };
        customers.config(&id("user1"), manifest, file).await
    };
    let defaults = Manifest::default();
    let error = config(&defaults, None).await.expect_err("no storage").to_string();
    assert_eq!(error, "it has no KV namespace customer-user1: `customer create user1` makes it");

    customers.try_create("user1", "vars = { MODE = 'x' }").await.all_done();
    let planned = {
        let script = api.state().scripts["p-user1"].clone();
        api.change(|state| {
            state.scripts.remove("p-user1");
        });
        let text =
            config(&manifest("secrets = ['API_KEY']\nvars = { MODE = 'x' }"), Some(&folder)).await.expect("a file");
        api.change(|state| {
            state.scripts.insert("p-user1".to_owned(), script);
        });
        text
    };
    assert!(planned.contains("# Secrets that it is still to be given: API_KEY\n"), "{planned}");
    api.change(|state| {
        let bindings =
            state.scripts.get_mut("p-user1").expect("a script")["bindings"].as_array_mut().expect("bindings");
        bindings.extend([json!({"name": "API_KEY", "type": "secret_text"}), json!({"name": "X", "type": "wormhole"})]);
    });
    let text = config(&defaults, Some(&folder)).await.expect("a file");
    let expected: toml::Table = "
        name = 'p-user1'
        main = 'build/index.js'
        compatibility_date = '2026-11-17'
        build.command = 'make'
        observability.enabled = true
        kv_namespaces = [{ binding = 'USER_KV', id = 'kv-1' }]
        r2_buckets = [{ binding = 'USER_R2', bucket_name = 'customer-user1' }]
        d1_databases = [{ binding = 'USER_DB', database_id = 'd1-2', database_name = 'customer-user1' }]
        vars.MODE = 'x'
    "
    .parse()
    .expect("TOML");
    assert_eq!(text.parse::<toml::Table>().expect("TOML"), expected, "{text}");
    assert_eq!(planned.parse::<toml::Table>().expect("TOML"), expected, "{planned}");
    for line in [
        "#   npx wrangler deploy -c <this file> --dispatch-namespace customers\n",
        "# Secrets that it has, and keeps: API_KEY\n",
        "# Not in this file, and gone when it is deployed: X is a binding of the type \"wormhole\"",
    ] {
        assert!(text.contains(line), "{text}");
    }

    // Printed, it works from anywhere on this machine.
    let text = config(&defaults, None).await.expect("a file");
    let table: toml::Table = text.parse().expect("TOML");
    let main = repository.path().join("customer-worker/build/index.js");
    assert_eq!(table["main"].as_str(), main.to_str());
    assert_eq!(table["build"]["cwd"].as_str(), repository.path().to_str());
}

#[tokio::test]
async fn a_wrangler_file_of_a_customers_own_script_names_its_code() {
    let (_, customers) = Api::start().await;
    let repository = repository();
    let file = ConfigFile { repository: repository.path(), folder: Some(repository.path()) };
    customers.try_create("user1", "").await.all_done();
    customers.try_deploy(named(&["user1"]), "", CodeOwner::Customer).await.remove(0).all_done();
    let error = customers.config(&id("user1"), &Manifest::default(), file).await.expect_err("whose?").to_string();
    assert!(error.contains("say where it is, under [script]"), "{error}");
    let script = repository.path().join("own.js");
    let text = format!("[script]\npath = '{}'\ncompatibility_date = '2026-01-01'", script.display());
    let text = customers.config(&id("user1"), &manifest(&text), file).await.expect("a file");
    let table: toml::Table = text.parse().expect("TOML");
    assert_eq!((table["main"].as_str(), table["compatibility_date"].as_str()), (Some("own.js"), Some("2026-01-01")));
    assert!(!table.contains_key("build"));
}
