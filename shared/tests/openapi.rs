//! Checks that `docs/openapi.json` agrees with the code: paths, limits, problem codes, and request bodies. The
//! end-to-end tests check that the Workers' replies agree with it.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::customer::{Operation, UserId};
use shared::data::{DataKey, SetData};
use shared::database::Statement;
use shared::files::{FileHeaders, FileKey, multipart_upload};
use shared::http::{Cursor, Listing, MAX_LIMIT, PROBLEM_MEDIA_TYPE, ProblemCode, route_paths};

fn document() -> Value {
    serde_json::from_str(include_str!("../../docs/openapi.json")).expect("JSON")
}

/// Returns a validator for a schema of the document.
fn schema(pointer: &str) -> Validator {
    let document = document();
    let schema =
        json!({"components": document["components"], "paths": document["paths"], "$ref": format!("#{pointer}")});
    jsonschema::options().should_validate_formats(true).build(&schema).expect(pointer)
}

fn component(name: &str) -> Validator {
    schema(&format!("/components/schemas/{name}"))
}

#[test]
fn the_document_has_the_crates_version_and_all_paths() {
    let document = document();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths: BTreeSet<&str> = document["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    assert_eq!(paths, route_paths().collect());
}

#[test]
fn every_problem_is_documented_with_its_status_only() {
    let document = document();
    let listed = |list: &Value| -> BTreeSet<String> {
        list.as_array().expect("codes").iter().map(|code| code.as_str().expect("a code").to_owned()).collect()
    };
    let mut by_status: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    // Only customers' Workers receive the outbound Worker's problems.
    for code in ProblemCode::ALL
        .iter()
        .filter(|code| !matches!(code, ProblemCode::HostNotAllowed | ProblemCode::HostUnreachable))
    {
        by_status.entry(code.status()).or_default().insert(code.name().to_owned());
    }
    let all: BTreeSet<String> = by_status.values().flatten().cloned().collect();
    assert_eq!(listed(&document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]), all);
    let mut documented = BTreeMap::new();
    for (name, response) in document["components"]["responses"].as_object().expect("responses") {
        let problem = &response["content"][PROBLEM_MEDIA_TYPE]["schema"];
        if !problem.is_null() {
            let status: u16 = name.parse().expect("named after its status");
            assert_eq!(problem["properties"]["status"], json!({ "const": status }));
            documented.insert(status, listed(&problem["properties"]["code"]["enum"]));
        }
    }
    assert_eq!(documented, by_status);
}

#[test]
fn limits_are_the_same_as_in_the_code() {
    let document = document();
    let parameter = |path: &str, name: &str| {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().expect("parameters");
        let parameter = parameters.iter().find(|parameter| parameter["name"] == name).expect(name);
        parameter["schema"].clone()
    };
    let components = &document["components"];
    let (schemas, limit) = (&components["schemas"], &components["parameters"]["limit"]["schema"]);
    let set_data = &schemas["SetData"]["properties"];
    let parts =
        "/paths/~1files~1uploads~1complete/post/requestBody/content/application~1json/schema/properties/parts/maxItems";
    for (documented, limit) in [
        (&schemas["FileKey"]["maxLength"], FileKey::MAX_LEN as u64),
        (&schemas["DataKey"]["maxLength"], DataKey::MAX_LEN as u64),
        (&schemas["PartNumber"]["maximum"], multipart_upload::MAX_PARTS.into()),
        (document.pointer(parts).expect("parts"), multipart_upload::MAX_PARTS.into()),
        (&limit["maximum"], MAX_LIMIT.into()),
        (&limit["default"], MAX_LIMIT.into()),
        (&parameter("/files", "prefix")["maxLength"], FileKey::MAX_LEN as u64),
        (&parameter("/files", "delimiter")["maxLength"], FileKey::MAX_LEN as u64),
        (&parameter("/data", "prefix")["maxLength"], DataKey::MAX_LEN as u64),
        (&set_data["expirationTtl"]["minimum"], SetData::MIN_TTL),
        (&set_data["expirationTtl"]["maximum"], SetData::MAX_SECONDS),
        (&set_data["expiration"]["maximum"], SetData::MAX_SECONDS),
    ] {
        assert_eq!(documented.as_u64(), Some(limit));
    }
    let operations = schemas["Stats"]["properties"]["activity"]["properties"]["byOperation"]["properties"].as_object();
    let operations: BTreeSet<&str> = operations.expect("operations").keys().map(String::as_str).collect();
    assert_eq!(operations, Operation::ALL.iter().map(|operation| operation.name()).collect());
}

