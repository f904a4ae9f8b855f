//! `docs/openapi.json` says what the code does: its limits, its problems, its replies, the bodies it takes. That the Workers
//! answer so is for the end-to-end tests.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::reply::{self, to_json};
use shared::{
    CUSTOMER_ROUTES, Code, Cursor, DISPATCHER_ROUTES, DataKey, FileHeaders, FileKey, Listing, MAX_LIMIT, Operation,
    PROBLEM_MEDIA_TYPE, Problem, SetData, Statement, UserId, route_paths, upload,
};

fn document() -> Value {
    serde_json::from_str(include_str!("../../docs/openapi.json")).expect("JSON")
}

/// A schema of the document's. In replies it may describe no less than there is: what it does not name is refused.
fn schema(pointer: &str, strict: bool) -> Validator {
    let mut document = document();
    if strict {
        close(&mut document["components"]["schemas"]);
    }
    let schema =
        json!({"components": document["components"], "paths": document["paths"], "$ref": format!("#{pointer}")});
    jsonschema::options().should_validate_formats(true).build(&schema).expect(pointer)
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("type") == Some(&json!("object")) && members.contains_key("properties") {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(close),
        _ => {}
    }
}

fn component(name: &str) -> Validator {
    schema(&format!("/components/schemas/{name}"), true)
}

