//! JSON modules: over the API they have a media type of their own, and the operator's tool reads them from a folder.

use std::fs;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tests::Reply;
use tests::api::{SCRIPTS, expect_result};

use super::Platform;

const MAIN: &str = "import data from './data/values.json';
    export default { fetch() { return Response.json([data, Object.keys(data)]); } };";

/// JSON that would have another meaning as a JavaScript expression.
const DATA: &str = "{\"a\": [1.10, null, \"\\u2028 \u{2028} </script>\"], \"__proto__\": 1}\n";

fn expected() -> Value {
    let data: Value = serde_json::from_str(DATA).expect("JSON");
    json!([data, ["a", "__proto__"]])
}

#[tokio::test]
async fn json_modules_are_imported_and_returned_unchanged() {
    let platform = Platform::start(&[]).await;
    let part = |content: &str, kind: &str| Part::text(content.to_owned()).mime_str(kind).expect("a media type");
    let form = Form::new()
        .percent_encode_noop()
        .text("metadata", json!({"main_module": "index.js", "compatibility_date": "2026-11-17"}).to_string())
        .part("index.js", part(MAIN, "application/javascript+module"))
        .part("data/values.json", part(DATA, "application/json"));
    expect_result(platform.api.request(Method::PUT, &format!("{SCRIPTS}/user3")).multipart(form)).await;
    assert_eq!(Reply::to(platform.customer("user3").get("/")).await.json(), expected());
    let content = Reply::to(platform.api.get(&format!("{SCRIPTS}/user3/content"))).await;
    assert!(content.text().contains(&format!("Content-Type: application/json\r\n\r\n{DATA}\r\n")), "{content}");
}

#[tokio::test]
async fn json_files_in_a_folder_are_modules() {
    let platform = Platform::start(&[]).await;
    let folder = platform.state.path().join("worker");
    fs::create_dir_all(folder.join("data")).expect("a folder");
    fs::write(folder.join("index.js"), MAIN).expect("a file");
    fs::write(folder.join("data/values.json"), DATA).expect("a file");
    fs::write(folder.join("package.json"), "{}").expect("a file");
    let path = folder.to_str().expect("UTF-8");
    platform.api.customer(&["create", "user3", "--no-build", "--script", path]).await;
    assert_eq!(Reply::to(platform.customer("user3").get("/")).await.json(), expected());
}
