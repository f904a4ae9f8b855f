//! KV values and R2 objects over the API, as in Cloudflare's reference:
//! <https://developers.cloudflare.com/api/resources/kv/>, <https://developers.cloudflare.com/api/resources/r2/>.

use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::Reply;
use tests::api::{expect_error, expect_result};

use super::Platform;

#[tokio::test]
async fn bulk_reads_return_the_requested_format() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    let path = format!("/storage/kv/namespaces/{}", api.kv_namespace("many").await);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_secs();
    let pairs = json!([
        {"key": "object", "value": "{\"a\":[1.10,null]}", "metadata": {"m": 1}},
        {"key": "null", "value": "null"},
        {"key": "text", "value": "not JSON", "expiration_ttl": 3600, "expiration": 1},
        {"key": "__proto__", "value": "\"p\"", "expiration": now + 7200},
    ]);
    expect_result(api.request(Method::PUT, &format!("{path}/bulk")).body(pairs.to_string())).await;
    let get = |body: &Value| api.request(Method::POST, &format!("{path}/bulk/get")).body(body.to_string());
    let values = async |body: Value| expect_result(get(&body)).await["values"].clone();

    let keys = json!(["object", "null", "__proto__", "none"]);
    let mut text = json!({"object": "{\"a\":[1.10,null]}", "null": "null", "none": null});
    text["__proto__"] = "\"p\"".into();
    assert_eq!(values(json!({"keys": keys})).await, text);
    assert_eq!(values(json!({"keys": keys, "type": "text", "withMetadata": false})).await, text);
    let mut parsed = json!({"object": {"a": [1.1, null]}, "null": null, "none": null});
    parsed["__proto__"] = "p".into();
    assert_eq!(values(json!({"keys": keys, "type": "json"})).await, parsed);

    let all = values(json!({"keys": ["object", "text", "__proto__", "none"], "withMetadata": true})).await;
    assert_eq!(all["object"], json!({"value": "{\"a\":[1.10,null]}", "metadata": {"m": 1}}));
    assert_eq!((&all["text"]["value"], &all["text"]["metadata"]), (&json!("not JSON"), &Value::Null));
    let expiration = all["text"]["expiration"].as_u64().expect("an expiration");
    assert!((now + 3600..now + 3700).contains(&expiration), "{all}");
    assert_eq!(all["__proto__"]["expiration"], now + 7200);
    assert_eq!(all["none"], Value::Null);
    let parsed = values(json!({"keys": ["object", "null", "none"], "type": "json", "withMetadata": true})).await;
    let object = json!({"value": {"a": [1.1, null]}, "metadata": {"m": 1}});
    assert_eq!(parsed, json!({"object": object, "null": {"value": null, "metadata": null}, "none": null}));
    assert_eq!(values(json!({"keys": []})).await, json!({}));

    let many = |count: usize| (0..count).map(|at| format!("k{at}")).collect::<Vec<_>>();
    assert_eq!(values(json!({"keys": many(100)})).await.as_object().map(serde_json::Map::len), Some(100));
    let message = expect_error(get(&json!({"keys": many(101)})), 400, 10012).await;
    assert!(message.contains("received 101 keys, but max allowed per request is: 100"), "{message}");
    expect_error(get(&json!({"keys": ["text"], "type": "json"})), 400, 10033).await;
    expect_error(get(&json!({"keys": ["text"], "type": "stream"})), 400, 10026).await;

    // A value with an expiration has the header `Expiration`.
    let reply = Reply::to(api.get(&format!("{path}/values/__proto__"))).await;
    assert_eq!((reply.text(), reply.header("Expiration")), ("\"p\"", &*(now + 7200).to_string()));
    let reply = Reply::to(api.get(&format!("{path}/values/object"))).await;
    assert!(!reply.headers.contains_key("Expiration"), "{reply}");
    // A key that is a prefix of an expiring key does not get its expiration.
    expect_result(api.request(Method::PUT, &format!("{path}/values/tex?expiration_ttl=60")).body("v")).await;
    expect_result(api.request(Method::PUT, &format!("{path}/values/te")).body("v")).await;
    assert!(!Reply::to(api.get(&format!("{path}/values/te"))).await.headers.contains_key("Expiration"));
    assert_eq!(expect_result(api.get(&format!("{path}/metadata/te"))).await, Value::Null);
}

