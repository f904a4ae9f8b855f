//! Tests of deployments and of generated wrangler files: which customers are deployed to, and which bindings and tags
//! are kept.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::api::FakeApi;
use super::*;

fn named(ids: &[&str]) -> Targets {
    Targets::Named(ids.iter().map(|name| id(name)).collect())
}

fn all() -> Targets {
    Targets::All { tag: None }
}

fn bindings(api: &FakeApi, script: &str) -> Vec<String> {
    let bindings = api.state().scripts[script]["bindings"].as_array().expect("bindings").clone();
    bindings.iter().map(|binding| binding["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn deploy_keeps_bindings_and_tags_that_the_manifest_does_not_name() {
    let (api, customers) = FakeApi::start().await;
    customers.try_create("user1", "tags = ['eu']").await.expect_success();
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
    let report = customers.try_deploy(named(&["user1"]), text, CodeOwner::Platform).await.remove(0).expect_success();
    assert_eq!(report.outcomes(), [(Component::Script, Outcome::Updated), (Component::Record, Outcome::Unchanged)]);
    assert_eq!(bindings(&api, "p-user1"), ["API_KEY", "JOBS", "MODE", "NEW", "USER_DB", "USER_KV", "USER_R2"]);
    assert_eq!(api.state().scripts["p-user1"]["tags"], json!(["beta", "customer-worker", "eu"]));

    // A script can have at most 8 tags, including its existing ones.
    let many = "tags = ['a', 'b', 'c', 'd', 'e', 'f']";
    let before = api.state();
    let error = customers.try_deploy(named(&["user1"]), many, CodeOwner::Platform).await.remove(0).error();
    assert!(error.contains("would have 9 tags, more than the maximum of 8") && error.contains("--exact"), "{error}");
    assert_eq!(api.state(), before);

    // With `exact`, only the bindings of the manifest and secrets are left.
    let (manifest, code) = (manifest(text), code(CodeOwner::Platform));
    let (ids, run) =
        customers.start_deploy(named(&["user1"]), Removals { exact: true, delete_data: false }).await.expect("a run");
    let spec = CustomerSpec { id: &ids[0], manifest: &manifest, code: &code };
    customers.deploy(spec, &run, &mut Steps::default()).await.expect("deployed");
    assert_eq!(bindings(&api, "p-user1"), ["API_KEY", "JOBS", "MODE", "USER_DB", "USER_KV", "USER_R2"]);
    assert_eq!(api.state().scripts["p-user1"]["tags"], json!(["beta", "customer-worker"]));
}

#[tokio::test]
async fn deploy_continues_after_failures_and_reports_them() {
    let (api, customers) = FakeApi::start().await;
    for user in ["user1", "user2", "user3"] {
        customers.try_create(user, "").await.expect_success();
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
    assert_eq!(
        errors[2].as_deref(),
        Some("there is no KV namespace customer-user3: create it with `cargo platform customer create user3`")
    );
    assert_eq!(errors[3].as_deref(), Some("there is no script p-user4: create the customer first"));
}

#[tokio::test]
async fn deploying_to_all_customers_skips_scripts_with_other_code() {
    let (api, customers) = FakeApi::start().await;
    for user in ["user1", "user2"] {
        customers.try_create(user, "").await.expect_success();
    }
    api.change(|state| {
        state.scripts.get_mut("p-user2").expect("a script")["tags"] = json!(["customer-worker", "eu"]);
        state.scripts.insert("p-own".to_owned(), json!({"bindings": [], "tags": ["own-script"]}));
        state.scripts.insert("p-wrangler".to_owned(), json!({"bindings": [], "tags": []}));
        state.scripts.insert("no-customers".to_owned(), json!({"bindings": [], "tags": []}));
    });
    let outcomes = |reports: &[CustomerReport]| {
        let outcome = |report: &CustomerReport| (report.id.to_string(), report.steps.first().map(|step| step.outcome));
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
    assert!(refused.contains("its code is the customer's own: pass it with --script"), "{refused}");
    customers.try_deploy(named(&["own"]), none, CodeOwner::Customer).await.remove(0).expect_success();
    // The script of a named customer is replaced.
    customers.try_deploy(named(&["wrangler"]), none, CodeOwner::Platform).await.remove(0).expect_success();
    customers.try_deploy(named(&["user1"]), none, CodeOwner::Customer).await.remove(0).expect_success();
    assert_eq!(api.state().scripts["p-user1"]["tags"], json!(["own-script"]));
}

#[tokio::test]
async fn a_missing_secret_is_refused_before_anything_is_created() {
    let (api, mut customers) = FakeApi::start().await;
    let before = api.state();
    customers.secret = |_| None;
    let error = customers.try_create("user1", "secrets = ['API_KEY']").await.error();
    assert_eq!(error, "the secret API_KEY is not set in the environment");
    assert_eq!(api.state(), before);
    customers.secret = |name| (name == "API_KEY").then(|| "hush".to_owned());
    customers.try_create("user1", "secrets = ['API_KEY']").await.expect_success();
    assert!(api.last_upload().to_string().contains("hush"));
    assert!(!format!("{:?}", api.state()).contains("hush"));

    // A secret that the script already has is kept and need not be set again.
    customers.secret = |_| None;
    let secrets = "secrets = ['API_KEY']";
    customers.try_deploy(named(&["user1"]), secrets, CodeOwner::Platform).await.remove(0).expect_success();
    assert_eq!(bindings(&api, "p-user1"), ["API_KEY", "USER_DB", "USER_KV", "USER_R2"]);
    let more = "secrets = ['API_KEY', 'OTHER']";
    let error = customers.try_deploy(named(&["user1"]), more, CodeOwner::Platform).await.remove(0).error();
    assert_eq!(error, "the secret OTHER is not set in the environment");
}

#[tokio::test]
async fn create_reports_a_script_that_lacks_a_binding_to_storage() {
    let (api, customers) = FakeApi::start().await;
    customers.try_create("user1", "storage = { d1 = false }").await.expect_success();
    let report = customers.try_create("user1", "").await.expect_success();
    let script = report.steps.iter().find(|step| step.what == Component::Script).expect("a script");
    let note = "its binding USER_DB is missing or different: update it with `cargo platform customer deploy user1`";
    assert_eq!((script.outcome, script.note.as_deref()), (Outcome::AlreadyExists, Some(note)));
    customers.try_deploy(named(&["user1"]), "", CodeOwner::Platform).await.remove(0).expect_success();
    assert_eq!(bindings(&api, "p-user1"), ["USER_DB", "USER_KV", "USER_R2"]);
}

/// Creates a repository with the files that a wrangler file is based on.
fn repository() -> TempDir {
    let repository = TempDir::new().expect("a folder");
    let folder = repository.path().join("customer-worker");
    fs::create_dir(&folder).expect("created");
    let config = "name = 'customer-worker'\nmain = 'build/index.js'\ncompatibility_date = '2026-11-17'\n\
        [build]\ncommand = 'make'\nwatch_dir = ['src']\n[observability]\nenabled = true\n";
    fs::write(folder.join("wrangler.toml"), config).expect("written");
    fs::write(repository.path().join("own.js"), "export default {}").expect("written");
    repository
}

#[tokio::test]
async fn a_wrangler_file_has_the_bindings_of_the_script() {
    let (api, customers) = FakeApi::start().await;
    let repository = repository();
    let folder = repository.path().join("customer-worker");
    let config = async |manifest: &Manifest, folder| {
        let file = ConfigFile { repository: repository.path(), folder };
        customers.config(&id("user1"), manifest, file).await
    };
    let defaults = Manifest::default();
    let error = config(&defaults, None).await.expect_err("no storage").to_string();
    assert_eq!(error, "there is no KV namespace customer-user1: create it with `cargo platform customer create user1`");

    customers.try_create("user1", "vars = { MODE = 'x' }").await.expect_success();
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
    assert!(planned.contains("# Secrets that must still be set: API_KEY\n"), "{planned}");
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
        "# Secrets that the script has and keeps: API_KEY\n",
        "# Left out of this file, and removed by its deployment: X is a binding of the type \"wormhole\"",
    ] {
        assert!(text.contains(line), "{text}");
    }

    // Without a folder, the paths are absolute.
    let text = config(&defaults, None).await.expect("a file");
    let table: toml::Table = text.parse().expect("TOML");
    let main = repository.path().join("customer-worker/build/index.js");
    assert_eq!(table["main"].as_str(), main.to_str());
    assert_eq!(table["build"]["cwd"].as_str(), repository.path().to_str());
}

#[tokio::test]
async fn a_wrangler_file_for_a_customers_own_script_names_its_code() {
    let (_, customers) = FakeApi::start().await;
    let repository = repository();
    let file = ConfigFile { repository: repository.path(), folder: Some(repository.path()) };
    customers.try_create("user1", "").await.expect_success();
    customers.try_deploy(named(&["user1"]), "", CodeOwner::Customer).await.remove(0).expect_success();
    let error = customers.config(&id("user1"), &Manifest::default(), file).await.expect_err("no source").to_string();
    assert!(error.contains("name it under [script]"), "{error}");
    let script = repository.path().join("own.js");
    let text = format!("[script]\npath = '{}'\ncompatibility_date = '2026-01-01'", script.display());
    let text = customers.config(&id("user1"), &manifest(&text), file).await.expect("a file");
    let table: toml::Table = text.parse().expect("TOML");
    assert_eq!((table["main"].as_str(), table["compatibility_date"].as_str()), (Some("own.js"), Some("2026-01-01")));
    assert!(!table.contains_key("build"));
}

#[tokio::test]
async fn deploy_sends_the_migrations_that_the_script_has_not_had() {
    let (api, customers) = FakeApi::start().await;
    let steps = |steps: &[&str]| format!("[[migrations]]\n{}\n", steps.join("\n[[migrations]]\n"));
    let [v1, v2, v3] = [
        "tag = 'v1'\nnew_sqlite_classes = ['Room', 'Log']",
        "tag = 'v2'\nnew_classes = ['Hall']",
        "tag = 'v3'\ndeleted_classes = ['Log']",
    ];
    let own = code(CodeOwner::Customer);
    customers.try_create_with("user1", &steps(&[v1]), &own, &RunCache::default()).await.expect_success();
    let first = json!({"new_tag": "v1", "steps": [{"new_sqlite_classes": ["Room", "Log"]}]});
    assert_eq!(api.last_upload()["migrations"], first);

    let deploy = async |text: &str, delete_data: bool| {
        let manifest = manifest(text);
        let removals = Removals { exact: false, delete_data };
        let (ids, run) = customers.start_deploy(named(&["user1"]), removals).await.expect("a run");
        let spec = CustomerSpec { id: &ids[0], manifest: &manifest, code: &own };
        customers.deploy(spec, &run, &mut Steps::default()).await.map_err(|error| format!("{error:#}"))
    };
    deploy(&steps(&[v1]), false).await.expect("deployed");
    assert_eq!(api.last_upload()["migrations"], json!(null));
    deploy(&steps(&[v1, v2]), false).await.expect("deployed");
    let second = json!({"old_tag": "v1", "new_tag": "v2", "steps": [{"new_classes": ["Hall"]}]});
    assert_eq!(api.last_upload()["migrations"], second);

    let before = api.state();
    for (text, delete_data, reason) in
        [(steps(&[v1, v2, v3]), false, "add --delete-data"), (steps(&[v1]), true, "the script's last migration is v2")]
    {
        let error = deploy(&text, delete_data).await.expect_err("refused");
        assert!(error.contains(reason), "{error}");
        assert_eq!(api.state(), before);
    }
    deploy(&steps(&[v1, v2, v3]), true).await.expect("deployed");
    assert_eq!(api.last_upload()["migrations"]["steps"], json!([{"deleted_classes": ["Log"]}]));
}
