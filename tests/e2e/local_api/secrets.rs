//! `cargo platform customer secret`: a secret reaches its customer's Worker and no other, and deployments keep it.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::api::{expect_result, text};
use tests::{Customer, Dev, Reply};

use super::Platform;

/// Replies with the secrets that it has.
const SOURCE: &str = "export default { fetch: (request, { API_KEY, OTHER }) => Response.json({ API_KEY, OTHER }) };";

async fn env(customer: &Customer) -> Value {
    Reply::to(customer.get("/")).await.json()
}

#[tokio::test]
async fn a_secret_reaches_its_customer_alone_and_stays() {
    let platform = Platform::start(&["--customer", "shop", "--customer", "other"]).await;
    let (api, metadata) = (&platform.api, json!({ "compatibility_date": "2026-11-17" }));
    for id in ["shop", "other"] {
        expect_result(api.upload(id, SOURCE, metadata.clone())).await;
    }
    let put = async |name: &str, secret: &str| {
        let output = api.platform_with_input(&["customer", "secret", "put", "shop", name], secret).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(!text(&output.stdout).contains(secret.trim()), "{}", text(&output.stdout));
    };
    put("API_KEY", "first\n").await;
    put("OTHER", " two\nlines \r\n").await;
    let (shop, other) = (platform.customer("shop"), platform.customer("other"));
    assert_eq!(env(&shop).await, json!({ "API_KEY": "first", "OTHER": " two\nlines " }));
    assert_eq!(env(&other).await, json!({}));
    put("API_KEY", "second").await;
    assert_eq!(env(&shop).await["API_KEY"], "second");
    assert_eq!(api.customer(&["secret", "list", "shop"]).await["secrets"], json!(["API_KEY", "OTHER"]));
    assert_eq!(api.customer(&["secret", "list", "other"]).await["secrets"], json!([]));

    // A deployment keeps it, exact or not, and so does a restart.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("index.js"), SOURCE).expect("written");
    let script = folder.path().to_str().expect("UTF-8");
    for arguments in [&["deploy", "shop", "--script", script][..], &["deploy", "shop", "--exact", "--script", script]] {
        api.customer(arguments).await;
        assert_eq!(env(&shop).await["API_KEY"], "second", "{arguments:?}");
    }
    api.customer(&["secret", "delete", "shop", "OTHER"]).await;
    assert_eq!(env(&shop).await, json!({ "API_KEY": "second" }));
    let Platform { state, dev, .. } = platform;
    assert!(dev.stop(Signal::SIGINT).await.success());
    let dev = Dev::start(state.path(), &[]).await;
    assert_eq!(env(&Customer::at(&dev.url, "shop")).await, json!({ "API_KEY": "second" }));
    assert!(dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn what_cannot_be_a_secret_is_refused() {
    let platform = Platform::start(&["--customer", "shop"]).await;
    for (arguments, input, code, reason) in [
        (&["put", "shop", "API_KEY"][..], "", 2, "the secret is empty"),
        (&["put", "shop", "API_KEY"], "\n", 2, "the secret is empty"),
        (&["put", "shop", "USER_KV"], "text", 1, "already in use"),
        (&["put", "shop", "no-identifier"], "text", 1, "cannot be a binding's name"),
        (&["put", "shop", "LARGE"], &*"x".repeat(5 * 1024 + 1), 1, "more than the"),
        (&["put", "nobody", "API_KEY"], "text", 1, "there is no customer nobody"),
        (&["put", "Shop", "API_KEY"], "text", 2, "a user id is"),
        (&["list", "nobody"], "", 1, "there is no customer nobody"),
        (&["delete", "shop", "API_KEY"], "", 1, "customer shop has no secret API_KEY"),
        (&["delete", "shop", "USER_KV"], "", 1, "customer shop has no secret USER_KV"),
    ] {
        let arguments = [&["customer", "secret"], arguments].concat();
        let output = platform.api.platform_with_input(&arguments, input).await;
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(reason), "{arguments:?}: {errors}");
    }
    assert_eq!(platform.api.customer(&["secret", "list", "shop"]).await["secrets"], json!([]));
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}