#[tokio::test]
async fn bulk_writes_store_all_values_or_none() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    let path = format!("/storage/kv/namespaces/{}", api.kv_namespace("many").await);
    let bulk = |method: Method, path: &str, body: &Value| api.request(method, path).body(body.to_string());
    let good = json!({"key": "good", "value": "v"});
    let long = "k".repeat(513);
    for (bad, reason) in [
        (json!({"key": "k", "value": "v", "expiration_ttl": 59}), "at least 60 seconds"),
        (json!({"key": "k", "value": "v", "expiration": 1}), "in the future"),
        (json!({"key": "k", "value": "%", "base64": true}), "not base64"),
        (json!({"key": "", "value": "v"}), "1 to 512 bytes"),
        (json!({"key": ".", "value": "v"}), "1 to 512 bytes"),
        (json!({"key": long, "value": "v"}), "1 to 512 bytes"),
    ] {
        let message = expect_error(bulk(Method::PUT, &format!("{path}/bulk"), &json!([good, bad])), 400, 10033).await;
        assert!(message.contains(reason), "{message}");
    }
    let many: Vec<Value> = (0..10_001).map(|at| json!({"key": format!("k{at}"), "value": ""})).collect();
    let message = expect_error(bulk(Method::PUT, &format!("{path}/bulk"), &json!(many)), 400, 10012).await;
    assert_eq!(message, "bulk put: 'received 10001 key/value pairs, but max allowed per request is: 10000'");
    let keys: Vec<&Value> = many.iter().map(|pair| &pair["key"]).collect();
    expect_error(bulk(Method::DELETE, &format!("{path}/bulk"), &json!(keys)), 400, 10012).await;
    expect_error(bulk(Method::POST, &format!("{path}/bulk/delete"), &json!(keys)), 400, 10012).await;
    for limit in ["9", "1001", "0", "-1", "x", ""] {
        expect_error(api.get(&format!("{path}/keys?limit={limit}")), 400, 10020).await;
    }
    for limit in ["10", "1000"] {
        assert_eq!(
            expect_result(api.get(&format!("{path}/keys?limit={limit}"))).await,
            json!([]),
            "nothing must be stored"
        );
    }
}

#[tokio::test]
async fn object_reads_support_preconditions_but_not_ranges() {
    let platform = Platform::start(&[]).await;
    let api = &platform.api;
    let path = "/r2/buckets/customer-user1/objects/a%2Fb";
    let put = api.request(Method::PUT, path).header("Content-Type", "text/x-test").body("0123456789");
    expect_result(put).await;
    let get = |headers: &[(&'static str, &str)]| -> RequestBuilder {
        headers.iter().fold(api.get(path), |request, (name, value)| request.header(*name, *value))
    };
    let complete = Reply::to(get(&[])).await;
    assert_eq!(
        (complete.status, complete.text(), complete.header("Content-Type")),
        (StatusCode::OK, "0123456789", "text/x-test")
    );
    let (etag, modified) = (complete.header("ETag").to_owned(), complete.header("Last-Modified").to_owned());
    let earlier = "Sat, 01 Jan 2022 00:00:00 GMT";
    let listed = format!("\"other\", {etag}");
    for headers in [
        &[("If-None-Match", &*etag)][..],
        &[("If-None-Match", "*")],
        &[("If-None-Match", &listed)],
        &[("If-None-Match", "\"other\""), ("If-None-Match", &etag)],
        &[("If-Modified-Since", &modified)],
        &[("If-None-Match", &etag), ("If-Modified-Since", earlier)],
    ] {
        let reply = Reply::to(get(headers)).await;
        assert_eq!(
            (reply.status, reply.text(), reply.header("ETag")),
            (StatusCode::NOT_MODIFIED, "", &*etag),
            "{headers:?}"
        );
    }
    // Cloudflare's reference has no ranges, and only these two preconditions.
    for headers in [
        &[("If-None-Match", "\"other\"")][..],
        &[("If-Modified-Since", earlier)],
        &[("Range", "bytes=2-4")],
        &[("Range", "bytes=2-4"), ("If-Range", &etag)],
        &[("If-Match", "\"other\"")],
        &[("If-Unmodified-Since", earlier)],
    ] {
        let reply = Reply::to(get(headers)).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, "0123456789"), "{headers:?}");
        assert!(!reply.headers.contains_key("Content-Range"), "{headers:?}: {reply}");
    }
    expect_error(api.get("/r2/buckets/customer-user1/objects/none").header("If-None-Match", "*"), 404, 10007).await;

    // A body that is too large is rejected before it is sent.
    let large = api.request(Method::PUT, path).header("Content-Length", (300_u64 << 20) + 1);
    let large =
        large.body(reqwest::Body::wrap_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>()));
    expect_error(large, 400, 100_100).await;
    assert_eq!(Reply::to(get(&[])).await.text(), "0123456789");
}
