//! Private headers, with which the parts of the local platform communicate. They have no effect if a script or a client
//! sends them. The tests read the names from the sources of the platform and of its packages, so that they cover names
//! that a new version adds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use http::StatusCode;
use serde_json::json;
use tests::{Customer, Reply, client, escaped, platform_url};

/// Names that had an effect once, and names that a later runtime could use.
const KNOWN_NAMES: [&str; 14] = [
    "Platform-Content-Type",
    "Platform-Storage",
    "Platform-Status",
    "Platform-",
    "platform-00000000000000000000000000000000-content-type",
    "MF-Experimental-Error-Stack",
    "MF-Experimental-Error-Stack-Payload",
    "MF-Disable-Pretty-Error",
    "MF-Route-Override",
    "MF-Original-URL",
    "MF-Op-Result-Type",
    "MF-Forwarded-Response",
    "MF-Content-Type",
    "CF-Worker-Status",
];

/// The sources of everything that handles a request, relative to the repository.
const SOURCES: [&str; 4] = [
    "local-platform/src",
    "local-platform/namespace",
    "node_modules/miniflare/dist/src",
    "node_modules/wrangler/wrangler-dist",
];

/// Returns the known names, and every string in the sources that looks like a private header.
fn names() -> BTreeSet<String> {
    let repository = tests::repository();
    let mut names: BTreeSet<String> = KNOWN_NAMES.map(str::to_lowercase).into();
    for folder in SOURCES {
        add_names(&repository.join(folder), &mut names);
    }
    names
}

fn add_names(folder: &Path, names: &mut BTreeSet<String>) {
    // A package may be missing in a later version, so a missing folder is ignored.
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        let is_source = path.extension().is_some_and(|kind| kind == "js" || kind == "mjs" || kind == "rs");
        if path.is_dir() && !path.ends_with("node_modules") {
            add_names(&path, names);
        } else if is_source {
            let text = fs::read(&path).expect("a file").to_ascii_lowercase();
            for prefix in [&b"platform-"[..], b"mf-"] {
                names.extend(words(&text, prefix));
            }
        }
    }
}

/// Returns the quoted strings in a text that start with a prefix and could be names of headers.
fn words(text: &[u8], prefix: &[u8]) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for at in positions(text, prefix) {
        let word: Vec<u8> =
            text[at..].iter().copied().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').collect();
        let quoted = at > 0 && b"\"'`".contains(&text[at - 1]) && text.get(at + word.len()) == Some(&text[at - 1]);
        if quoted && word.len() <= 60 {
            words.insert(String::from_utf8(word).expect("ASCII"));
        }
    }
    words
}

fn positions<'t>(text: &'t [u8], needle: &'t [u8]) -> impl Iterator<Item = usize> + 't {
    (0..text.len().saturating_sub(needle.len())).filter(move |at| text[*at..].starts_with(needle))
}

/// Returns a reply's headers without those that differ for each request.
fn comparable(reply: &Reply) -> BTreeMap<String, Vec<u8>> {
    let changing = |name: &str| ["date", "x-request-id", "cf-ray"].contains(&name);
    let headers = reply.headers.iter().filter(|(name, _)| !changing(name.as_str()));
    headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// Returns a request to a script that replies with these headers.
fn reply_with(headers: &serde_json::Value) -> reqwest::RequestBuilder {
    Customer::new("strange").get(&format!("/?headers={}", escaped(&headers.to_string())))
}

#[tokio::test]
async fn private_headers_of_scripts_have_no_effect() {
    let names = names();
    assert!(names.len() > KNOWN_NAMES.len(), "the sources contain no names: {names:?}");
    for content_type in ["application/json", "text/html; charset=utf-8"] {
        let plain = Reply::to(reply_with(&json!({"content-type": content_type, "x-own": "1"}))).await;
        assert_eq!((plain.status, plain.text()), (StatusCode::OK, "strange"));
        assert_eq!(plain.header("Content-Type"), content_type);
        let sent = |name: &str, value: &str| json!({"content-type": content_type, "x-own": "1", name: value});
        for name in &names {
            for value in ["text/plain", "true", "404"] {
                let reply = Reply::to(reply_with(&sent(name, value))).await;
                let mut expected = comparable(&plain);
                expected.insert(name.clone(), value.into());
                assert_eq!((reply.status, reply.text()), (StatusCode::OK, "strange"), "{name}: {value}: {reply}");
                assert_eq!(comparable(&reply), expected, "{name}: {value}");
            }
        }
        // All headers at once.
        let mut all = sent("x-own", "1");
        for name in &names {
            all[name] = "text/plain".into();
        }
        let reply = Reply::to(reply_with(&all)).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, "strange"), "{reply}");
        assert_eq!(reply.header("Content-Type"), content_type);
    }
}

#[tokio::test]
async fn private_headers_of_clients_have_no_effect() {
    let plain = Reply::to(Customer::new("user1").get("/")).await;
    let without_id = Reply::to(client().get(platform_url())).await;
    for name in names() {
        for value in ["", "true", "text/html", "undefined", "null", "customer-user2"] {
            let reply = Reply::to(Customer::new("user1").get("/").header(&name, value)).await;
            assert_eq!((reply.status, reply.text()), (plain.status, plain.text()), "{name}: {value}: {reply}");
            assert_eq!(comparable(&reply), comparable(&plain), "{name}: {value}");
        }
        // They have no effect without an id either.
        let reply = Reply::to(client().post(format!("{}/.storage?operation=alive", platform_url())).header(&name, "x"));
        let reply = reply.await;
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (without_id.status, &without_id.json()["code"]),
            "{name}: {reply}"
        );
    }
}

/// The platform's own private headers reach neither scripts nor clients.
#[tokio::test]
async fn private_headers_of_the_platform_are_removed() {
    let is_private = |name: &str| name.starts_with("platform-") || name.starts_with("mf-");
    let html = Reply::to(reply_with(&json!({"content-type": "text/html"}))).await;
    assert_eq!(html.header("Content-Type"), "text/html");
    assert!(!html.headers.keys().any(|name| is_private(name.as_str())), "{html}");
    let echoed = Reply::to(Customer::new("echo").get("/")).await;
    let received: serde_json::Value = serde_json::from_str(echoed.header("Echo")).expect("JSON");
    let received = received["headers"].as_object().expect("headers");
    assert!(!received.keys().any(|name| name.starts_with("platform-")), "{received:?}");
}
