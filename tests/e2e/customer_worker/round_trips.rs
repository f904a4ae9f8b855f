//! What is accepted comes back the same: any key, in every way that it can be said, and any JSON value.
//!
//! The cases are made by proptest, which looks for the smallest one that fails. There are few of them, because each is many
//! requests; `PROPTEST_CASES` says how many, and `cargo xtask test --long round_trips` runs more.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::join_all;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tests::{AWKWARD_KEYS, Customer, Reply, escaped, expect_json, expect_problem, expect_success};

/// How many cases there are, where nobody says otherwise: of a test among others, and of a long one.
const CASES: (u32, u32) = (12, 400);

/// Runs a property against the platform, as often as `PROPTEST_CASES` says.
fn check<S: Strategy>(cases: u32, strategy: &S, property: impl AsyncFn(S::Value)) {
    let cases = env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let config = Config { cases, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let run = TestRunner::new(config).run(strategy, |value| {
        runtime.block_on(property(value));
        Ok(())
    });
    println!("{cases} cases");
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

/// A key as a URL may have it: everything escaped, only what must be, or with `+` for blanks.
fn spellings(key: &str) -> [String; 3] {
    const NEEDED: AsciiSet = CONTROLS.add(b' ').add(b'#').add(b'%').add(b'&').add(b'+');
    let all = escaped(key);
    [all.clone(), utf8_percent_encode(key, &NEEDED).to_string(), all.replace("%20", "+").replace("%2E", ".")]
}

/// A key as JSON may have it, in UTF-16 escapes throughout.
fn in_escapes(key: &str) -> String {
    key.encode_utf16().fold(String::new(), |mut text, unit| {
        write!(text, "\\u{unit:04x}").expect("a string takes all");
        text
    })
}

/// How a value is stored with others: what its entry in a list has besides the key.
#[derive(Clone, Debug, PartialEq)]
struct Extras {
    metadata: Option<Value>,
    expires: bool,
}

const NONE: Extras = Extras { metadata: None, expires: false };

fn stored(key: &str, extras: &Extras) -> Value {
    let mut body = json!({"key": key, "value": {"for": key}});
    if let Some(metadata) = &extras.metadata {
        body["metadata"] = metadata.clone();
    }
    if extras.expires {
        body["expirationTtl"] = 3600.into();
    }
    body
}

/// The keys of a listing with what it says of them, page by page.
async fn listed(user: &Customer, path: &str, member: &str) -> BTreeMap<String, Extras> {
    let (mut found, mut next) = (BTreeMap::new(), path.to_owned());
    loop {
        let page = expect_success(user.get(&next)).await.json();
        for entry in page[member].as_array().expect("a list") {
            let key = entry["key"].as_str().expect("a key").to_owned();
            let extras =
                Extras { metadata: entry.get("metadata").cloned(), expires: entry.get("expiration").is_some() };
            assert_eq!(found.insert(key, extras), None, "{entry} is listed once");
        }
        let Some(cursor) = page.get("cursor").and_then(Value::as_str) else { return found };
        next = format!("{path}&cursor={cursor}");
    }
}

/// Metadata that looks like what a list is made of.
fn metadata() -> Vec<Value> {
    let texts = ["", "x", "\",\"", "{\"name\":\"data/", "\"},{\"name\":\"data/x\"", "\\", "\u{2028}é🦀"];
    let named = texts.iter().map(|text| json!({"name": format!("data/{text}")}));
    let nested = texts.iter().map(|text| json!({ *text: [{"name": "data/x", "key": text}, null, 1.5] }));
    named.chain(nested).chain([json!({})]).collect()
}

fn longest() -> Vec<String> {
    ["k", "é", "🦀", "\"", "\\", " "].map(|text| text.repeat(507 / text.len())).to_vec()
}

/// The table of awkward keys, in every way that a key is said, and in lists: each by itself, all together, and together with
/// some that have more to say.
#[tokio::test]
async fn awkward_keys_come_back() {
    let user = &Customer::new("round-trips");
    let keys: Vec<String> = AWKWARD_KEYS.iter().map(|key| (*key).to_owned()).chain(longest()).collect();
    let put = |key: &String, extras: Extras| {
        let (key, body) = (key.clone(), stored(key, &extras).to_string());
        async move {
            let [spelt, ..] = spellings(&key);
            let answer = expect_success(user.put(&format!("/files?key={spelt}")).body(key.clone())).await.json();
            assert_eq!(answer["key"], key.as_str());
            let answer = expect_success(user.post_json("/data", body)).await.json();
            assert_eq!(answer["key"], key.as_str());
        }
    };
    join_all(keys.iter().map(|key| put(key, NONE))).await;
    let expected: BTreeMap<String, Extras> = keys.iter().map(|key| (key.clone(), NONE)).collect();
    for limit in [1000, 7, 1] {
        assert_eq!(listed(user, &format!("/files?limit={limit}"), "files").await, expected);
        assert_eq!(listed(user, &format!("/data?limit={limit}"), "keys").await, expected);
    }
    join_all(keys.iter().map(async |key| {
        for spelt in spellings(key) {
            expect_json(user.get(&format!("/data?key={spelt}")), stored(key, &NONE)).await;
            assert_eq!(Reply::to(user.get(&format!("/files?key={spelt}"))).await.text(), key);
            // The local runtime's listing finds nothing behind a NUL.
            if !key.contains('\0') {
                let alone = listed(user, &format!("/data?prefix={spelt}"), "keys").await;
                assert!(
                    alone.contains_key(key) && alone.keys().all(|found| found.starts_with(key)),
                    "{key:?}: {alone:?}"
                );
                let alone = listed(user, &format!("/files?prefix={spelt}"), "files").await;
                assert!(
                    alone.contains_key(key) && alone.keys().all(|found| found.starts_with(key)),
                    "{key:?}: {alone:?}"
                );
            }
        }
        let form = Form::new().text("key", key.clone()).part("file", Part::text("from a form").file_name("f"));
        assert_eq!(expect_success(user.post("/files").multipart(form)).await.json()["key"], key.as_str());
        let body = format!(r#"{{"value":"escaped","key":"{}"}}"#, in_escapes(key));
        expect_json(user.post_json("/data", body), json!({"success": true, "key": key})).await;
        let [spelt, ..] = spellings(key);
        assert_eq!(Reply::to(user.get(&format!("/files?key={spelt}"))).await.text(), "from a form");
        expect_json(user.get(&format!("/data?key={spelt}")), json!({"key": key, "value": "escaped"})).await;
    }))
    .await;

    // Every other one has metadata, an end, or both.
    let all = metadata();
    let extras = |at: usize| match at % 4 {
        0 => NONE,
        1 => Extras { metadata: Some(all[at % all.len()].clone()), expires: false },
        2 => Extras { metadata: None, expires: true },
        _ => Extras { metadata: Some(all[at % all.len()].clone()), expires: true },
    };
    join_all(keys.iter().enumerate().map(|(at, key)| put(key, extras(at)))).await;
    let expected: BTreeMap<String, Extras> =
        keys.iter().enumerate().map(|(at, key)| (key.clone(), extras(at))).collect();
    for limit in [1000, 3, 1] {
        assert_eq!(listed(user, &format!("/data?limit={limit}"), "keys").await, expected);
    }

    // One after another goes, and no other with it.
    let mut left = expected;
    for (at, key) in keys.iter().enumerate() {
        let spelt = &spellings(key)[at % 3];
        expect_success(user.delete(&format!("/data?key={spelt}"))).await;
        expect_success(user.delete(&format!("/files?key={spelt}"))).await;
        left.remove(key);
        if at % 8 == 0 || left.is_empty() {
            assert_eq!(listed(user, "/data?", "keys").await, left, "after {key:?}");
            assert!(listed(user, "/files?", "files").await.keys().eq(left.keys()), "after {key:?}");
        }
    }
}

/// Any text, and texts made of what means something somewhere.
fn key() -> impl Strategy<Value = String> {
    let pieces =
        [AWKWARD_KEYS.to_vec(), vec!["data/", "usage/", "\u{301}", "\r\n", "%00", "&", "=", ";", "?"]].concat();
    let made = prop::collection::vec(select(pieces), 0..8).prop_map(|pieces| pieces.concat());
    prop_oneof![3 => any::<String>(), 1 => "\\PC{1,60}", 3 => made]
}

fn extras() -> impl Strategy<Value = Extras> {
    let metadata = prop_oneof![3 => Just(None), 1 => select(metadata()).prop_map(Some)];
    (metadata, prop::bool::weighted(0.2)).prop_map(|(metadata, expires)| Extras { metadata, expires })
}

/// Stores some keys under a prefix of their own, all at once, finds them in every way, and takes them away.
async fn keys_come_back(keys: BTreeMap<String, (Extras, bool)>) {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("{}-{}/", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let user = &Customer::new("a");
    // As long as a key may be, where it is to be: what the store adds must still fit.
    let whole = |key: &str, long: bool, most: usize| {
        let mut key = prefix.clone() + key;
        if long {
            key.extend(std::iter::repeat_n('k', most.saturating_sub(key.len())));
        }
        key.truncate(key.floor_char_boundary(most));
        key
    };
    let files: BTreeMap<String, Extras> = keys.iter().map(|(key, (_, long))| (whole(key, *long, 1024), NONE)).collect();
    let values: BTreeMap<String, Extras> =
        keys.iter().map(|(key, (extras, long))| (whole(key, *long, 507), extras.clone())).collect();
    join_all(files.keys().enumerate().map(async |(at, key)| {
        let path = format!("/files?key={}", spellings(key)[at % 3]);
        assert_eq!(expect_success(user.put(&path).body(key.clone())).await.json()["key"], key.as_str());
        let path = format!("/files?key={}", spellings(key)[(at + 1) % 3]);
        assert_eq!(Reply::to(user.get(&path)).await.text(), key);
    }))
    .await;
    join_all(values.iter().enumerate().map(async |(at, (key, extras))| {
        let answer = json!({"success": true, "key": key});
        expect_json(user.post_json("/data", stored(key, extras).to_string()), answer).await;
        let mut expected = json!({"key": key, "value": {"for": key}});
        if let Some(metadata) = &extras.metadata {
            expected["metadata"] = metadata.clone();
        }
        expect_json(user.get(&format!("/data?key={}", spellings(key)[at % 3])), expected).await;
    }))
    .await;
    assert_eq!(listed(user, &format!("/files?prefix={prefix}"), "files").await, files);
    assert_eq!(listed(user, &format!("/data?prefix={prefix}"), "keys").await, values);
    join_all(files.keys().map(async |key| {
        expect_success(user.delete(&format!("/files?key={}", escaped(key)))).await;
        expect_problem(user.get(&format!("/files?key={}", escaped(key))), 404, "file_not_found").await;
    }))
    .await;
    join_all(values.keys().map(async |key| {
        expect_success(user.delete(&format!("/data?key={}", escaped(key)))).await;
        expect_problem(user.get(&format!("/data?key={}", escaped(key))), 404, "data_not_found").await;
    }))
    .await;
}

fn any_keys(cases: u32) {
    let keys = prop::collection::btree_map(key(), (extras(), prop::bool::weighted(0.1)), 1..12);
    check(cases, &keys, keys_come_back);
}

#[test]
fn any_key_comes_back() {
    any_keys(CASES.0);
}

#[test]
#[ignore = "takes minutes"]
fn many_more_keys_come_back() {
    any_keys(CASES.1);
}

/// The text of any JSON value: numbers that no double holds, all escapes, members of the same name, blanks wherever they may be.
fn json_text() -> impl Strategy<Value = String> {
    let blank = "[ \t\r\n]{0,3}";
    let number = "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,5})?";
    let piece = prop_oneof![
        4 => any::<char>().prop_map(|char| if char < ' ' || "\"\\".contains(char) { 'x' } else { char }.to_string()),
        1 => select(vec!["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t"]).prop_map(str::to_owned),
        1 => select(vec!["\\u0000", "\\u001F", "\\u0022", "\\u005c", "\\u2028"]).prop_map(str::to_owned),
        1 => select(vec!["\\ud800", "\\uDFFF", "\\ud83e\\udd80", "\\udd80\\ud83e", "\\ufeff", "\u{feff}", "\u{2029}"])
            .prop_map(str::to_owned),
    ];
    let string = prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("\"{}\"", pieces.concat()));
    let leaf = prop_oneof![
        select(vec!["null", "true", "false", "{}", "[]", "-0", "1e400", "18446744073709551616"])
            .prop_map(str::to_owned),
        number,
        string.clone(),
    ];
    let value = leaf.prop_recursive(6, 60, 6, move |inner| {
        let name =
            prop_oneof![2 => string.clone(), 1 => Just("\"a\"".to_owned()), 1 => Just("\"__proto__\"".to_owned())];
        let element = (blank, inner.clone(), blank).prop_map(|(before, value, after)| before + &value + &after);
        let member = (blank, name, blank, element.clone())
            .prop_map(|(before, name, after, value)| format!("{before}{name}{after}:{value}"));
        prop_oneof![
            prop::collection::vec(element, 1..6).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::vec(member, 1..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    });
    let depth = prop_oneof![9 => Just(0_usize), 1 => 1_usize..20_000];
    (value, depth).prop_map(|(value, depth)| "[".repeat(depth) + &value + &"]".repeat(depth))
}

/// Stores values, all at once, in bodies with blanks wherever they may be, and reads them.
async fn values_come_back(values: Vec<(String, String)>) {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let (user, run) = (&Customer::new("a"), RUNS.fetch_add(1, Ordering::Relaxed));
    join_all(values.iter().enumerate().map(async |(at, (text, blank))| {
        let key = format!("values/{}-{run}/{at}", std::process::id());
        let body = if at % 2 == 0 {
            format!("{blank}{{\"key\":\"{key}\",\"value\":{blank}{text}{blank}}}{blank}")
        } else {
            format!("{{\"value\"{blank}:{text}{blank},\"key\":\"{key}\"}}")
        };
        expect_success(user.post_json("/data", body)).await;
        let reply = expect_success(user.get(&format!("/data?key={key}"))).await;
        assert_eq!(reply.text(), format!("{{\"key\":\"{key}\",\"value\":{text}}}"));
        expect_success(user.delete(&format!("/data?key={key}"))).await;
    }))
    .await;
}

fn any_values(cases: u32) {
    check(cases, &prop::collection::vec((json_text(), "[ \t\r\n]{0,3}"), 1..24), values_come_back);
}

#[test]
fn any_value_comes_back_byte_for_byte() {
    any_values(CASES.0);
}

#[test]
#[ignore = "takes minutes"]
fn many_more_values_come_back_byte_for_byte() {
    any_values(CASES.1);
}
