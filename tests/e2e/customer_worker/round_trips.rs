//! Every key and JSON value that is accepted is returned unchanged, whichever way the key is encoded.
//!
//! proptest generates the cases and shrinks those that fail. There are few of them, because each consists of many
//! requests. `PROPTEST_CASES` sets their number, and `cargo xtask test --long round_trips` runs more.

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

/// The default numbers of cases of a short and of a long test.
const CASES: (u32, u32) = (12, 400);

/// Runs a property against the platform with `PROPTEST_CASES` cases, or `cases` if that is not set.
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

/// Returns three encodings of a key for a URL: with all characters escaped, with only the necessary ones escaped, and
/// with `+` for spaces.
fn url_encodings(key: &str) -> [String; 3] {
    const NEEDED: AsciiSet = CONTROLS.add(b' ').add(b'#').add(b'%').add(b'&').add(b'+');
    let all = escaped(key);
    [all.clone(), utf8_percent_encode(key, &NEEDED).to_string(), all.replace("%20", "+").replace("%2E", ".")]
}

/// Returns a key for JSON with all characters as UTF-16 escapes.
fn json_escaped(key: &str) -> String {
    key.encode_utf16().fold(String::new(), |mut text, unit| {
        write!(text, "\\u{unit:04x}").expect("writing to a string succeeds");
        text
    })
}

/// The optional members of a value's entry in a list.
#[derive(Clone, Debug, PartialEq)]
struct EntryExtras {
    metadata: Option<Value>,
    expires: bool,
}

const NONE: EntryExtras = EntryExtras { metadata: None, expires: false };

/// Returns the body of a request that stores a value.
fn value_body(key: &str, extras: &EntryExtras) -> Value {
    let mut body = json!({"key": key, "value": {"for": key}});
    if let Some(metadata) = &extras.metadata {
        body["metadata"] = metadata.clone();
    }
    if extras.expires {
        body["expirationTtl"] = 3600.into();
    }
    body
}

/// Returns all entries of a list.
async fn list_all(user: &Customer, path: &str, member: &str) -> BTreeMap<String, EntryExtras> {
    let (mut entries, mut next) = (BTreeMap::new(), path.to_owned());
    loop {
        let page = expect_success(user.get(&next)).await.json();
        for entry in page[member].as_array().expect("a list") {
            let key = entry["key"].as_str().expect("a key").to_owned();
            let extras =
                EntryExtras { metadata: entry.get("metadata").cloned(), expires: entry.get("expiration").is_some() };
            assert_eq!(entries.insert(key, extras), None, "{entry} is listed twice");
        }
        let Some(cursor) = page.get("cursor").and_then(Value::as_str) else { return entries };
        next = format!("{path}&cursor={cursor}");
    }
}

/// Returns metadata that resembles the JSON of a list.
fn metadata() -> Vec<Value> {
    let texts = ["", "x", "\",\"", "{\"name\":\"data/", "\"},{\"name\":\"data/x\"", "\\", "\u{2028}é🦀"];
    let named = texts.iter().map(|text| json!({"name": format!("data/{text}")}));
    let nested = texts.iter().map(|text| json!({ *text: [{"name": "data/x", "key": text}, null, 1.5] }));
    named.chain(nested).chain([json!({})]).collect()
}

/// Returns keys of the maximum length.
fn longest_keys() -> Vec<String> {
    ["k", "é", "🦀", "\"", "\\", " "].map(|text| text.repeat(507 / text.len())).to_vec()
}