/// A body is accepted if and only if its schema allows it.
#[test]
fn bodies_are_accepted_as_documented() {
    const NOW: u64 = 1_795_000_000;
    let accepts = |method: &str, path: &str, body: &str| match (method, path) {
        ("post", "/data") => SetData::parse(body.as_bytes(), NOW).is_ok(),
        ("post", "/db/query") => Statement::parse(body.as_bytes()).is_ok(),
        ("post", "/db/batch") => Statement::parse_batch(body.as_bytes()).is_ok(),
        ("post", "/files/uploads/complete") => multipart_upload::parse_parts(body.as_bytes()).is_ok(),
        _ => panic!("nothing parses the body of {method} {path}"),
    };
    for (method, path, bodies) in [
        (
            "post",
            "/data",
            &[
                r#"{"key":"k","value":null}"#,
                r#"{"key":"k","value":{"a":[1]},"metadata":{"a":1},"expirationTtl":60}"#,
                r#"{"key":"k","value":1,"metadata":null,"expirationTtl":null,"expiration":null}"#,
                r#"{"key":"k","value":1,"expirationTtl":null,"expiration":1795000060}"#,
                r#"{"key":"k","value":1,"expirationTtl":2147483647}"#,
                r#"{"key":"k","value":1,"expirationTtl":60.0}"#,
                r#"{"key":"k"}"#,
                r#"{"value":1}"#,
                r#"{"key":"","value":1}"#,
                r#"{"key":null,"value":1}"#,
                r#"{"key":1,"value":1}"#,
                r#"{"key":"k","value":1,"other":1}"#,
                r#"{"key":"k","value":1,"metadata":[]}"#,
                r#"{"key":"k","value":1,"metadata":"x"}"#,
                r#"{"key":"k","value":1,"expirationTtl":59}"#,
                r#"{"key":"k","value":1,"expirationTtl":60.5}"#,
                r#"{"key":"k","value":1,"expirationTtl":2147483648}"#,
                r#"{"key":"k","value":1,"expirationTtl":"60"}"#,
                r#"{"key":"k","value":1,"expiration":2147483648}"#,
                r#"{"key":"k","value":1,"expirationTtl":60,"expiration":1795000060}"#,
                "[]",
                "null",
            ][..],
        ),
        (
            "post",
            "/db/query",
            &[
                r#"{"sql":""}"#,
                r#"{"sql":"x","params":[]}"#,
                r#"{"sql":"x","params":[null,true,"x",1,-1.5,9007199254740991]}"#,
                r#"{"params":[]}"#,
                r#"{"sql":null}"#,
                r#"{"sql":"x","params":null}"#,
                r#"{"sql":"x","params":{}}"#,
                r#"{"sql":"x","params":[[]]}"#,
                r#"{"sql":"x","params":[9007199254740992]}"#,
                r#"{"sql":"x","params":[-1e300]}"#,
                r#"{"sql":"x","other":[]}"#,
            ],
        ),
        (
            "post",
            "/db/batch",
            &[
                r#"{"statements":[{"sql":"x"},{"sql":"y","params":[1]}]}"#,
                r#"{"statements":[]}"#,
                r#"{"statements":[{"sql":"x","other":1}]}"#,
                r#"{"statements":["x"]}"#,
                r#"{"statements":null}"#,
                r#"{"statements":[{"sql":"x"}],"other":1}"#,
                "{}",
            ],
        ),
        (
            "post",
            "/files/uploads/complete",
            &[
                r#"{"parts":[{"partNumber":1,"etag":"a"},{"partNumber":10000.0,"etag":""}]}"#,
                r#"{"parts":[]}"#,
                r#"{"parts":[{"partNumber":0,"etag":"a"}]}"#,
                r#"{"parts":[{"partNumber":10001,"etag":"a"}]}"#,
                r#"{"parts":[{"partNumber":1}]}"#,
                r#"{"parts":[{"partNumber":1,"etag":"a","size":1}]}"#,
                r#"{"parts":[{"partNumber":1,"etag":"a"}],"other":1}"#,
                r#"{"parts":[{"partNumber":"1","etag":"a"}]}"#,
            ],
        ),
    ] {
        let path_name = path.replace('/', "~1");
        let body = schema(&format!("/paths/{path_name}/{method}/requestBody/content/application~1json/schema"));
        for text in bodies {
            let documented = body.is_valid(&serde_json::from_str(text).expect(text));
            assert_eq!(documented, accepts(method, path, text), "{method} {path}: {text}");
        }
    }
}

#[test]
fn user_ids_are_accepted_as_documented() {
    let schema = component("UserId");
    proptest!(|(text in ".{0,5}|[a-z0-9-]{0,60}|[A-Za-z0-9_-]{1,5}")| {
        prop_assert_eq!(schema.is_valid(&json!(text)), UserId::parse(&text).is_ok());
    });
}

#[test]
fn stored_headers_are_accepted_as_documented() {
    let schema = component("KeptHeader");
    proptest!(|(text in ".{0,5}|[\\x00-\\x7f]{0,5}|[ -~\\t]{1000,1050}")| {
        let accepted = FileHeaders::read(|name| (name == "Cache-Control").then(|| text.clone())).is_ok();
        prop_assert_eq!(schema.is_valid(&json!(text)), accepted);
    });
}

#[test]
fn cursors_are_as_documented() {
    let schema = component("Cursor");
    proptest!(|(text in ".{0,80}")| {
        prop_assert!(schema.is_valid(&json!(Cursor::encode(&text, Listing::Data("a")))));
    });
}
