//! Sees to it that the twins do what the Workers do: the same requests have the same replies. A twin that did less would be
//! unfair to the Workers, one that did more to itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::{Method, Response};
use serde_json::Value;

use crate::routes::{self, Route};
use crate::{load, storage};

/// Sends requests to both, and fails at the first that they do not answer alike. Answers how many there were.
pub async fn replies(rust: [SocketAddr; 2], javascript: [SocketAddr; 2]) -> Result<usize> {
    let requests = requests()?;
    for route in &requests {
        let at = usize::from(route.needs_token());
        let (one, other) = (load::once(route, rust[at]).await?, load::once(route, javascript[at]).await?);
        let (one, other) = (comparable(&one), comparable(&other));
        let Route { name, method, target, headers, .. } = route;
        ensure!(one == other, "{name}: {method} {target} {headers:?}\nRust:       {one:?}\nJavaScript: {other:?}");
    }
    Ok(requests.len())
}

/// All that is measured, and what else the routes check.
fn requests() -> Result<Vec<Route>> {
    let mut requests: Vec<Route> = routes::all()?.iter().map(|route| Route::clone(route)).collect();
    let get = |target| Route::get("read", "work", target);
    let send = |method: Method, target| Route::new("write", method, "work", target);
    let json = |body: &str| send(Method::POST, "/data").sending("application/json", body.to_owned());
    for (name, value) in [
        ("Range", "bytes=0-9"),
        ("Range", "bytes=-10"),
        ("Range", "bytes=1024-"),
        ("Range", "bytes=9-1"),
        ("Range", "lines=1-2"),
        ("If-None-Match", "*"),
        ("If-None-Match", "\"other\""),
        ("If-Match", "\"other\""),
        ("If-Modified-Since", "Sat, 21 Nov 2099 20:00:00 GMT"),
        ("If-Unmodified-Since", "Sat, 21 Nov 2009 20:00:00 GMT"),
        ("If-Range", "\"other\""),
    ] {
        requests.push(get("/files?key=1k").with(name, value));
        requests.push(get("/files?key=1k").with("Range", "bytes=5-6").with(name, value));
    }
    for target in [
        "/files?key=%ff",
        "/files?key=a&key=b",
        "/files?limit=0",
        "/files?limit=2&prefix=1",
        "/files?limit=1&include=contentType",
        "/files?delimiter=/",
        "/files?cursor=x",
        "/data?key=none",
        "/data?limit=1",
        "/data?prefix=s",
        "/data?cursor=x",
        "/none",
        "/?x=1",
    ] {
        requests.push(get(target));
        requests.push(Route { method: Method::HEAD, ..get(target) });
    }
    for body in [
        "",
        "{}",
        r#"{"key":"a"}"#,
        r#"{"key":"","value":1}"#,
        r#"{"key":"a","value":12345678901234567890,"metadata":{"b":[1]}}"#,
        r#"{"value": {"key": "b"} , "key":"a b"}"#,
        r#"{"key":"a","value":1,"other":2}"#,
        r#"{"key":"a","value":1,"expirationTtl":59}"#,
    ] {
        requests.push(json(body));
    }
    requests.push(get("/data?key=a"));
    requests.push(get("/data"));
    for form in ["", "--x\r\n\r\n\r\n--x--", "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--x--"] {
        requests.push(send(Method::POST, "/files").sending("multipart/form-data; boundary=x", form.to_owned()));
    }
    requests.push(send(Method::POST, "/files").sending("text/plain", "x"));
    requests.push(send(Method::PUT, "/files?key=new").sending("text/css", "a{}").with("If-None-Match", "*"));
    requests.push(send(Method::PUT, "/files?key=typed").sending("text/css", "a{}").with("Cache-Control", "public"));
    requests.push(get("/files?key=typed"));
    requests.push(send(Method::DELETE, "/files?key=typed"));
    requests.push(send(Method::DELETE, "/data?key=a"));
    requests.push(send(Method::PATCH, "/files"));
    requests.push(send(Method::DELETE, "/stats"));
    requests.push(get("/stats"));
    for user_id in ["none", "No", ""] {
        requests.push(Route::get("whom", user_id, "/"));
    }
    requests.push(get("/healthz"));
    requests.push(get("/").with("Authorization", "Bearer x.y.z").with_token_needed());
    requests.push(get("/").with_token_needed());
    Ok(requests)
}

#[derive(Debug, PartialEq)]
struct Comparable {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

fn comparable(reply: &Response<Bytes>) -> Comparable {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let mut headers: BTreeMap<String, String> = reply.headers().iter().map(header).collect();
    headers.remove("date");
    let body = reply.body();
    let json = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let body = if json["code"] == "invalid_json" {
        // Each parser says in its own words what is wrong.
        headers.remove("content-length");
        "invalid_json".to_owned()
    } else if json["activity"]["lastActivity"].is_string() {
        let mut stats = json;
        stats["activity"]["lastActivity"] = "some time".into();
        stats.to_string()
    } else if body.len() > 1 << 20 {
        storage::etag(body)
    } else {
        String::from_utf8_lossy(body).into_owned()
    };
    Comparable { status: reply.status().as_u16(), headers, body }
}