fn expect_valid(validator: &Validator, json: &str) {
    let value = serde_json::from_str(json).expect(json);
    let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{json}: {errors:#?}");
}

#[test]
fn it_has_the_crates_version_and_the_platforms_routes_with_their_methods() {
    let document = document();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths: BTreeSet<&str> = document["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    assert_eq!(paths, route_paths().collect());
    let allowed = DISPATCHER_ROUTES.iter().map(|route| (route.path, route.allow()));
    for (path, allow) in allowed.chain(CUSTOMER_ROUTES.iter().map(|route| (route.path, route.allow()))) {
        let members = document["paths"][path].as_object().expect(path).keys();
        let described: BTreeSet<String> = members.filter(|name| *name != "parameters").cloned().collect();
        assert_eq!(described, allow.split(", ").map(str::to_lowercase).collect(), "{path}");
    }
    // What a client is told who asks for another path: the customer Worker's.
    let said = Problem::not_found();
    for path in paths.into_iter().filter(|path| !["/healthz", "/openapi.json"].contains(path)) {
        assert!(said.detail().split([' ', ',']).any(|word| word == path), "{path}: {}", said.detail());
    }
}

#[test]
fn every_problem_stands_with_its_status_and_no_other() {
    let document = document();
    let listed = |list: &Value| -> BTreeSet<String> {
        list.as_array().expect("codes").iter().map(|code| code.as_str().expect("a code").to_owned()).collect()
    };
    let mut by_status: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    // The outbound Worker's are for customers' Workers alone.
    for code in Code::ALL.iter().filter(|code| !matches!(code, Code::HostNotAllowed | Code::HostUnreachable)) {
        by_status.entry(code.status()).or_default().insert(code.name().to_owned());
    }
    let all: BTreeSet<String> = by_status.values().flatten().cloned().collect();
    assert_eq!(listed(&document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]), all);
    let mut described = BTreeMap::new();
    for (name, response) in document["components"]["responses"].as_object().expect("responses") {
        let problem = &response["content"][PROBLEM_MEDIA_TYPE]["schema"];
        if !problem.is_null() {
            let status: u16 = name.parse().expect("named after its status");
            assert_eq!(problem["properties"]["status"], json!({ "const": status }));
            described.insert(status, listed(&problem["properties"]["code"]["enum"]));
        }
    }
    assert_eq!(described, by_status);
}

#[test]
fn problems_are_as_described() {
    for problem in [
        Problem::missing_user_id(),
        Problem::missing_token(),
        Problem::user_mismatch(),
        Problem::unknown_user(),
        Problem::method_not_allowed("GET, HEAD"),
        Problem::length_required(),
        Problem::precondition_failed(),
        Problem::too_large("the body", 1),
        Problem::unsupported_media_type("application/json"),
        Problem::unsupported_coding("gzip"),
        Problem::range_not_satisfiable(1),
        Problem::rate_limited(60),
        Problem::internal_error("x".to_owned()),
        Problem::binding_not_attached("database"),
        Problem::customer_worker_failed("x".to_owned()),
        Problem::busy(),
    ] {
        let status = problem.status();
        let pointer = format!("/components/responses/{status}/content/application~1problem+json/schema");
        expect_valid(&schema(&pointer, true), &problem.to_json("id"));
        let Some((name, value)) = problem.header() else { continue };
        let headers = &document()["components"]["responses"][status.to_string()]["headers"];
        let header = headers[name]["$ref"].as_str().unwrap_or_else(|| panic!("{name} of {status}"));
        let value = value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
        let described = schema(&format!("{}/schema", header.trim_start_matches('#')), false);
        assert!(described.is_valid(&value), "{name}: {value}");
    }
}

#[test]
fn limits_are_the_codes() {
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
    for (found, wanted) in [
        (&schemas["FileKey"]["maxLength"], FileKey::MAX_LEN as u64),
        (&schemas["DataKey"]["maxLength"], DataKey::MAX_LEN as u64),
        (&schemas["PartNumber"]["maximum"], upload::MAX_PARTS.into()),
        (document.pointer(parts).expect("parts"), upload::MAX_PARTS.into()),
        (&limit["maximum"], MAX_LIMIT.into()),
        (&limit["default"], MAX_LIMIT.into()),
        (&parameter("/files", "prefix")["maxLength"], FileKey::MAX_LEN as u64),
        (&parameter("/files", "delimiter")["maxLength"], FileKey::MAX_LEN as u64),
        (&parameter("/data", "prefix")["maxLength"], DataKey::MAX_LEN as u64),
        (&set_data["expirationTtl"]["minimum"], SetData::MIN_TTL),
        (&set_data["expirationTtl"]["maximum"], SetData::MAX_SECONDS),
        (&set_data["expiration"]["maximum"], SetData::MAX_SECONDS),
    ] {
        assert_eq!(found.as_u64(), Some(wanted));
    }
    let operations = schemas["Stats"]["properties"]["activity"]["properties"]["byOperation"]["properties"].as_object();
    let operations: BTreeSet<&str> = operations.expect("operations").keys().map(String::as_str).collect();
    assert_eq!(operations, Operation::ALL.iter().map(|operation| operation.name()).collect());
}

#[test]
fn replies_are_as_described() {
    let (key, etag) = ("a/b", "900150983cd24fb0d6963f7d28e17f72");
    let deployment = || reply::Deployment {
        id: "id".to_owned(),
        tag: String::new(),
        timestamp: "2026-11-22T08:00:00.000Z".to_owned(),
    };
    for (worker, deployment) in [(Some("user1"), None), (None, None), (Some("dispatcher"), Some(deployment()))] {
        let worker = worker.map(str::to_owned);
        let health = reply::Health { status: "ok", worker, version: "0.1.0", deployment };
        expect_valid(&component("Health"), &to_json(&health));
    }
    let stored = reply::FileStored {
        success: true,
        key: key.to_owned(),
        size: 3,
        etag: etag.to_owned(),
        content_type: "text/plain".to_owned(),
    };
    expect_valid(&component("FileStored"), &to_json(&stored));
    expect_valid(&component("DataStored"), &to_json(&reply::DataStored { success: true, key: key.to_owned() }));
    expect_valid(&component("Deleted"), &to_json(&reply::Deleted { success: true }));
    expect_valid(
        &component("UploadCreated"),
        &to_json(&reply::UploadCreated { key: key.to_owned(), upload_id: "u".to_owned() }),
    );
    expect_valid(&component("Part"), &to_json(&reply::Part { part_number: 10_000, etag: etag.to_owned() }));

    let cursor = || Some(Cursor::encode("after", Listing::Files("a", Some("/"))));
    let file = |content_type: Option<&str>| reply::ListedFile {
        key: key.to_owned(),
        size: 3,
        uploaded: "2026-11-22T08:00:00.000Z".to_owned(),
        etag: etag.to_owned(),
        content_type: content_type.map(str::to_owned),
    };
    let files = vec![file(None), file(Some("text/plain"))];
    let list = reply::FileList { files, prefixes: vec!["c/".to_owned()], truncated: true, cursor: cursor() };
    expect_valid(&component("FileList"), &to_json(&list));
    let list = reply::FileList { files: Vec::new(), prefixes: Vec::new(), truncated: false, cursor: None };
    expect_valid(&component("FileList"), &to_json(&list));

    let listed = |metadata: Option<&str>, expiration| reply::ListedKey {
        key: key.to_owned(),
        metadata: metadata.map(|json| RawValue::from_string(json.to_owned()).expect("JSON")),
        expiration,
    };
    for cursor in [None, cursor()] {
        let keys = vec![listed(None, None), listed(Some("{\"a\":1}"), Some(1_795_000_000))];
        let page = to_json(&reply::DataList { keys, truncated: cursor.is_some(), cursor });
        expect_valid(&component("KeyList"), &page);
        expect_valid(&schema(VALUE_OR_LIST, true), &page);
    }
    for value in ["null", "[1]", "{\"keys\":[],\"truncated\":false}"] {
        for metadata in ["", ",\"metadata\":{}"] {
            let value = format!("{{\"key\":\"k\",\"value\":{value}{metadata}}}");
            expect_valid(&schema(VALUE_OR_LIST, true), &value);
        }
    }
    for last_activity in [None, Some("2026-11-22T08:00:00.000Z".to_owned())] {
        let by_operation = Operation::ALL.iter().map(|operation| (operation.name(), 1)).collect();
        let stats = reply::Stats {
            files: reply::Files::default(),
            activity: reply::Activity { total_operations: 14, last_activity, by_operation, window_days: 30 },
            storage: reply::Storage { kv_keys: 1, r2_objects: 2 },
        };
        expect_valid(&component("Stats"), &to_json(&stats));
    }
}

const VALUE_OR_LIST: &str = "/paths/~1data/get/responses/200/content/application~1json/schema";

/// What is described is what is taken, and what is not is refused.
#[test]
fn bodies_are_taken_as_described() {
    const NOW: u64 = 1_795_000_000;
    let takes = |method: &str, path: &str, body: &str| match (method, path) {
        ("post", "/data") => SetData::parse(body.as_bytes(), NOW).is_ok(),
        ("post", "/db/query") => Statement::parse(body.as_bytes()).is_ok(),
        ("post", "/db/batch") => Statement::parse_batch(body.as_bytes()).is_ok(),
        ("post", "/files/uploads/complete") => upload::parse_parts(body.as_bytes()).is_ok(),
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
        let body = schema(&format!("/paths/{path_name}/{method}/requestBody/content/application~1json/schema"), false);
        for text in bodies {
            let described = body.is_valid(&serde_json::from_str(text).expect(text));
            assert_eq!(described, takes(method, path, text), "{method} {path}: {text}");
        }
    }
}

#[test]
fn user_ids_are_taken_as_described() {
    let described = component("UserId");
    proptest!(|(text in ".{0,5}|[a-z0-9-]{0,60}|[A-Za-z0-9_-]{1,5}")| {
        prop_assert_eq!(described.is_valid(&json!(text)), UserId::parse(&text).is_ok());
    });
}

#[test]
fn headers_that_are_kept_are_taken_as_described() {
    let described = component("KeptHeader");
    proptest!(|(text in ".{0,5}|[\\x00-\\x7f]{0,5}|[ -~\\t]{1000,1050}")| {
        let taken = FileHeaders::read(|name| (name == "Cache-Control").then(|| text.clone())).is_ok();
        prop_assert_eq!(described.is_valid(&json!(text)), taken);
    });
}

#[test]
fn cursors_are_as_described() {
    let described = component("Cursor");
    proptest!(|(text in ".{0,80}")| {
        prop_assert!(described.is_valid(&json!(Cursor::encode(&text, Listing::Data("a")))));
    });
}
