//! A rejected creation of a customer creates nothing.

use std::fs;

use serde_json::{Value, json};
use tests::Reply;
use tests::api::{SCRIPTS, expect_result, text};

use super::Platform;

#[tokio::test]
async fn a_rejected_creation_creates_nothing() {
    let platform = Platform::start(&[]).await;
    let file = |name: &str, text: &str| {
        let path = platform.state.path().join(name);
        fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let broken = file("broken.js", "export default { fetch() { return new Response('hello') }");
    let unbundled =
        file("unbundled.js", "import _ from 'lodash'; export default { fetch() { return new Response(_) } }");
    let good = file("good.js", "export default { fetch() { return new Response('hello') } }");
    let bucket = "[[bindings]]\nname = 'ASSETS'\ntype = 'r2_bucket'\nbucket_name = 'nowhere'\n";
    let no_bucket = file("bucket.toml", bucket);
    let everything = async || {
        let listed = async |path: &str| expect_result(platform.api.get(path)).await;
        json!([
            listed("/storage/kv/namespaces?per_page=1000").await,
            listed("/d1/database?per_page=1000").await,
            listed("/r2/buckets").await,
            listed(SCRIPTS).await,
        ])
    };
    let run = async |arguments: &[&str]| {
        let output = platform.api.platform(&[&["customer", "create"], arguments].concat()).await;
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };

    let before = everything().await;
    for (arguments, reason) in [
        (
            vec!["one", "--manifest", &no_bucket, "--script", &good],
            "ASSETS is the bucket nowhere, which does not exist",
        ),
        (
            vec!["one", "--manifest", &no_bucket, "--script", &good, "--dry-run"],
            "ASSETS is the bucket nowhere, which does not exist",
        ),
        (vec!["one", "two", "--script", &broken], "the API refuses the code: "),
        (vec!["one", "--script", &unbundled], "Bundle the script first"),
    ] {
        let (code, printed, errors) = run(&arguments).await;
        assert_eq!((code, &*printed), (Some(1), ""), "{errors}");
        assert!(errors.contains(reason), "{arguments:?}: {errors}");
        assert_eq!(everything().await, before, "{arguments:?}");
    }
    // A dry run reports what it does not check.
    let (code, printed, errors) = run(&["one", "--script", &broken, "--dry-run"]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert!(printed.contains("its code was not checked: a dry run uploads nothing"), "{printed}");
    assert_eq!(everything().await, before);

    // The temporary script that checks the code has the variables, and is deleted afterwards.
    let greets = "import { env } from 'cloudflare:workers'; const greeting = env.GREETING.toUpperCase();
        export default { fetch() { return new Response(greeting) } }";
    let (greets, greeting) = (file("greets.js", greets), file("greeting.toml", "vars = { GREETING = 'hello' }"));
    let (code, _, errors) = run(&["one", "--manifest", &greeting, "--script", &greets]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(Reply::to(platform.customer("one").get("/")).await.text(), "HELLO");
    let (code, _, errors) = run(&["two", "--script", &good]).await;
    assert_eq!(code, Some(0), "{errors}");
    let scripts = expect_result(platform.api.get(SCRIPTS)).await;
    let mut names: Vec<&Value> = scripts.as_array().expect("a list").iter().map(|script| &script["id"]).collect();
    names.sort_by_key(ToString::to_string);
    assert_eq!(json!(names), json!(["one", "two", "user1", "user2"]));
}

#[tokio::test]
async fn lists_show_customers_without_a_script() {
    let platform = Platform::start(&[]).await;
    platform.api.kv_namespace("customer-half").await;
    let output = platform.api.platform(&["customer", "list"]).await;
    let printed = text(&output.stdout);
    let half = printed.lines().find(|line| line.starts_with("half ")).expect("the customer is listed");
    assert!(half.ends_with("no script"), "{half}");
    let listed = platform.api.customer(&["list"]).await;
    let half = listed["customers"].as_array().expect("a list").iter().find(|customer| customer["id"] == "half");
    assert_eq!(half.expect("the customer is listed")["storage"], true);
}