/// Stores the awkward keys, in every encoding, and lists them: each by itself, all together, and with metadata and
/// expiry.
#[tokio::test]
async fn awkward_keys_come_back() {
    let user = &Customer::new("round-trips");
    let keys: Vec<String> = AWKWARD_KEYS.iter().map(|key| (*key).to_owned()).chain(longest_keys()).collect();
    let put = |key: &String, extras: EntryExtras| {
        let (key, body) = (key.clone(), value_body(key, &extras).to_string());
        async move {
            let [encoded, ..] = url_encodings(&key);
            let stored = expect_success(user.put(&format!("/files?key={encoded}")).body(key.clone())).await.json();
            assert_eq!(stored["key"], key.as_str());
            let stored = expect_success(user.post_json("/data", body)).await.json();
            assert_eq!(stored["key"], key.as_str());
        }
    };
    join_all(keys.iter().map(|key| put(key, NONE))).await;
    let expected: BTreeMap<String, EntryExtras> = keys.iter().map(|key| (key.clone(), NONE)).collect();
    for limit in [1000, 7, 1] {
        assert_eq!(list_all(user, &format!("/files?limit={limit}"), "files").await, expected);
        assert_eq!(list_all(user, &format!("/data?limit={limit}"), "keys").await, expected);
    }
    join_all(keys.iter().map(async |key| {
        for encoded in url_encodings(key) {
            expect_json(user.get(&format!("/data?key={encoded}")), value_body(key, &NONE)).await;
            assert_eq!(Reply::to(user.get(&format!("/files?key={encoded}"))).await.text(), key);
            // The local simulators do not support a NUL in a prefix.
            if !key.contains('\0') {
                let matching = list_all(user, &format!("/data?prefix={encoded}"), "keys").await;
                assert!(
                    matching.contains_key(key) && matching.keys().all(|listed| listed.starts_with(key)),
                    "{key:?}: {matching:?}"
                );
                let matching = list_all(user, &format!("/files?prefix={encoded}"), "files").await;
                assert!(
                    matching.contains_key(key) && matching.keys().all(|listed| listed.starts_with(key)),
                    "{key:?}: {matching:?}"
                );
            }
        }
        let form = Form::new().text("key", key.clone()).part("file", Part::text("from a form").file_name("f"));
        assert_eq!(expect_success(user.post("/files").multipart(form)).await.json()["key"], key.as_str());
        let body = format!(r#"{{"value":"escaped","key":"{}"}}"#, json_escaped(key));
        expect_json(user.post_json("/data", body), json!({"success": true, "key": key})).await;
        let [encoded, ..] = url_encodings(key);
        assert_eq!(Reply::to(user.get(&format!("/files?key={encoded}"))).await.text(), "from a form");
        expect_json(user.get(&format!("/data?key={encoded}")), json!({"key": key, "value": "escaped"})).await;
    }))
    .await;

    // Three of four values have metadata, an expiry, or both.
    let all = metadata();
    let extras = |index: usize| match index % 4 {
        0 => NONE,
        1 => EntryExtras { metadata: Some(all[index % all.len()].clone()), expires: false },
        2 => EntryExtras { metadata: None, expires: true },
        _ => EntryExtras { metadata: Some(all[index % all.len()].clone()), expires: true },
    };
    join_all(keys.iter().enumerate().map(|(index, key)| put(key, extras(index)))).await;
    let expected: BTreeMap<String, EntryExtras> =
        keys.iter().enumerate().map(|(index, key)| (key.clone(), extras(index))).collect();
    for limit in [1000, 3, 1] {
        assert_eq!(list_all(user, &format!("/data?limit={limit}"), "keys").await, expected);
    }

    // Deleting a key deletes no other.
    let mut remaining = expected;
    for (index, key) in keys.iter().enumerate() {
        let encoded = &url_encodings(key)[index % 3];
        expect_success(user.delete(&format!("/data?key={encoded}"))).await;
        expect_success(user.delete(&format!("/files?key={encoded}"))).await;
        remaining.remove(key);
        if index % 8 == 0 || remaining.is_empty() {
            assert_eq!(list_all(user, "/data?", "keys").await, remaining, "after {key:?}");
            assert!(list_all(user, "/files?", "files").await.keys().eq(remaining.keys()), "after {key:?}");
        }
    }
}

/// Generates keys from arbitrary text, and from pieces that have a special meaning in some format.
fn key() -> impl Strategy<Value = String> {
    let pieces =
        [AWKWARD_KEYS.to_vec(), vec!["data/", "usage/", "\u{301}", "\r\n", "%00", "&", "=", ";", "?"]].concat();
    let combined = prop::collection::vec(select(pieces), 0..8).prop_map(|pieces| pieces.concat());
    prop_oneof![3 => any::<String>(), 1 => "\\PC{1,60}", 3 => combined]
}

fn extras() -> impl Strategy<Value = EntryExtras> {
    let metadata = prop_oneof![3 => Just(None), 1 => select(metadata()).prop_map(Some)];
    (metadata, prop::bool::weighted(0.2)).prop_map(|(metadata, expires)| EntryExtras { metadata, expires })
}

/// Stores keys concurrently under a prefix of their own, reads and lists them, and deletes them.
async fn keys_come_back(keys: BTreeMap<String, (EntryExtras, bool)>) {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("{}-{}/", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let user = &Customer::new("a");
    // Some keys are extended to the maximum length, to which the platform's own prefix is added.
    let full_key = |key: &str, long: bool, max_len: usize| {
        let mut key = prefix.clone() + key;
        if long {
            key.extend(std::iter::repeat_n('k', max_len.saturating_sub(key.len())));
        }
        key.truncate(key.floor_char_boundary(max_len));
        key
    };
    let files: BTreeMap<String, EntryExtras> =
        keys.iter().map(|(key, (_, long))| (full_key(key, *long, 1024), NONE)).collect();
    let values: BTreeMap<String, EntryExtras> =
        keys.iter().map(|(key, (extras, long))| (full_key(key, *long, 507), extras.clone())).collect();
    join_all(files.keys().enumerate().map(async |(index, key)| {
        let path = format!("/files?key={}", url_encodings(key)[index % 3]);
        assert_eq!(expect_success(user.put(&path).body(key.clone())).await.json()["key"], key.as_str());
        let path = format!("/files?key={}", url_encodings(key)[(index + 1) % 3]);
        assert_eq!(Reply::to(user.get(&path)).await.text(), key);
    }))
    .await;
    join_all(values.iter().enumerate().map(async |(index, (key, extras))| {
        let stored = json!({"success": true, "key": key});
        expect_json(user.post_json("/data", value_body(key, extras).to_string()), stored).await;
        let mut expected = json!({"key": key, "value": {"for": key}});
        if let Some(metadata) = &extras.metadata {
            expected["metadata"] = metadata.clone();
        }
        expect_json(user.get(&format!("/data?key={}", url_encodings(key)[index % 3])), expected).await;
    }))
    .await;
    assert_eq!(list_all(user, &format!("/files?prefix={prefix}"), "files").await, files);
    assert_eq!(list_all(user, &format!("/data?prefix={prefix}"), "keys").await, values);
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

fn check_keys(cases: u32) {
    let keys = prop::collection::btree_map(key(), (extras(), prop::bool::weighted(0.1)), 1..12);
    check(cases, &keys, keys_come_back);
}

#[test]
fn any_key_comes_back() {
    check_keys(CASES.0);
}

#[test]
#[ignore = "takes minutes"]
fn many_more_keys_come_back() {
    check_keys(CASES.1);
}

/// Generates JSON texts: numbers that a double cannot represent, all escapes, duplicate members, whitespace wherever it
/// is allowed.
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

/// Stores values concurrently, in bodies with whitespace wherever it is allowed, and reads them.
async fn values_come_back(values: Vec<(String, String)>) {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let (user, run) = (&Customer::new("a"), RUNS.fetch_add(1, Ordering::Relaxed));
    join_all(values.iter().enumerate().map(async |(index, (text, blank))| {
        let key = format!("values/{}-{run}/{index}", std::process::id());
        let body = if index % 2 == 0 {
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

fn check_values(cases: u32) {
    check(cases, &prop::collection::vec((json_text(), "[ \t\r\n]{0,3}"), 1..24), values_come_back);
}

#[test]
fn any_value_comes_back_byte_for_byte() {
    check_values(CASES.0);
}

#[test]
#[ignore = "takes minutes"]
fn many_more_values_come_back_byte_for_byte() {
    check_values(CASES.1);
}
